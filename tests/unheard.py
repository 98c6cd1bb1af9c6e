"""Corpora by their names alone: the demo's clips and their labels without any sound, for what never listens."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import cast

from orchestrator.ground import Ground
from trainers.corpora import demo
from trainers.corpora.prepared import Prepared
from trainers.corpora.utterance import Utterance
from trainers.protocols import PROTOCOLS, Protocol


@dataclass
class Unheard:
    """In place of prepared corpora; a clip's audio hash is its id unless `hashes` says otherwise."""

    utterances: tuple[Utterance, ...]
    hashes: dict[str, str] = field(default_factory=dict)

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
        return Unheard(tuple(clips), self.hashes)


def clips(corpora: Iterable[str], takes: Iterable[str] = ("1", "2")) -> tuple[Utterance, ...]:
    """The clips that the demo's corpora have, or only those of some takes, in the order of their paths."""
    languages = {corpus.name: corpus.language for corpus in demo.CORPORA}
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
