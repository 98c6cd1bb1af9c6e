"""What each fold of a cell may hear: who trains, who validates, who tests, and what a stage or BYOL hears beside."""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from trainers.corpora import CORPORA
from trainers.corpora.folds import FOLDS, Fold, further_clips, high_resource_folds, low_resource_folds, within_folds
from trainers.corpora.prepared import Prepared
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError, unknown
from trainers.methods.configs import (
    ByolConfig,
    ClConfig,
    MethodConfig,
    PairwiseConfig,
    SupConConfig,
    has_stage,
    hears_low,
)
from trainers.protocols import PROTOCOLS, Protocol

FOLDS_BY = ("speaker", "speaker+sentence", "stratified", "random")
STRATIFIABLE = ("urdu", "demo_arda", "demo_bela", "demo_cyra")
"""Corpora that `stratified` folds are for, having no even ones by speaker; all others are then dealt by speaker."""


@dataclass(frozen=True)
class Split:
    """What one cell hears, as utterance ids. Nothing of `valid` or `test` is in `labelled`, `unlabelled` or `stage`.

    `labelled`: clips whose emotions are trained on. `unlabelled`: the target language's clips, by language, whose
    labels are not looked at. `stage`: corpus -> clips that the cell's stage hears, by kind with or without their
    emotions. `valid`: selector -> clips; the first one chooses. `test`: language (of a corpus that is only tested on:
    the corpus's name) -> clips of this fold; within corpora those of every corpus, first of the one that is trained on.
    `whole`: language -> all its clips, where the cell trains on none of them.
    """

    labelled: tuple[str, ...]
    unlabelled: dict[str, tuple[str, ...]]
    valid: dict[str, tuple[str, ...]]
    test: dict[str, tuple[str, ...]]
    whole: dict[str, tuple[str, ...]]
    stage: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def selector(self) -> str:
        """The validation part that chooses: "hrl", or "target" within a corpus."""
        return next(iter(self.valid))

    @property
    def heard_by_stage(self) -> tuple[str, ...]:
        """All clips of the stage, in the order of their names."""
        return tuple(sorted(_joined(self.stage.values())))

    def stage_fingerprint(self, prepared: Prepared) -> str:
        """Hash of every clip that the stage hears, of audio and labels; "" where there is none."""
        heard = [_all_facts(member, prepared) for member in self.heard_by_stage]
        return hashlib.sha256(json.dumps(heard).encode()).hexdigest() if heard else ""

    def fingerprint(self, prepared: Prepared) -> str:
        """Hash of who is in which part and of every clip's audio and label."""
        digest = hashlib.sha256()
        for part, members in self._parts():
            told = _all_facts if part.startswith("stage/") else _facts
            digest.update(json.dumps([part, [told(member, prepared) for member in members]]).encode())
        return digest.hexdigest()

    def _parts(self) -> list[tuple[str, tuple[str, ...]]]:
        named = [("labelled", self.labelled)]
        for group in ("unlabelled", "stage", "valid", "test", "whole"):
            named += [(f"{group}/{name}", ids) for name, ids in sorted(getattr(self, group).items())]
        return named


def _facts(member: str, prepared: Prepared) -> list[str]:
    clip = prepared.utterances[prepared.index[member]]
    return [member, prepared.fingerprints[member], clip.emotion, clip.speaker, clip.gender]


def _all_facts(member: str, prepared: Prepared) -> list[str]:
    """What stages go by as well: they take turns by language, and by corpus and sentence they choose positives."""
    clip = prepared.utterances[prepared.index[member]]
    return [*_facts(member, prepared), clip.corpus, clip.language, clip.text]


class Splits:
    """All splits of a protocol over prepared corpora; folds are dealt once.

    `folds_by`: `speaker`; `speaker+sentence` (where a corpus tells its sentences, none is said on both sides);
    `stratified` (low-resource corpora that have no even folds by speaker: every class in equal parts); `random`
    (within a corpus only: ten stratified folds, speakers on both sides, for comparison with papers that deal so).
    """

    def __init__(self, protocol: Protocol, prepared: Prepared, folds_by: str = "speaker") -> None:
        if folds_by not in FOLDS_BY:
            raise unknown("kind of folds", folds_by, FOLDS_BY)
        self.protocol, self.folds_by = protocol, folds_by
        self.speakers = {clip.id: clip.speaker for clip in prepared.utterances}
        everything = {name: [u for u in prepared.utterances if u.corpus == name] for name in protocol.corpora}
        here = {name: [u for u in clips if u.emotion in EMOTIONS] for name, clips in everything.items()}
        low = [name for name in protocol.low if here[name]]
        self.language_of = _languages(protocol, prepared)
        _require_names_apart(protocol, low, self.language_of)
        if protocol.task == "within":
            self.own = {self.language_of[name]: self._within(name, here[name]) for name in protocol.high}
            self._everything = {self.language_of[name]: everything[name] for name in protocol.high}
            self.high, self.low = {}, {}
        else:
            kinds = {name: self._kind(name, clips) for name, clips in here.items()}
            self.high = {name: high_resource_folds(name, here[name], kind=kinds[name]) for name in protocol.high}
            self.low = {self.language_of[name]: low_resource_folds(name, here[name], kind=kinds[name]) for name in low}
            self.whole = {self.language_of[name]: tuple(sorted(clip.id for clip in here[name])) for name in low}
            self.own = {}
        self.held_out = {name: tuple(clip.id for clip in here[name]) for name in protocol.held_out}
        for name, clips in self.held_out.items():
            if not clips:
                raise UserError(f"protocol {protocol.name} tests on {name}, of which no clip is here")
        self.adaptation = {name: _train_part(everything[name]) for name in protocol.adaptation if everything[name]}

    def _within(self, corpus: str, clips: Sequence[Utterance]) -> tuple[Fold, ...]:
        if self.folds_by == "stratified":
            raise UserError("folds_by is 'stratified'; within a corpus it must be speaker, speaker+sentence or random")
        return within_folds(corpus, clips, kind=self._kind(corpus, clips))

    def _kind(self, corpus: str, clips: Sequence[Utterance]) -> str:
        """How a corpus's folds are dealt: by speaker where what was asked for does not suit it."""
        if self.folds_by == "random" and self.protocol.task != "within":
            raise UserError("folds_by is 'random'; that is for protocols within a corpus")
        uneven = self.folds_by == "stratified" and corpus not in STRATIFIABLE
        silent = self.folds_by == "speaker+sentence" and not any(clip.text for clip in clips)
        return "speaker" if uneven or silent else self.folds_by

    @property
    def languages(self) -> tuple[str, ...]:
        """The target languages."""
        return tuple(self.own or self.low)

    @property
    def selector(self) -> str:
        """The validation part that chooses."""
        return "target" if self.own else "hrl"

    def folds(self, language: str) -> int:
        """How many folds a target language has."""
        return len((self.own or self.low)[language])

    @property
    def held_out_languages(self) -> tuple[str, ...]:
        """Names of the tests that are no target's: "does English hold?"."""
        return tuple(dict.fromkeys((*map(self.language_of.__getitem__, self.high), *self.held_out)))

    @cached_property
    def shared_speakers(self) -> frozenset[str]:
        """Target languages of which some fold's test speakers are heard in training too."""
        targets = self.own or self.low
        shares = {name: any(self._shared(fold) for fold in folds) for name, folds in targets.items()}
        return frozenset(name for name, shared in shares.items() if shared)

    def _shared(self, fold: Fold) -> set[str]:
        return {self.speakers[clip] for clip in fold.train} & {self.speakers[clip] for clip in fold.test}

    def of(self, target: str | None, fold: int, config: MethodConfig) -> Split:
        """The split of a fold for a method with this config, which says what it hears beside its labelled clips.

        `target` is None for a method that transfers and hears no target language: it is tested on all of them.
        UserError: an unknown target or fold, a method that is not for this kind of protocol, or a clip that is both
        heard and tested.
        """
        if self.protocol.task not in config.TASKS:
            whose = [one.name for one in PROTOCOLS.values() if one.task in config.TASKS]
            raise UserError(f"{type(config).__name__} is not for protocol {self.protocol.name}, but for {whose}")
        if target is not None and target not in self.languages:
            raise unknown("language", target, self.languages)
        count = self.folds(target) if target else FOLDS
        if not 0 <= fold < count:
            raise unknown("fold", fold, range(count))
        split = self._within_split(target, fold) if self.own else self._transfer_split(target, fold, config)
        return _without_overlap(replace(split, stage=stage_speech(self, target, fold, config, split)), fold)

    def _within_split(self, target: str | None, fold: int) -> Split:
        if target is None:
            raise unknown("language", "none", self.languages)
        own = self.own[target][fold]
        others = {name: folds[fold % len(folds)].test for name, folds in self.own.items() if name != target}
        return Split(own.train, {}, {"target": own.valid}, {target: own.test, **others}, {})

    def _transfer_split(self, target: str | None, fold: int, config: MethodConfig) -> Split:
        high = [folds[fold] for folds in self.high.values()]
        tested = self.languages if target is None else (target,)
        others = [self.low[name][(fold + 1) % FOLDS].test for name in self.languages if name != target]
        valid = {"hrl": _joined(part.valid for part in high)}
        if target is not None and others:
            valid["other-languages"] = _joined(others)
        return Split(
            labelled=_joined(part.train for part in high),
            unlabelled=unlabelled_speech(self, target, fold, config),
            valid=valid,
            test={**{name: self.low[name][fold].test for name in tested}, **self._high_tests(fold), **self.held_out},
            whole={name: self.whole[name] for name in tested} if target is None and not hears_low(config) else {},
        )

    def _high_tests(self, fold: int) -> dict[str, tuple[str, ...]]:
        """High-resource language -> this fold's test clips, of all its corpora."""
        tests: dict[str, tuple[str, ...]] = {}
        for name, folds in self.high.items():
            language = self.language_of[name]
            tests[language] = tests.get(language, ()) + folds[fold].test
        return tests

    def further(self, language: str, fold: int) -> tuple[str, ...]:
        """Clips of emotions beyond the four that may be heard beside a fold's training clips."""
        folds = self.own[language]
        return further_clips(folds[fold % len(folds)], self._everything[language])

    def unlabelled(self, language: str, fold: int) -> tuple[str, ...]:
        """The training clips of a low-resource fold (the floor "own statistics" needs those of every language)."""
        return self.low[language][fold].train


def _languages(protocol: Protocol, prepared: Prepared) -> dict[str, str]:
    """Language of each corpus of the protocol that is here or known."""
    known = {name: CORPORA[name].language for name in protocol.corpora if name in CORPORA}
    return known | {clip.corpus: clip.language for clip in prepared.utterances}


def _require_names_apart(protocol: Protocol, low: Sequence[str], language_of: Mapping[str, str]) -> None:
    """A part is named by its language, of held-out corpora by the corpus; one name for two would lose one of them."""
    targets = [language_of[name] for name in (low if protocol.task == "transfer" else protocol.high)]
    high = [language_of[name] for name in protocol.high] if protocol.task == "transfer" else []
    names = [*targets, *dict.fromkeys(high), *protocol.held_out]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"protocol {protocol.name} has two tests of the name {name!r}")


def _joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(member for part in parts for member in part)


def _train_part(clips: Sequence[Utterance]) -> tuple[str, ...]:
    """The clips of the official training part, or all where a corpus has none."""
    return tuple(clip.id for clip in clips if clip.split in ("", "train"))


def _without_overlap(split: Split, fold: int) -> Split:
    heard = {
        "trained on": {*split.labelled, *_joined(split.unlabelled.values())},
        "heard by the stage": set(split.heard_by_stage),
    }
    for group in ("valid", "test", "whole"):
        for name, ids in getattr(split, group).items():
            for how, clips in heard.items():
                if shared := clips & set(ids):
                    said = f"{len(shared)} clips of {group}/{name} in fold {fold} are {how} too, {min(shared)!r} first"
                    raise UserError(said)
    return split


def unlabelled_speech(
    splits: Splits, target: str | None, fold: int, config: MethodConfig
) -> dict[str, tuple[str, ...]]:
    """What BYOL hears of the target language, or of all of them, without labels; nothing for other methods."""
    if not isinstance(config, ByolConfig) or config.supervised_only:
        return {}
    if config.unlabelled_on == "low":
        return {name: _capped(folds[fold].train, config.unlabelled_cap) for name, folds in splits.low.items()}
    if target is None:
        return {}
    if config.unlabelled_on == "target":
        return {target: _capped(splits.low[target][fold].train, config.unlabelled_cap)}
    spoken = _adaptation_in(splits, target)
    matched = len(splits.low[target][fold].train) if config.unlabelled_on == "adaptation-matched" else 0
    return {name: _capped(_capped(clips, matched), config.unlabelled_cap) for name, clips in spoken.items()}


def _adaptation_in(splits: Splits, language: str) -> dict[str, tuple[str, ...]]:
    """The adaptation corpora in a language; UserError where there is none."""
    spoken = {name: clips for name, clips in splits.adaptation.items() if splits.language_of[name] == language}
    if not spoken:
        raise UserError(f"protocol {splits.protocol.name} has no adaptation corpus in {language}")
    return spoken


def stage_speech(
    splits: Splits, target: str | None, fold: int, config: MethodConfig, split: Split
) -> dict[str, tuple[str, ...]]:
    """What the stage of a cell hears, by language or corpus; nothing where the training has no stage."""
    if not has_stage(config):
        return {}
    if isinstance(config, ClConfig):
        heard = _speakers_speech(splits, target, fold, config.adapt_on, split)
        return {name: _of_few_speakers(clips, config.adapt_cap, splits.speakers) for name, clips in heard.items()}
    if isinstance(config, SupConConfig):
        return _emotional_speech(splits, target, fold, config, split)
    assert isinstance(config, PairwiseConfig)
    assert target is not None
    return _viewed_speech(splits, target, fold, config.annotations, split)


def _speakers_speech(
    splits: Splits, target: str | None, fold: int, kind: str, split: Split
) -> dict[str, tuple[str, ...]]:
    if kind == "adaptation":
        if not splits.adaptation:
            name = splits.protocol.name
            raise UserError(
                f"protocol {name} has no adaptation corpora; adapt_on must be low, target, high or low+high"
            )
        return splits.adaptation
    if kind == "adaptation-matched" and target:
        enough = len(splits.low[target][fold].train)
        spoken = _adaptation_in(splits, target)
        return {name: _of_few_speakers(clips, enough, splits.speakers) for name, clips in spoken.items()}
    chosen = (target,) if kind == "target" and target else splits.languages if kind in ("low", "low+high") else ()
    low = {name: splits.low[name][fold].train for name in chosen}
    return {**low, "high": split.labelled} if kind in ("high", "low+high") else low


def _emotional_speech(
    splits: Splits, target: str | None, fold: int, config: SupConConfig, split: Split
) -> dict[str, tuple[str, ...]]:
    """The labelled clips of a transfer; within corpora the training folds of the first `adapt_corpora`, with clips
    of further emotions, which are negatives only."""
    if target is None:
        return {"high": split.labelled}
    names = [target, *(name for name in splits.languages if name != target)]
    chosen = names[: config.adapt_corpora or len(names)]
    return {name: (*splits.own[name][fold % splits.folds(name)].train, *splits.further(name, fold)) for name in chosen}


def _viewed_speech(
    splits: Splits, target: str, fold: int, annotations: str, split: Split
) -> dict[str, tuple[str, ...]]:
    own = split.labelled if annotations in ("target", "both") else ()
    other = splits.further(target, fold) if annotations in ("other", "both") else ()
    if not own and not other:
        raise UserError(f"annotations is {annotations!r}; {target} has no clips of other emotions")
    return {target: (*own, *other)}


def _capped(clips: Sequence[str], cap: int) -> tuple[str, ...]:
    """At most `cap` clips (0: all), in an order that only their names decide."""
    return _first(clips, cap, _digest)


def _of_few_speakers(clips: Sequence[str], cap: int, speakers: Mapping[str, str]) -> tuple[str, ...]:
    """The same, but whole speakers, the last one's clips cut off: a contrast of speakers needs several of each."""
    return _first(clips, cap, lambda name: (_digest(speakers[name]), _digest(name)))


def _first(clips: Sequence[str], cap: int, key: Callable[[str], Any]) -> tuple[str, ...]:
    if not cap or len(clips) <= cap:
        return tuple(clips)
    return tuple(sorted(sorted(clips, key=key)[:cap]))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
