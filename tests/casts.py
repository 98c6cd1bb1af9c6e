"""Corpora that nobody recorded: who says what in which emotion, for tests of folds."""

from collections.abc import Sequence

from trainers.corpora.folds import Fold
from trainers.corpora.utterance import EMOTIONS, Utterance

CASIA_CAST = ("liuchang", "wangzhe", "zhaoquanyin", "zhaozuoxiang")


def clip(
    speaker: str, text: str, emotion: str = "sad", take: int = 0, *, corpus: str = "toy", split: str = ""
) -> Utterance:
    path = f"{corpus}/{speaker}_{text}_{emotion}_{take}.wav"
    return Utterance(path, corpus, "toyish", f"{corpus}:{speaker}", "female", emotion, 1.0, text, split)


def full(corpus: str, cast: Sequence[str], texts: Sequence[str], takes: int = 1) -> list[Utterance]:
    """Every speaker says every sentence in all four emotions."""
    return [
        clip(speaker, text, emotion, take, corpus=corpus)
        for speaker in cast
        for text in texts
        for emotion in EMOTIONS
        for take in range(takes)
    ]


def subesco() -> list[Utterance]:
    cast = [f"{gender}{number:02d}" for gender in "FM" for number in range(1, 11)]
    return full("subesco", cast, [f"{number:02d}" for number in range(1, 11)], takes=5)


def casia() -> list[Utterance]:
    return full("casia", CASIA_CAST, [str(number) for number in range(201, 251)])


def shared(one: Sequence[str], other: Sequence[str], known: dict[str, Utterance], what: str) -> set[str]:
    these, those = ({getattr(known[each], what) for each in part} for part in (one, other))
    return these & those


def require_apart(fold: Fold, known: dict[str, Utterance]) -> None:
    """By speaker all three parts; by sentence the tested from what is heard before."""
    for one, other in ((fold.train, fold.valid), (fold.train, fold.test), (fold.valid, fold.test)):
        assert not shared(one, other, known, "speaker")
    assert not shared(fold.test, fold.train + fold.valid, known, "text")
