"""The command line of `python -m orchestrator.sweep`."""

import argparse
import ast
import math
from typing import Any

from orchestrator.answers.comparison import SELECTORS
from orchestrator.choosing import Choice
from orchestrator.command_line import Parser, add_store
from orchestrator.objective import OBJECTIVES
from orchestrator.packing import AUTO
from search_spaces import SEARCHES
from trainers.errors import UserError, require
from trainers.protocols import PROTOCOLS
from trainers.splits import FOLDS_BY

ROLES = {
    "high": "your own choice instead of a protocol: labelled corpora to train on, by name or manifest folder",
    "low": "target languages' corpora, a language each, whose labels are not trained on",
    "held-out": "labelled corpora that are only tested on",
    "adaptation": "corpora with speakers that stages and BYOL may hear",
}

RANGES: dict[str, tuple[int | None, str]] = {
    "slots": (1, "at least 1"),
    "samples": (1, "at least 1"),
    "max_bad": (0, "at least 0"),
    "gpus_per_cell": (None, "a finite number above 0, or auto"),
    "price_per_gpu_hour": (None, "a finite number above 0"),
    "budget_gpu_hours": (None, "a finite number above 0"),
    "max_failures": (1, "at least 1"),
    "max_store_gb": (None, "a finite number above 0"),
    "until_ci": (None, "above 0: the width of an interval in UAR points"),
}
"""The least that a number may be (None: it must be above 0), and how the rule is told; others belong to a setting or to
the corpora and are checked there."""


def parse(words: list[str] | None) -> argparse.Namespace:
    """The command line's words as a namespace; UserError in one line where they are off."""
    arguments = _parser().parse_args(words)
    if arguments.name is None and not arguments.list:
        raise UserError("name a sweep; --list shows every sweep with its question")
    for name, (least, rule) in RANGES.items():
        value = getattr(arguments, name)
        fits = value in (None, AUTO) or (math.isfinite(value) and (value > 0 if least is None else value >= least))
        require(fits, name.replace("_", "-"), value, rule)
    return arguments


def _parser() -> Parser:
    parser = Parser(
        prog="python -m orchestrator.sweep",
        description="Train every point of a sweep on every language and fold; what is done already is not done again.",
    )
    parser.add_argument("name", nargs="?", help="the sweep: a file of search_spaces/")
    parser.add_argument("--list", action="store_true", help="show every sweep with its question")
    parser.add_argument("--dry-run", action="store_true", help="show what would be trained, and stop")
    what = parser.add_argument_group("what to train on")
    what.add_argument("--data", metavar="ROOT", help="folder of the corpora (default: $SER_DATA; neither: the demo)")
    what.add_argument(
        "--encoder",
        metavar="DIR_OR_NAME",
        help="checkpoint of Whisper, HuBERT, WavLM or wav2vec 2.0 (default: openai/whisper-small.en); several, "
        "separated by commas, for a sweep over encoders",
    )
    what.add_argument(
        "--protocol", help=f"roles of the corpora: {', '.join(PROTOCOLS)} (default: the sweep's; demo without data)"
    )
    for role, told in ROLES.items():
        what.add_argument(f"--{role}", nargs="+", default=[], metavar="CORPUS", help=told)
    what.add_argument("--folds-by", metavar="KIND", help=f"how folds part: {' | '.join(FOLDS_BY)} (the sweep's)")
    what.add_argument("--languages", nargs="+", default=[], help="target languages (default: all of the protocol)")
    what.add_argument("--folds", nargs="+", type=int, default=[], help="folds, 0 to 4 (default: all)")
    what.add_argument("--seeds", nargs="+", type=int, default=[], help="seeds (default: the sweep's)")
    what.add_argument(
        "--search", choices=SEARCHES, help="random points of a grid, or points that TPE proposes (default: the sweep's)"
    )
    what.add_argument("--samples", type=int, metavar="N", help="points of a search (default: the sweep's)")
    what.add_argument(
        "--max-bad", type=int, default=0, metavar="N", help="unreadable recordings to put up with (default: 0)"
    )
    how = parser.add_argument_group("how")
    how.add_argument("--steps", type=int, help="optimiser steps of each cell")
    how.add_argument("--batch-size", type=int, help="clips per source and step")
    how.add_argument("--set", nargs="+", action="extend", default=[], metavar="FIELD=VALUE", help="any other setting")
    _add_choice(parser)
    how.add_argument("--no-report", action="store_true", help="write no page with pictures at the end")
    how.add_argument("--no-canary", action="store_true", help="do not rehearse a short cell before all others")
    how.add_argument(
        "--gpus-per-cell",
        type=_gpus,
        metavar="N",
        help="1, several (one training on all of them), a share of one (several small cells at a time), or auto: the "
        "share that like cells took of its memory (default: 1 where there are GPUs)",
    )
    how.add_argument("--slots", type=int, help="cells at a time (default: one a GPU, else one a core)")
    where = parser.add_argument_group("where")
    add_store(where)
    where.add_argument("--tracking-uri", help="MLflow server or database (default: sqlite in the store)")
    where.add_argument("--fresh", action="store_true", help="set this sweep's results aside and train all anew")
    return parser


def _gpus(word: str) -> float | str:
    if word == AUTO:
        return word
    try:
        return float(word)
    except ValueError:
        raise UserError(f"gpus-per-cell is {word!r}; it must be {RANGES['gpus_per_cell'][1]}") from None


def _add_choice(parser: argparse.ArgumentParser) -> None:
    choice = parser.add_argument_group("which configuration is best")
    choice.add_argument(
        "--select-on", metavar="LABELS", help=f"validation labels that choose: {' | '.join(SELECTORS)} (hrl; target)"
    )
    choice.add_argument(
        "--objective", default="mean", metavar="KIND", help=f"over languages: {' | '.join(OBJECTIVES)} (mean)"
    )
    choice.add_argument(
        "--race",
        action=argparse.BooleanOptionalAction,
        help="drop configurations that are beaten (default: where there are more than five and one is to be chosen)",
    )
    choice.add_argument("--race-alpha", type=float, default=0.05, metavar="P", help="chance to drop the best (.05)")
    choice.add_argument("--repeats", type=int, default=1, metavar="R", help="partitions of the folds (default: 1)")
    choice.add_argument(
        "--until-ci",
        type=float,
        metavar="WIDTH",
        help="repeat partitions until the 95 %% interval of the winner's lead is so many UAR points wide",
    )
    cost = parser.add_argument_group("what it may cost")
    cost.add_argument("--price-per-gpu-hour", type=float, metavar="MONEY", help="show the plan's price, too")
    cost.add_argument("--budget-gpu-hours", type=float, metavar="HOURS", help="stop when so much is spent; all is kept")
    cost.add_argument("--max-store-gb", type=float, metavar="GB", help="refuse, or stop, before the store holds more")
    cost.add_argument("--max-failures", type=int, metavar="N", help="stop once N cells have failed for good")


def choice(arguments: argparse.Namespace) -> Choice:
    """How the user wants configurations chosen among."""
    return Choice(arguments.select_on, arguments.objective, arguments.race, arguments.race_alpha)


def roles(arguments: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Which corpora the user gave which role."""
    names = [role.replace("-", "_") for role in ROLES]
    return {name: tuple(getattr(arguments, name)) for name in names}


def settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The settings that the command line changes, by name."""
    changed = {"steps": arguments.steps, "batch_size": arguments.batch_size}
    named = {name: value for name, value in changed.items() if value is not None}
    return {**named, **dict(_setting(text) for text in arguments.set)}


def _setting(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UserError(f"--set {text!r} must be FIELD=VALUE, such as encoder_lr=1e-5")
    return name.strip(), _value(value.strip())


def _value(text: str) -> Any:
    plain = {"none": None, "true": True, "false": False}
    if text.lower() in plain:
        return plain[text.lower()]
    try:
        found = ast.literal_eval(text)
        repr(found)  # a number of thousands of digits cannot even be told
    except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
        return text
    return found
