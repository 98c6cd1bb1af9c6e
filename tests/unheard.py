"""Corpora by their names alone: the demo's clips and their labels without any sound, for what never listens."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import cast

from orchestrator.ground import Ground
from trainers.corpora import CORPORA, demo
from trainers.corpora.copies import Copy
from trainers.corpora.groups import GROUPS
from trainers.corpora.prepared import Prepared
from trainers.corpora.utterance import EMOTIONS, SPLITS, Utterance
from trainers.protocols import PROTOCOLS, Protocol

FURTHER = {"iemocap": "frustration", "casia": "fear"}


@dataclass
class Unheard:
    """In place of prepared corpora; a clip's audio hash is its id unless `hashes` says otherwise."""

    utterances: tuple[Utterance, ...]
    hashes: dict[str, str] = field(default_factory=dict)
    copies: tuple[Copy, ...] = ()

    @cached_property
    def index(self) -> dict[str, int]:
        return {clip.id: number for number, clip in enumerate(self.utterances)}

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        return {clip.id: clip.id for clip in self.utterances} | self.hashes

    @property
    def prepared(self) -> Prepared:
        """The same to those who check types."""
        return cast(Prepared, self)

    def but(self, which: str, **changes: str) -> "Unheard":
        """The same corpora with one clip labelled otherwise."""
        clips = (replace(clip, **changes) if clip.id == which else clip for clip in self.utterances)
        return Unheard(tuple(clips), self.hashes, self.copies)


def clips(corpora: Iterable[str], takes: Iterable[str] = ("1", "2")) -> tuple[Utterance, ...]:
    """The clips that the demo's corpora have, or only those of some takes, in the order of their paths."""
    languages = {corpus.name: corpus.language for corpus in (*demo.CORPORA, demo.ADAPTATION)}
    made = [
        _clip(corpus, languages[corpus], name)
        for corpus in corpora
        for name in demo.names(corpus)
        if name.removesuffix(".wav").endswith(tuple(takes))
    ]
    return tuple(sorted(made, key=lambda clip: clip.path))


def _clip(corpus: str, language: str, name: str) -> Utterance:
    told = demo.parse(PurePosixPath(name))
    assert told is not None
    return Utterance(
        f"{corpus}/{name}", corpus, language, f"{corpus}:{told.speaker}", told.gender, told.emotion, 1.0, told.text
    )


def unheard_demo() -> Unheard:
    return Unheard(clips(PROTOCOLS["demo"].corpora))


def ground(protocol: Protocol = PROTOCOLS["demo"], speech: Unheard | None = None) -> Ground:
    """The demo's ground, without sound and without an encoder."""
    return Ground(protocol, (speech or unheard_demo()).prepared, Path("nowhere"), "e" * 64)


def unheard_papers() -> Unheard:
    """What the papers' protocols hear, few clips of each. Speakers of a corpus of known ones say three sentences in all
    emotions, those of IEMOCAP and CASIA one more in another; MSP-Podcast and Common Voice come in published parts."""
    casts = {corpus: [name for group in groups for name in group] for corpus, groups in GROUPS.items()}
    made = [
        *(clip for corpus, names in casts.items() for clip in _cast(corpus, names)),
        *(clip for corpus in FURTHER for clip in _further(corpus, casts[corpus])),
        *(clip for part in SPLITS for clip in _cast("msp_podcast", [f"{part}{number}" for number in range(3)], part)),
        *(clip for locale in ("de", "ur", "bn") for clip in _readers(f"common_voice_{locale}")),
    ]
    return Unheard(tuple(sorted(made, key=lambda clip: clip.path)))


def _cast(corpus: str, names: Iterable[str], split: str = "") -> Iterator[Utterance]:
    for place, name in enumerate(names):
        for emotion in EMOTIONS:
            for text in range(3):
                yield _said(corpus, name, place, emotion, f"s{text}", split)


def _further(corpus: str, names: Iterable[str]) -> Iterator[Utterance]:
    return (_said(corpus, name, place, FURTHER[corpus], "s9", "") for place, name in enumerate(names))


def _readers(corpus: str) -> Iterator[Utterance]:
    for number in range(60):
        for text in range(5):
            yield _said(corpus, f"client{number}", number, "", f"s{text}", "train")


def _said(corpus: str, speaker: str, place: int, emotion: str, text: str, split: str) -> Utterance:
    gender, language = ("female", "male")[place % 2], CORPORA[corpus].language
    path = f"{corpus}/{speaker}_{text}_{emotion}.wav"
    return Utterance(path, corpus, language, f"{corpus}:{speaker}", gender, emotion, 1.0, text, split)
