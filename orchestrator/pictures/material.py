"""What the pictures of a report are made from: the record, the comparison, and the whole results of a few."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orchestrator.answers.comparison import FOLDS, Comparison
from orchestrator.answers.means import Blocks
from orchestrator.answers.rows import Candidate, Row, by_fold, places_of
from orchestrator.answers.section import Found, Section
from orchestrator.answers.statistics import repeat_of
from orchestrator.asked import Asked
from orchestrator.ledger import Ledger

FEW = 3
"""So many configurations are shown in pictures that have room for few, and the chosen one beside them."""

LONGEST_NAME = 22
"""Longer names do not fit beside a panel; configurations then have numbers there, and a table of what they are."""


@dataclass(frozen=True)
class Material:
    """A compared sweep. Whole results are read from the ledger once, when first asked for."""

    ledger: Ledger
    asked: Asked
    comparison: Comparison
    _read: dict[str, Found] = field(default_factory=dict, repr=False)

    @cached_property
    def candidates(self) -> Mapping[str, Candidate]:
        """All that were asked for, by name, in the order of the plan."""
        return {one.name: one for one in self.asked.configurations}

    @cached_property
    def rows(self) -> Mapping[str, Row]:
        """The complete ones, by name."""
        return {row.name: row for row in self.comparison.rows}

    @property
    def languages(self) -> tuple[str, ...]:
        return self.comparison.languages

    @property
    def listed(self) -> tuple[str, ...]:
        """The complete configurations that pictures show: all up to 30, else the reference, the chosen one and the best
        by validation."""
        return self.comparison.listed

    @property
    def chosen(self) -> str:
        """ "" where nothing could be chosen."""
        return self.comparison.verdict.winner.name if self.comparison.verdict else ""

    @property
    def reference(self) -> str:
        """ "" where there is none, or where it is not complete."""
        return self.comparison.reference if self.comparison.reference in self.rows else ""

    @cached_property
    def few(self) -> tuple[str, ...]:
        """The reference, one of each method where there are several, the chosen one, the best by validation."""
        return tuple(dict.fromkeys(self._by_importance()))[:FEW]

    @cached_property
    def few_and_chosen(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.few, *([self.chosen] if self.chosen else [])]))

    def _by_importance(self) -> Iterator[str]:
        yield from [self.reference] if self.reference else []
        methods: dict[str, str] = {}
        for name in [*([self.reference] if self.reference else []), *self.listed]:
            methods.setdefault(self.candidates[name].method, name)
        if len(methods) > 1:
            yield from methods.values()
        yield from [self.chosen] if self.chosen else []
        yield from sorted(self.listed, key=lambda name: -valid.mean if (valid := self.rows[name].valid) else 1.0)

    def whole(self, name: str) -> Found:
        """The results of a configuration with all that they hold, or of a floor."""
        if name not in self._read:
            found = ((place, self.ledger.read(key)) for place, key in self.candidates[name].cells.items())
            self._read[name] = {place: result for place, result in found if result is not None}
        return self._read[name]

    def number(self, name: str) -> int:
        """The place of a configuration in the plan."""
        return list(self.candidates).index(name)

    @cached_property
    def _numbered(self) -> bool:
        return any(len(name) > LONGEST_NAME for name in self.listed)

    def label(self, name: str) -> str:
        """What pictures call a configuration: its name, or its number where names are long."""
        if not self._numbered:
            return name
        marks = [word for word, one in (("ref.", self.reference), ("chosen", self.chosen)) if one == name]
        return f"#{self.number(name)}" + (f" ({', '.join(marks)})" if marks else "")

    def key(self) -> Section | None:
        """Which number is which configuration; None where pictures have their names."""
        if not self._numbered:
            return None
        rows = tuple((name, self.label(name)) for name in self.listed)
        return Section("configurations and their numbers in pictures", ("configuration", "number"), rows)

    def uar_by_fold(self, name: str, language: str) -> Mapping[int, float]:
        """Test UAR of each fold, as the table has it: where a fold lacks a class, its contribution to that of all."""
        own = by_fold(places_of(self.candidates[name], language), self.comparison.cells[name], language)
        return Blocks.of(own).uar if own else {}

    def partition(self, language: str) -> int:
        """How many folds one partition of a language has."""
        return self.asked.folds.get(language, FOLDS)

    def folds_each(self, language: str, folds: Sequence[int]) -> int:
        """How many folds of each partition were run."""
        return len({repeat_of(fold, self.partition(language))[1] for fold in folds})

    def times(self, name: str, language: str) -> int:
        """How often each test clip of a language was tested: once for each seed and partition."""
        own = places_of(self.candidates[name], language)
        return len(own) // max(1, self.folds_each(language, [fold for _, fold, _ in own]))

    def left_out(self) -> tuple[str, ...]:
        """A sentence where pictures show fewer configurations than there are."""
        more = len(self.comparison.rows) - len(self.listed)
        if not more:
            return ()
        return (
            f"Of {len(self.comparison.rows)} complete configurations the pictures show {len(self.listed)}: the "
            "reference, the chosen one and the best by validation.",
        )


def moved(candidates: Sequence[Candidate]) -> dict[str, list[Any]]:
    """The settings in which configurations differ, each with its values in the order of the plan; one that a
    configuration does not have is None there."""
    names = dict.fromkeys(name for one in candidates for name in one.values)
    values = {name: list(dict.fromkeys(one.values.get(name) for one in candidates)) for name in names}
    return {name: own for name, own in values.items() if len(own) > 1}


def is_numeric(values: Sequence[Any]) -> bool:
    """Whether all are numbers."""
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
