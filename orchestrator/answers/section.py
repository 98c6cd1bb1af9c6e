"""What a sweep shows below its table, and what it is made from."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.answers.rows import Candidate, Place
from orchestrator.ledger import Ledger
from trainers.result import Result

Found = Mapping[Place, Result]


@dataclass(frozen=True)
class Section:
    """A small table: its title, headings, rows of words, and what a reader must know of it, one line each."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Findings:
    """A sweep's configurations and their results. `reference`: the name of the configuration that others are compared
    with, "" where the sweep declares none."""

    ledger: Ledger
    candidates: Sequence[Candidate]
    languages: Sequence[str]
    selector: str
    reference: str = ""

    def light(self, candidate: Candidate) -> Found:
        """Its results without curves and predictions."""
        return self._found(candidate, self.ledger.light)

    def whole(self, candidate: Candidate) -> Found:
        """Its results with all that they hold."""
        return self._found(candidate, self.ledger.read)

    def _found(self, candidate: Candidate, read: Callable[[str], Result | None]) -> Found:
        results = {place: read(key) for place, key in candidate.cells.items()}
        return {place: result for place, result in results.items() if result is not None}


Show = Callable[[Findings], Iterator[Section]]


def share(value: float, digits: int = 1) -> str:
    """A share in %; – where there is none."""
    return "–" if value != value else f"{100 * value:.{digits}f}"
