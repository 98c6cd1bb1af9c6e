"""The failures that the papers warn of, found by the program (VALIDITY §7).

Two groups are kept apart. `of_training` reads training and validation alone and may run while a sweep does; `of_tests`
and `of_choice` read test scores, so only a comparison, which opens these, may call them.
"""

from collections.abc import Collection, Mapping, Sequence

from orchestrator.answers import training_faults, transfer_faults
from orchestrator.answers.claims import Claim
from orchestrator.answers.finding import RULES, Finding, lines, place_name, tag
from orchestrator.answers.notes import Verdict
from orchestrator.answers.rows import Candidate
from orchestrator.answers.section import Findings, Found, Section
from orchestrator.messages import WORDS

SWEEP = "the sweep"
"""What is said of no single configuration stands under this name."""

NUISANCE = "nuisance_only"


def of_training(found: Found) -> list[Finding]:
    """Rules 2, 3, 4, 5, 9 and 10 over a configuration's cells (or one of them), whole: with their curves."""
    return list(training_faults.of_cells(found))


def of_failures(candidate: Candidate, failed: Mapping[str, str]) -> list[Finding]:
    """Cells that were stopped early, by why cells (by key) have no result: `collapsed: …`, `nan: …`, or the same in
    words (`messages.WORDS`)."""
    told = []
    for place, key in candidate.cells.items():
        cause, _, reason = failed.get(key, "").partition(": ")
        for known, (rule, try_next) in STOPPED.items():
            if cause in (known, WORDS[known]):
                what = f"stopped early: {reason.rpartition('Error: ')[2]}"
                told.append(Finding(rule, place_name(place), what, try_next))
    return told


STOPPED = {
    "collapsed": ("collapse", "lower encoder_lr and head_lr, more warmup_steps; BYOL: higher tau"),
    "nan": ("diverged", "lower encoder_lr and head_lr, more warmup_steps, grad_clip=1"),
}
"""Causes of a failure -> rule, and what to try."""


def of_tests(
    found: Found,
    languages: Sequence[str],
    *,
    held_out: Sequence[str] = (),
    reference: Found | None = None,
    nuisance: Found | None = None,
    claim: Claim | None = None,
) -> list[Finding]:
    """Rules 1, 6, 7, 8 and 11 over a complete configuration's whole results.

    `languages`: the targets; `held_out`: tested, but no target. `reference`: the results that it is compared with, None
    for the reference itself; `claim`: of the mean of the languages against it. `nuisance`: that floor's results.
    """
    told: list[Finding] = []
    if reference:
        told += transfer_faults.gender_regression(found, reference, languages)
        told += transfer_faults.non_transfer(found, reference, held_out, claim)
    told += transfer_faults.high_variance(found, languages)
    told += transfer_faults.class_never_predicted(found, languages)
    told += transfer_faults.uneven_transfer(found, languages)
    if nuisance:
        told += transfer_faults.nuisance_floor(found, nuisance, languages)
    return told


def of_choice(verdict: Verdict | None) -> list[Finding]:
    """Rule 11's selector failure, of the sweep as a whole."""
    return list(transfer_faults.selector_failure(verdict.spearman, verdict.regret)) if verdict else []


def diagnoses(
    findings: Findings,
    *,
    listed: Collection[str],
    held_out: Sequence[str] = (),
    floors: Sequence[Candidate] = (),
    claims: Sequence[Claim] = (),
    verdict: Verdict | None = None,
    failed: Mapping[str, str] | None = None,
) -> dict[str, list[Finding]]:
    """Name -> what was found, of a compared sweep; the sweep itself under SWEEP. Configurations in which nothing was
    found have no entry.

    Test scores are looked at for the `listed` configurations alone, which are complete; the others, since they have
    failed or are many, are looked through for what stopped them.
    """
    cells = {one.name: one for one in findings.candidates}
    reference = findings.whole(cells[findings.reference]) if findings.reference in listed else None
    floor = next((findings.light(one) for one in floors if one.name == NUISANCE), None)
    means = {claim.configuration: claim for claim in claims if set(claim.languages) == set(findings.languages)}
    told: dict[str, list[Finding]] = {SWEEP: of_choice(verdict)}
    for name, candidate in cells.items():
        told[name] = of_failures(candidate, failed or {})
        if name in listed:
            found = findings.whole(candidate)
            told[name] += of_training(found)
            told[name] += of_tests(
                found,
                findings.languages,
                held_out=held_out,
                reference=None if name == findings.reference else reference,
                nuisance=floor,
                claim=means.get(name),
            )
    return {name: own for name, own in told.items() if own}


def section(told: Mapping[str, Sequence[Finding]], detailed: Collection[str] | None = None) -> Section:
    """A line for each configuration in which something was found; below it what that is, and what to try next, for
    the `detailed` ones (None: all)."""
    rows = [(name, _short(own)) for name, own in told.items()]
    shown = [(name, own) for name, own in told.items() if detailed is None or name in detailed]
    notes = [f"{name}: {line}" for name, own in shown for line in lines(own)]
    if len(shown) < len(told):
        notes.append("the numbers are those of the chosen one, the reference and the sweep; others have tags in MLflow")
    fired = {each.rule for own in told.values() for each in own}
    notes += [f"why {rule}: {source}" for rule, source in RULES.items() if rule in fired]
    if any(not each.certain for own in told.values() for each in own):
        notes.append("in brackets: what looks like it, but cannot be told from something else here")
    if not rows:
        notes.append("none of the known failures was found; where a result lacks figures, its rules are silent")
    return Section("diagnosis", ("diagnosis", "found"), tuple(rows), tuple(notes))


def _short(own: Sequence[Finding]) -> str:
    certain = {each.rule for each in own if each.certain}
    return ", ".join(dict.fromkeys(each.rule if each.rule in certain else f"({each.rule})" for each in own))


def tags(told: Mapping[str, Sequence[Finding]]) -> dict[str, str]:
    """Name -> the certain findings in short, as a table's line or an MLflow tag has them."""
    return {name: short for name, own in told.items() if (short := tag(own))}
