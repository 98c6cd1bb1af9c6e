"""All splits of a protocol over prepared corpora: who trains, who validates, who tests in each fold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial

from trainers.corpora import CORPORA
from trainers.corpora.copies import twins
from trainers.corpora.folds import (
    FOLDS,
    Fold,
    further_clips,
    high_resource_folds,
    low_resource_folds,
    only_partition,
    partitions,
    within_folds,
)
from trainers.corpora.prepared import Prepared
from trainers.corpora.repeats import MOST_REPEATS
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError, unknown
from trainers.hearing import stage_speech, unlabelled_speech
from trainers.methods.configs import MethodConfig, hears_low
from trainers.protocols import PROTOCOLS, Protocol
from trainers.split import Split, joined, without_copies, without_overlap

FOLDS_BY = ("speaker", "speaker+sentence", "stratified", "random")
EVERY_FOLD = -1000
"""In a fold's place: the training that leaves no fold out (`trainers.refit`), and has nothing to validate or test.

It is a number that nobody writes by mistake: -1 is refused, as every fold is that is not there."""

STRATIFIABLE = ("urdu", "demo_arda", "demo_bela", "demo_cyra")
"""Corpora that `stratified` folds are for, having no even ones by speaker; all others are then dealt by speaker."""


@dataclass
class Partitions:
    """A corpus's folds by their number, through all repeats; each repeat is dealt once, when it is first asked for."""

    deal: Callable[..., tuple[Fold, ...]]
    dealt: dict[int, tuple[Fold, ...]] = field(default_factory=dict)

    def of_repeat(self, repeat: int) -> tuple[Fold, ...]:
        if repeat not in self.dealt:
            self.dealt[repeat] = self.deal(repeat=repeat)
        return self.dealt[repeat]

    @property
    def count(self) -> int:
        """Folds of one partition."""
        return len(self.of_repeat(0))

    def __getitem__(self, fold: int) -> Fold:
        repeat, number = divmod(fold, self.count)
        return self.of_repeat(repeat)[number]

    def train(self, fold: int) -> tuple[str, ...]:
        """The training clips of a fold; of EVERY_FOLD all clips that some fold trains on, in the order of their names.

        These are all clips of a corpus, but for what a published split keeps from training.
        """
        if fold != EVERY_FOLD:
            return self[fold].train
        return tuple(sorted({clip for each in self.of_repeat(0) for clip in each.train}))


class Splits:
    """All splits of a protocol over prepared corpora.

    Where every partition has K folds, fold f is fold f mod K of repeat f // K, in all corpora at once. There are as
    many repeats as the corpus with the fewest has partitions: if one language's folds came back while others change,
    a block, which is a fold over all languages, would not be a new one (VALIDITY §5).

    `folds_by`: `speaker`; `speaker+sentence` (where a corpus tells its sentences, none is said on both sides);
    `stratified` (low-resource corpora that have no even folds by speaker: every class in equal parts); `random`
    (within a corpus only: ten stratified folds, speakers on both sides, for comparison with papers that deal so).
    """

    def __init__(self, protocol: Protocol, prepared: Prepared, folds_by: str = "speaker") -> None:
        if folds_by not in FOLDS_BY:
            raise unknown("kind of folds", folds_by, FOLDS_BY)
        self.protocol, self.folds_by = protocol, folds_by
        self.twins = twins(prepared.copies)
        self.speakers = {clip.id: clip.speaker for clip in prepared.utterances}
        everything = {name: [u for u in prepared.utterances if u.corpus == name] for name in protocol.corpora}
        here = {name: [u for u in clips if u.emotion in EMOTIONS] for name, clips in everything.items()}
        low = [name for name in protocol.low if here[name]]
        self.language_of = _languages(protocol, prepared)
        _require_names_apart(protocol, low, self.language_of)
        self._parted = {name: here[name] for name in (*protocol.high, *low)}
        self.high: dict[str, Partitions] = {}
        self.low: dict[str, Partitions] = {}
        self.own: dict[str, Partitions] = {}
        if protocol.task == "within":
            self.own = {self.language_of[name]: self._within(name, here[name]) for name in protocol.high}
            self._everything = {self.language_of[name]: everything[name] for name in protocol.high}
        else:
            self.high = {name: self._partitions(high_resource_folds, name, here[name]) for name in protocol.high}
            self.low = {self.language_of[name]: self._partitions(low_resource_folds, name, here[name]) for name in low}
            self.whole = {self.language_of[name]: tuple(sorted(clip.id for clip in here[name])) for name in low}
        self.held_out = {name: tuple(clip.id for clip in here[name]) for name in protocol.held_out}
        for name, clips in self.held_out.items():
            if not clips:
                raise UserError(f"protocol {protocol.name} tests on {name}, of which no clip is here")
        self.adaptation = {name: _train_part(everything[name]) for name in protocol.adaptation if everything[name]}

    def _within(self, corpus: str, clips: Sequence[Utterance]) -> Partitions:
        if self.folds_by == "stratified":
            raise UserError("folds_by is 'stratified'; within a corpus it must be speaker, speaker+sentence or random")
        return self._partitions(within_folds, corpus, clips)

    def _partitions(self, deal: Callable[..., tuple[Fold, ...]], corpus: str, clips: Sequence[Utterance]) -> Partitions:
        """What is wrong with a corpus's folds is said now."""
        found = Partitions(partial(deal, corpus, clips, kind=self._kind(corpus, clips)))
        found.of_repeat(0)
        return found

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
        """How many folds a partition of a target language has."""
        return (self.own or self.low)[language].count

    @cached_property
    def max_repeats(self) -> int:
        """How many partitions there are of every corpus, repeat 0 included; above 1 all corpora have as many folds."""
        return min(self._partitions_of.values())

    @cached_property
    def _partitions_of(self) -> dict[str, int]:
        return {name: partitions(name, clips, kind=self._kind(name, clips)) for name, clips in self._parted.items()}

    def require_repeats(self, repeats: int) -> None:
        """UserError that names the corpus which has fewer partitions."""
        if not 1 <= repeats <= self.max_repeats:
            rule = f"1 to {self.max_repeats}" if self.max_repeats > 1 else "1"
            raise UserError(f"repeats is {repeats}; it must be {rule}: {self._why_no_more()}")

    def _why_no_more(self) -> str:
        if self.max_repeats == MOST_REPEATS:
            return "more would make no interval narrower"
        corpus = min(self._partitions_of, key=self._partitions_of.__getitem__)
        if self.max_repeats > 1:
            return f"{corpus} has no more partitions"
        clips = self._parted[corpus]
        return f"{corpus} {only_partition(corpus, clips, kind=self._kind(corpus, clips))}"

    @property
    def held_out_languages(self) -> tuple[str, ...]:
        """Names of the tests that are no target's: "does English hold?"."""
        return tuple(dict.fromkeys((*map(self.language_of.__getitem__, self.high), *self.held_out)))

    @cached_property
    def shared_speakers(self) -> frozenset[str]:
        """Target languages of which some fold's test speakers are heard in training too."""
        targets = self.own or self.low
        shares = {name: any(self._shared(fold) for fold in folds.of_repeat(0)) for name, folds in targets.items()}
        return frozenset(name for name, shared in shares.items() if shared)

    def _shared(self, fold: Fold) -> set[str]:
        return {self.speakers[clip] for clip in fold.train} & {self.speakers[clip] for clip in fold.test}

    def of(self, target: str | None, fold: int, config: MethodConfig) -> Split:
        """The split of a fold for a method with this config, which says what it hears beside its labelled clips.

        `fold` counts through the repeats; EVERY_FOLD leaves none out. `target` is None for a method that transfers and
        hears no target language: it is tested on all of them. UserError: an unknown target or fold, a method that is
        not for this kind of protocol, or a clip that is both heard and tested.
        """
        if self.protocol.task not in config.TASKS:
            whose = [one.name for one in PROTOCOLS.values() if one.task in config.TASKS]
            raise UserError(f"{type(config).__name__} is not for protocol {self.protocol.name}, but for {whose}")
        if target is not None and target not in self.languages:
            raise unknown("language", target, self.languages)
        if fold == EVERY_FOLD:
            split = self._whole_split(target, config)
        else:
            self._require_fold(fold, self.folds(target) if target else FOLDS)
            split = self._within_split(target, fold) if self.own else self._transfer_split(target, fold, config)
        staged = replace(split, stage=stage_speech(self, target, fold, config, split))
        return without_overlap(without_copies(staged, self.twins), fold, config.STAGE)

    def _whole_split(self, target: str | None, config: MethodConfig) -> Split:
        """All that some fold trains on; held-out corpora are none of it."""
        if self.own and target is None:
            raise unknown("language", "none", self.languages)
        chosen = [self.own[target]] if self.own and target else self.high.values()
        heard = {} if self.own else unlabelled_speech(self, target, EVERY_FOLD, config)
        return Split(joined(part.train(EVERY_FOLD) for part in chosen), heard, {}, {}, {})

    def _require_fold(self, fold: int, count: int) -> None:
        if fold not in range(count) and fold not in range(count * self.max_repeats):
            known = unknown("fold", fold, range(count))
            last = count * self.max_repeats - 1
            raise UserError(f"{known}, and on to {last} in repeats" if self.max_repeats > 1 else str(known))

    def _within_split(self, target: str | None, fold: int) -> Split:
        if target is None:
            raise unknown("language", "none", self.languages)
        own = self.own[target][fold]
        others = {name: self.own_fold(name, fold).test for name in self.own if name != target}
        return Split(own.train, {}, {"target": own.valid}, {target: own.test, **others}, {})

    def _transfer_split(self, target: str | None, fold: int, config: MethodConfig) -> Split:
        high = [folds[fold] for folds in self.high.values()]
        tested = self.languages if target is None else (target,)
        repeat, number = divmod(fold, FOLDS)
        beside = repeat * FOLDS + (number + 1) % FOLDS
        others = [self.low[name][beside].test for name in self.languages if name != target]
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

    def own_fold(self, language: str, fold: int) -> Fold:
        """The fold of a language, within corpora, that goes with this one of another; of fewer folds some go twice."""
        own = self.own[language]
        return own[fold if self.max_repeats > 1 else fold % own.count]

    def own_train(self, language: str, fold: int) -> tuple[str, ...]:
        """The training clips of that fold."""
        if fold == EVERY_FOLD:
            return self.own[language].train(fold)
        return self.own_fold(language, fold).train

    def further(self, language: str, fold: int) -> tuple[str, ...]:
        """Clips of emotions beyond the four that may be heard beside a fold's training clips."""
        if fold == EVERY_FOLD:
            each = (self.further(language, one) for one in range(self.own[language].count))
            return tuple(sorted({clip for part in each for clip in part}))
        return further_clips(self.own_fold(language, fold), self._everything[language])

    def unlabelled(self, language: str, fold: int) -> tuple[str, ...]:
        """The training clips of a low-resource fold."""
        return self.low[language].train(fold)

    def for_statistics(self, language: str, fold: int) -> tuple[str, ...]:
        """The clips that tell the floor "own statistics" how a language sounds: those of training, without copies of
        this fold's test clips."""
        part = self.low[language][fold]
        copies = {other for clip in part.test for other in self.twins.get(clip, ())}
        return tuple(clip for clip in part.train if clip not in copies)


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
