"""Which corpora take part, in which role, and what each fold of a cell may hear."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from trainers.audio.front_end import FrontEnd
from trainers.corpora import corpus_named
from trainers.corpora.folds import Fold, high_resource_folds, low_resource_folds
from trainers.corpora.prepared import Prepared
from trainers.errors import UserError, unknown

FOLDS = 5
LRL_FOLDS = ("speaker", "stratified")
STRATIFIABLE = ("urdu", "demo_arda", "demo_bela", "demo_cyra")
"""Corpora whose folds `lrl_folds` chooses; all others are dealt by speaker."""


@dataclass(frozen=True)
class Protocol:
    """The roles of the corpora, the front end, and settings that differ from the sweep's own.

    `high`: labelled corpora that are trained on. `low`: one corpus a target language, labels never trained on.
    `held_out`: labelled corpora that are only tested on.
    """

    name: str
    high: tuple[str, ...]
    low: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    front_end: FrontEnd = field(default_factory=FrontEnd)
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def corpora(self) -> tuple[str, ...]:
        return self.high + self.low + self.held_out


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "demo",
            high=("demo_home",),
            low=("demo_arda", "demo_bela", "demo_cyra"),
            front_end=FrontEnd(length_s=1.2),
            settings={
                "steps": 100,
                "epoch_steps": 50,
                "views": 1,
                "batch_size": 8,
                "encoder_lr": 1e-3,
                "warmup_steps": 10,
                "projector_hidden": 256,
                "projection": 64,
            },
            note="DEMO: synthesised voices and a small random encoder. Its numbers say nothing about real emotions.",
        ),
        Protocol("open", high=("ravdess",), low=("urdu", "emodb")),
        Protocol(
            "gong2025",
            high=("msp_podcast", "iemocap"),
            low=("urdu", "emodb", "subesco"),
            held_out=("ravdess",),
            front_end=FrontEnd(trim_db=None, rms_db=None),
        ),
    )
}


def protocol_named(name: str) -> Protocol:
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


@dataclass(frozen=True)
class Split:
    """What one cell hears, as utterance ids. Nothing of `valid` or `test` is in `labelled` or `unlabelled`.

    `labelled`: high-resource clips whose labels are trained on. `unlabelled`: the target language's clips, by
    language, whose labels are not looked at. `valid`: selector -> clips. `test`: language (of a corpus that is only
    tested on: the corpus's name) -> clips of this fold. `whole`: language -> all its clips, where the cell trains on
    none of them.
    """

    labelled: tuple[str, ...]
    unlabelled: dict[str, tuple[str, ...]]
    valid: dict[str, tuple[str, ...]]
    test: dict[str, tuple[str, ...]]
    whole: dict[str, tuple[str, ...]]

    def fingerprint(self, prepared: Prepared) -> str:
        """Hash of who is in which part and of every clip's audio and label."""
        digest = hashlib.sha256()
        for part, members in self._parts():
            digest.update(json.dumps([part, [_facts(member, prepared) for member in members]]).encode())
        return digest.hexdigest()

    def _parts(self) -> list[tuple[str, tuple[str, ...]]]:
        named = [("labelled", self.labelled)]
        for group in ("unlabelled", "valid", "test", "whole"):
            named += [(f"{group}/{name}", ids) for name, ids in sorted(getattr(self, group).items())]
        return named


def _facts(member: str, prepared: Prepared) -> list[str]:
    utterance = prepared.utterances[prepared.index[member]]
    return [member, prepared.fingerprints[member], utterance.emotion, utterance.speaker]


def _kind(corpus: str, lrl_folds: str) -> str:
    """Only where no speaker-disjoint folds are balanced may they be stratified instead."""
    return lrl_folds if corpus in STRATIFIABLE else "speaker"


class Splits:
    """All splits of a protocol over prepared corpora; folds are dealt once."""

    def __init__(self, protocol: Protocol, prepared: Prepared, lrl_folds: str = "speaker") -> None:
        if lrl_folds not in LRL_FOLDS:
            raise unknown("kind of folds", lrl_folds, LRL_FOLDS)
        here = {name: [u for u in prepared.utterances if u.corpus == name] for name in protocol.corpora}
        self.speakers = {utterance.id: utterance.speaker for utterance in prepared.utterances}
        low = [name for name in protocol.low if here[name]]
        _require_names_apart(protocol, low)
        self.high = {name: high_resource_folds(name, here[name]) for name in protocol.high}
        self.low = {_language(name): low_resource_folds(name, here[name], kind=_kind(name, lrl_folds)) for name in low}
        self.held_out = {name: tuple(clip.id for clip in here[name]) for name in protocol.held_out}
        for name, clips in self.held_out.items():
            if not clips:
                raise UserError(f"protocol {protocol.name} tests on {name}, of which no clip is here")

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages."""
        return tuple(self.low)

    @property
    def held_out_languages(self) -> tuple[str, ...]:
        """Names of the tests that are no target's: "does English hold?"."""
        return tuple(dict.fromkeys((*map(_language, self.high), *self.held_out)))

    @cached_property
    def shared_speakers(self) -> frozenset[str]:
        """Target languages of which some fold's test speakers are heard in training too."""
        shares = {name: any(self._shared(fold) for fold in folds) for name, folds in self.low.items()}
        return frozenset(name for name, shared in shares.items() if shared)

    def _shared(self, fold: Fold) -> set[str]:
        return {self.speakers[clip] for clip in fold.train} & {self.speakers[clip] for clip in fold.test}

    def of(self, target: str | None, fold: int) -> Split:
        """The split of fold `fold` (0 to 4) for a method that hears `target`'s unlabelled speech, or none at all."""
        if target is not None and target not in self.low:
            raise unknown("language", target, self.low)
        if not 0 <= fold < FOLDS:
            raise unknown("fold", fold, range(FOLDS))
        high = [folds[fold] for folds in self.high.values()]
        tested = self.languages if target is None else (target,)
        others = [self.low[name][(fold + 1) % FOLDS].test for name in self.languages if name != target]
        valid = {"hrl": _joined(part.valid for part in high)}
        if target is not None and others:
            valid["other-languages"] = _joined(others)
        low = {name: self.low[name][fold].test for name in tested}
        return _without_overlap(
            Split(
                labelled=_joined(part.train for part in high),
                unlabelled={} if target is None else {target: self.low[target][fold].train},
                valid=valid,
                test={**low, **self._high_tests(fold), **self.held_out},
                whole={name: _whole(self.low[name]) for name in tested} if target is None else {},
            )
        )

    def _high_tests(self, fold: int) -> dict[str, tuple[str, ...]]:
        """High-resource language -> this fold's test clips, of all its corpora."""
        tests: dict[str, tuple[str, ...]] = {}
        for name, folds in self.high.items():
            tests[_language(name)] = tests.get(_language(name), ()) + folds[fold].test
        return tests

    def unlabelled(self, language: str, fold: int) -> tuple[str, ...]:
        """The training clips of a low-resource fold (the floor "own statistics" needs those of every language)."""
        return self.low[language][fold].train


def _language(corpus: str) -> str:
    return corpus_named(corpus).language


def _require_names_apart(protocol: Protocol, low: Sequence[str]) -> None:
    """A part is named by its language, of held-out corpora by the corpus; one name for two would lose one of them."""
    names = [*map(_language, low), *dict.fromkeys(map(_language, protocol.high)), *protocol.held_out]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"protocol {protocol.name} has two tests of the name {name!r}")


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(member for part in parts for member in part)


def _whole(folds: Sequence[Fold]) -> tuple[str, ...]:
    return tuple(sorted({member for fold in folds for member in fold.test}))


def _without_overlap(split: Split) -> Split:
    trained = set(split.labelled) | {member for ids in split.unlabelled.values() for member in ids}
    for group in ("valid", "test", "whole"):
        for name, ids in getattr(split, group).items():
            shared = trained & set(ids)
            if shared:
                raise UserError(f"{len(shared)} clips of {group}/{name} are trained on too, {min(shared)!r} first")
    return split
