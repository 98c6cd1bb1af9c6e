"""All splits of a protocol over prepared corpora: who trains, who validates, who tests in each fold."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property

from trainers.corpora import CORPORA
from trainers.corpora.folds import FOLDS, Fold, further_clips, high_resource_folds, low_resource_folds, within_folds
from trainers.corpora.prepared import Prepared
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError, unknown
from trainers.hearing import stage_speech, unlabelled_speech
from trainers.methods.configs import MethodConfig, hears_low
from trainers.protocols import PROTOCOLS, Protocol
from trainers.split import Split, joined, without_overlap

FOLDS_BY = ("speaker", "speaker+sentence", "stratified", "random")
STRATIFIABLE = ("urdu", "demo_arda", "demo_bela", "demo_cyra")
"""Corpora that `stratified` folds are for, having no even ones by speaker; all others are then dealt by speaker."""


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
        staged = replace(split, stage=stage_speech(self, target, fold, config, split))
        return without_overlap(staged, fold, config.STAGE)

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
        valid = {"hrl": joined(part.valid for part in high)}
        if target is not None and others:
            valid["other-languages"] = joined(others)
        return Split(
            labelled=joined(part.train for part in high),
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


def _train_part(clips: Sequence[Utterance]) -> tuple[str, ...]:
    """The clips of the official training part, or all where a corpus has none."""
    return tuple(clip.id for clip in clips if clip.split in ("", "train"))
