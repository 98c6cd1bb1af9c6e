"""How steadily a configuration learns: over seeds, late in training, and from one loss to the next."""

from collections.abc import Iterator, Mapping, Sequence
from math import sqrt
from statistics import fmean, median, stdev, variance

from orchestrator.answers.section import Findings, Found, Section, share

NAN = float("nan")

BEFORE, TIMES = 20, 6.0
"""A loss is a spike when it lies more than 6 scaled deviations above the median of the 20 before it."""

SCALED = 1.4826
"""Times the median absolute deviation is the sd of a normal distribution."""


def figures(findings: Findings) -> Iterator[Section]:
    """One line per configuration."""
    rows = []
    for candidate in findings.candidates:
        found = findings.whole(candidate)
        histories = [result.history for result in found.values()]
        shown = (
            share(seed_sd(found, findings.selector)),
            share(_mean(late_sd(history) for history in histories)),
            share(_mean(spike_share(history) for history in histories), 2),
        )
        rows.append((candidate.name, *shown))
    headings = ("stability", "sd over seeds", "sd of late validation", "spikes of loss")
    notes = (
        "sd over seeds: of validation UAR within a fold, root mean square over folds (points; – with one seed)",
        "sd of late validation: of UAR over the last third of a cell's validations (points)",
        f"spikes of loss: % of the logged losses that lie {TIMES:g} robust sd above the median of the {BEFORE} before",
    )
    yield Section("stability", headings, tuple(rows), notes)


def seed_sd(found: Found, selector: str) -> float:
    """Validation UAR's sd over seeds within a language's fold, root mean square over these; NaN with one seed."""
    groups: dict[tuple[str | None, int], list[float]] = {}
    for (target, fold, _), result in found.items():
        if selector in result.valid:
            groups.setdefault((target, fold), []).append(result.valid[selector].uar)
    variances = [variance(values) for values in groups.values() if len(values) > 1]
    return sqrt(fmean(variances)) if variances else NAN


def late_sd(history: Sequence[Mapping[str, float]]) -> float:
    """Sd of validation UAR over the last third of the run; NaN with fewer than two validations there."""
    validated = [(row["step"], row["valid_uar"]) for row in history if "valid_uar" in row]
    late = [uar for step, uar in validated if step > 2 / 3 * validated[-1][0]]
    return stdev(late) if len(late) > 1 else NAN


def spike_share(history: Sequence[Mapping[str, float]]) -> float:
    """Share of the logged losses that stick out above those before; NaN where there are no more than 20.

    Robust against earlier spikes, since it measures by medians. A loss that falls, as it does in training, makes the
    measure strict. Of a flat loss with normal noise .02 % count (simulated; with 5 unscaled deviations .6 % would).
    """
    losses = [row["loss/total"] for row in history if "loss/total" in row]
    asked = range(BEFORE, len(losses))
    return fmean(_is_spike(losses[place - BEFORE : place], losses[place]) for place in asked) if asked else NAN


def _is_spike(before: Sequence[float], loss: float) -> bool:
    centre = median(before)
    spread = SCALED * median(abs(value - centre) for value in before)
    return loss - centre > TIMES * max(spread, 1e-6 * abs(centre))


def _mean(values: Iterator[float]) -> float:
    there = [value for value in values if value == value]
    return fmean(there) if there else NAN
