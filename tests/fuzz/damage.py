"""What can be wrong with files and words: bytes that flip, are cut, doubled or replaced, and JSON of other types."""

import json
from typing import Any

from hypothesis import strategies as st

JUNK: tuple[Any, ...] = (
    *(None, True, -1, 0, 1e308, float("nan"), float("inf"), 10**30, "", "x", "\x00", "\ud800", "../x", "é" * 300),
    *([], {}, [[]], {"x": None}, [None], ["x"]),
)
DEEP = "[" * 100_000

Step = tuple[int, float, bytes]

steps = st.lists(
    st.tuples(st.integers(0, 5), st.floats(0, 1, exclude_max=True), st.binary(max_size=12)), min_size=1, max_size=4
)


def damaged(content: bytes, done: list[Step]) -> bytes:
    """`content` after each step: cut, a bit flipped, bytes replaced, put in, taken out, or a stretch doubled."""
    for kind, where, more in done:
        at = int(where * max(1, len(content)))
        if kind == 0:
            content = content[:at]
        elif kind == 1 and content:
            flipped = content[at] ^ (1 << (len(more) % 8))
            content = content[:at] + bytes([flipped]) + content[at + 1 :]
        elif kind == 2:
            content = content[:at] + more + content[at + len(more) :]
        elif kind == 3:
            content = content[:at] + more + content[at:]
        elif kind == 4:
            content = content[:at] + content[at + 1 + len(more) :]
        else:
            content = content[:at] + content[max(0, at - 40) :]
    return content


def of(*contents: bytes) -> st.SearchStrategy[bytes]:
    """One of these files, damaged; now and then bytes that are no such file at all."""
    broken = st.builds(damaged, st.sampled_from(contents), steps)
    return st.one_of(broken, broken, broken, st.binary(max_size=200))


def altered(value: Any, places: list[int], junk: Any, removed: bool) -> Any:
    """Plain data in which what `places` lead to is replaced by `junk`, or removed."""
    if not places or not isinstance(value, dict | list) or not value:
        return junk
    changed = dict(value) if isinstance(value, dict) else list(value)
    names = sorted(changed) if isinstance(changed, dict) else list(range(len(changed)))
    name: Any = names[places[0] % len(names)]
    inner = changed[name]
    if removed and (len(places) == 1 or not isinstance(inner, dict | list)):
        del changed[name]
    else:
        changed[name] = altered(inner, places[1:], junk, removed)
    return changed


def plain(value: Any) -> st.SearchStrategy[Any]:
    """The same data with one thing of another kind, or missing."""
    where = st.lists(st.integers(0, 10**6), min_size=1, max_size=6)
    return st.builds(altered, st.just(value), where, st.sampled_from(JUNK), st.booleans())


def written(value: Any) -> bytes:
    """As JSON, lone surrogates and all."""
    return json.dumps(value).encode()
