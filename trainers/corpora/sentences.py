"""Which sentences are tested in whose turn, where folds go by speaker and sentence."""

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from trainers.corpora.groups import Group
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError

DEALS = 500
"""Ways of dealing sentences that are compared; fewer of more than a hundred sentences, which come out even anyway."""


def sentence_groups(corpus: str, turns: Sequence[Group], repeat: int = 0) -> tuple[frozenset[str], ...]:
    """For each turn the sentences that are tested in it; no other turn has them, unless sentences are too few.

    Each sentence belongs to one turn (of fewer sentences than turns, such as RAVDESS's two, to every second, third …
    turn). Of `DEALS` ways of dealing them, the first in their own order and the others shuffled by hashes, that one
    is taken in which the fewest turns lack a class; of those the one whose smallest class in any turn is largest; of
    those the one that tests most clips. What is tested of a sentence is lost to training from all other speakers, so
    that one also trains on most. Each repeat has other ways. UserError: a clip without a text, or only one sentence.
    """
    silent = sorted(clip.id for turn in turns for clip in turn if not clip.text)
    if silent:
        raise UserError(f"{corpus} tells no sentences (of {silent[0]!r}, for one): folds by speaker+sentence need them")
    texts = sorted({clip.text for turn in turns for clip in turn})
    if len(texts) < 2:
        raise UserError(f"{corpus} has {len(texts)} sentence; folds by speaker+sentence need at least 2")
    count = min(len(turns), len(texts))
    counts = _counts(turns, texts)
    deals = (_deal(texts, count, number, repeat) for number in range(max(1, min(DEALS, 100 * DEALS // len(texts)))))
    best = max(deals, key=lambda deal: _merit(deal, counts))
    return tuple(
        frozenset(text for text, group in zip(texts, best, strict=True) if group == turn % count)
        for turn in range(len(turns))
    )


def _deal(texts: Sequence[str], count: int, number: int, repeat: int) -> NDArray[np.int64]:
    """(texts,) the group of each."""
    salt = f"{repeat}/{number}" if repeat else f"{number}"
    shuffled = sorted(texts, key=lambda text: _digest(f"{salt}/{text}")) if number or repeat else list(texts)
    place = {text: position % count for position, text in enumerate(shuffled)}
    return np.array([place[text] for text in texts])


def _counts(turns: Sequence[Group], texts: Sequence[str]) -> NDArray[np.int64]:
    """(turns, texts, classes) number of clips."""
    counts = np.zeros((len(turns), len(texts), len(EMOTIONS)), dtype=np.int64)
    place = {text: position for position, text in enumerate(texts)}
    for number, turn in enumerate(turns):
        for clip in turn:
            counts[number, place[clip.text], EMOTIONS.index(clip.emotion)] += 1
    return counts


def _merit(deal: NDArray[np.int64], counts: NDArray[np.int64]) -> tuple[int, int, int]:
    """To be maximised, the first number first: see `sentence_groups`."""
    turns = np.arange(len(counts)) % (deal.max() + 1)
    tested = np.einsum("tx,txc->tc", deal[None, :] == turns[:, None], counts)
    return -int((tested == 0).sum()), int(tested.min()), int(tested.sum())


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
