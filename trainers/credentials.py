"""User names, passwords and tokens that stand inside an address: what is printed or stored has none of them."""

import re

_USER = re.compile(r"(?<=://)[^/\s?#]*@")
"""All before the last @ of an address's server, since a password may have an @ that nobody escaped."""

_SECRET = "password|passwd|pwd|token|secret|signature|credential|api_?key|sig"
_QUERY = re.compile(rf"([?&;][\w.-]*(?:{_SECRET})=)[^&;#\s'\"]+", re.IGNORECASE)

HIDDEN = "***"


def masked(text: str) -> str:
    """The text with `***` in place of what addresses in it tell of who asks: `https://***@host/path?token=***`."""
    return _QUERY.sub(rf"\g<1>{HIDDEN}", _USER.sub(f"{HIDDEN}@", text))
