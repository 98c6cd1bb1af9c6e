"""Further partitions of a corpus, for cross-validation that is repeated (VALIDITY §5).

A further partition shuffles the first one within strata: women take the places of women and men those of men (clips
those of their class), so that every group has as many of each as before. It is the first of a row of shuffles, told by
hashes of (repeat, try, name), that no earlier repeat has and that is even enough: as good as a fair draw from all such
partitions, and made of nothing but names and labels.
"""

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import cache
from math import factorial, prod

from trainers.errors import UserError

MOST_REPEATS = 100
"""More would be of no use: with these the corrected interval is within one per cent of its floor."""

TRIES = 50_000
"""Shuffles that are tried for one repeat. Of URDU's about one in 3,000 is even enough."""

SLACK = 4 / 3
"""By how much a further partition may be less even than a first one that was chosen to be even."""

Groups = tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class Deal:
    """A first partition of names (of speakers or clips) into groups, and what further ones keep of it.

    `strata`: (name, stratum) of every name; a group keeps its number of each stratum. `clips`: (name, clips of each
    class) of every speaker, where the first partition was chosen to be even in classes, so that further ones must be
    nearly as even; else empty.
    """

    corpus: str
    first: Groups
    strata: tuple[tuple[str, str], ...]
    clips: tuple[tuple[str, tuple[int, ...]], ...] = ()


@dataclass(frozen=True)
class Evenness:
    """How evenly groups share the clips.

    `lacking`: pairs of a group and a class without a clip. `unevenness`: Σ (share of the class − 1 / groups)² over all
    pairs. `smallest`, `largest`: clips of a group.
    """

    lacking: int
    unevenness: float
    smallest: int
    largest: int

    def is_near(self, first: "Evenness") -> bool:
        """Whether no more pairs are lacking, and the rest is less even by at most `SLACK`."""
        return (
            self.lacking <= first.lacking
            and self.unevenness <= SLACK * first.unevenness
            and self.smallest >= first.smallest / SLACK
            and self.largest <= first.largest * SLACK
        )


def partitions(deal: Deal) -> int:
    """How many partitions keep the strata, the first one included; at most `MOST_REPEATS`.

    Of each stratum n! / Π_g n_g! ways to fill the groups' places; groups with alike places may be swapped.
    """
    stratum = dict(deal.strata)
    places = [tuple(sorted(Counter(stratum[name] for name in group).items())) for group in deal.first]
    ways = prod(factorial(size) for size in Counter(stratum.values()).values())
    ways //= prod(factorial(size) for place in places for _, size in place)
    ways //= prod(factorial(size) for size in Counter(places).values())
    return min(ways, MOST_REPEATS)


@cache
def partition(deal: Deal, repeat: int) -> Groups:
    """The groups of a repeat (0: the first partition); no two repeats have the same, in whatever order.

    UserError: `repeat` is not below `partitions`, or no further partition is as even as it must be.
    """
    if repeat == 0:
        return deal.first
    known = {_unordered(partition(deal, earlier)) for earlier in range(repeat)}
    stratum, clips = dict(deal.strata), dict(deal.clips)
    first = evenness(deal.first, clips) if clips else None
    for number in range(TRIES if repeat < partitions(deal) else 0):
        groups = _shuffled(deal.first, stratum, f"{repeat}/{number}")
        if (first is None or evenness(groups, clips).is_near(first)) and _unordered(groups) not in known:
            return groups
    raise UserError(f"{deal.corpus} has no more than {repeat} partitions as even as its first")


def evenness(groups: Groups, clips: dict[str, tuple[int, ...]]) -> Evenness:
    """`clips`: name -> its clips of each class."""
    counts = [tuple(map(sum, zip(*(clips[name] for name in group), strict=True))) for group in groups]
    totals = tuple(map(sum, zip(*counts, strict=True)))
    sizes = [sum(group) for group in counts]
    shares = [n / total for group in counts for n, total in zip(group, totals, strict=True) if total]
    return Evenness(
        lacking=sum(not n for group in counts for n in group),
        unevenness=sum((share - 1 / len(groups)) ** 2 for share in shares),
        smallest=min(sizes),
        largest=max(sizes),
    )


def _shuffled(first: Groups, stratum: dict[str, str], salt: str) -> Groups:
    """Every place of the first partition goes to the next of its stratum in the order of their hashes."""
    queues: dict[str, list[str]] = {}
    for name in sorted(stratum, key=lambda name: _digest(f"{salt}/{name}")):
        queues.setdefault(stratum[name], []).append(name)
    return tuple(tuple(queues[stratum[name]].pop() for name in group) for group in first)


def _unordered(groups: Groups) -> frozenset[frozenset[str]]:
    return frozenset(map(frozenset, groups))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
