"""What all commands have in common: bad words are told in one line."""

import argparse
from typing import NoReturn

from trainers.errors import UserError


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message} (--help lists the options)")
