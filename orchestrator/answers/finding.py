"""What a diagnosis says: one failure that was found, its numbers, and what to try next."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from orchestrator.answers.rows import Place

PUBLISHED = "Gong et al. 2025"
OURS = "ours"

RULES: Mapping[str, str] = {
    "collapse": "Grill et al. 2020 §3.2, Chen & He 2021 §4.1; RankMe: Garrido et al. 2023",
    "diverged": "a loss or an embedding that is no number",
    "domain collapse": f"{OURS}: a loss without negatives is met by telling corpora apart alone",
    "early plateau": f"{OURS}: nothing was learned after the first steps",
    "target lag": f"{PUBLISHED} §2.3 classify through the target network, which follows late",
    "over-fitting": "held-out speech falls behind what is trained on",
    "under-fitting": "the training clips themselves are not learned",
    "early stop": f"{PUBLISHED} §3.3 stop early, which would end a schedule at its beginning",
    "schedule unfinished": f"{PUBLISHED} §2.3 scale lambda over the whole training; §3.3 stop early",
    "schedule wrong": f"{OURS}: momentum per epoch in place of per step, lambda anew after a restart",
    "gender regression": f"{PUBLISHED}: contrast of speakers cost women what it gave men",
    "non-transfer": f"{OURS}: what English holds need not reach another language",
    "high variance": f"{PUBLISHED} lay it to folds of fewer than 100 clips",
    "class never predicted": f"{PUBLISHED}, Table 2: gains of one emotion are losses of another",
    "uneven transfer": f"{OURS}: a mean over languages hides the worst",
    "nuisance floor": f"{OURS}: level, silence and duration alone classify",
    "selector failure": f"{OURS}: English validation hardly chooses for another language",
}
"""Every rule by its name, with its source or why it is there; thresholds stand where it is applied."""


@dataclass(frozen=True)
class Finding:
    """A failure of a configuration, or of the sweep.

    `rule`: of RULES. `where`: the cell or the language, "" for all. `what`: one line with the numbers. `try_next`: one
    line. `certain`: whether it is the failure itself, or what looks like it and cannot be told from something else.
    """

    rule: str
    where: str
    what: str
    try_next: str
    certain: bool = True


def place_name(place: Place) -> str:
    """`urdu fold 1`, with the seed where it is not 0."""
    target, fold, seed = place
    return " ".join([*([target] if target else []), f"fold {fold}", *([f"seed {seed}"] if seed else [])])


def tag(findings: Iterable[Finding]) -> str:
    """The rules in short, for a table or MLflow: "collapse, early stop"; "" where nothing is certain."""
    return ", ".join(dict.fromkeys(finding.rule for finding in findings if finding.certain))


def gathered(findings: Sequence[Finding]) -> list[Finding]:
    """One finding for each rule, in their order: the first one, and in how many more places it was found."""
    kinds: dict[tuple[str, bool], list[Finding]] = {}
    for finding in findings:
        kinds.setdefault((finding.rule, finding.certain), []).append(finding)
    return [_counted(same) for same in kinds.values()]


def _counted(same: Sequence[Finding]) -> Finding:
    first = same[0]
    more = f"{first.where} and {len(same) - 1} more" if len(same) > 1 else first.where
    return replace(first, where=more)


def lines(findings: Sequence[Finding]) -> list[str]:
    """One line for each rule: what, where, with which numbers, and what to try."""
    return [
        f"{each.rule}{f' ({each.where})' if each.where else ''}: {each.what}; try: {each.try_next}"
        for each in gathered(findings)
    ]
