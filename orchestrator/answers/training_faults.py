"""Failures that training and validation alone tell (VALIDITY §7): nothing here reads a test score.

Each rule is a pure function of a cell's result. Results of older versions lack figures; of these a rule says nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from math import ceil
from statistics import fmean

from orchestrator.answers.finding import Finding, place_name
from orchestrator.answers.rows import Place
from trainers.health import CHANCE_UAR, LEAST_RANK, LOST, SPACES, left
from trainers.methods.configs import ByolConfig
from trainers.result import Result
from trainers.schedules import loss_weight, matched_tau, momentum
from trainers.scores import Score
from trainers.spec import CellSpec

Found = Mapping[Place, Result]
Rule = Callable[[Result, str], Iterator[Finding]]

FALLEN = 0.5
"""A rank that was low from the start has not collapsed: it must have fallen by half as well (ours)."""

DOMAIN_SHARE, DOMAIN_LOSS = 0.9, 0.2
PLATEAU_STEP = 0.1
LAG_SHARE, LAG_AGE, LAG_UAR, LAG_AGREEMENT = 0.05, 0.5, 0.03, 0.9
OVERFIT_GAP, OVERFIT_FALL, UNDERFIT_UAR = 0.20, 0.03, 0.5
EARLY_STEP, UNFINISHED_STEP, SCHEDULE_ERROR = 0.05, 0.8, 1e-6


def of_cells(found: Found) -> Iterator[Finding]:
    """Whatever the rules find in a configuration's cells, rule by rule."""
    for rule in RULES_OF_CELLS:
        for place, result in found.items():
            yield from rule(result, place_name(place))
    yield from early_stop(found)


def collapse(result: Result, where: str) -> Iterator[Finding]:
    """Rule 2: spread below a tenth of step 0's, or RankMe below 4 or a tenth, in some corpus; of the training, and of
    the stage that it begins with."""
    for part in ("", "stage/"):
        own = {name.removeprefix(part): value for name, value in result.facts.items() if name.startswith(part)}
        start = {name.removeprefix("start/"): value for name, value in own.items() if name.startswith("start/")}
        lost = [said for space in SPACES for said in _lost(space, start, own)]
        if lost:
            yield Finding("collapse", where, ("stage: " if part else "") + ", ".join(lost), _against_collapse(result))


def _lost(space: str, start: Mapping[str, float], now: Mapping[str, float]) -> Iterator[str]:
    for corpus, share in left(f"{space}/std", start, now).items():
        if share < LOST:
            yield f"{space}s of {corpus} spread {share:.2g} of step 0's"
    for corpus, share in left(f"{space}/rankme", start, now).items():
        rank, before = now[f"{space}/rankme/{corpus}"], start[f"{space}/rankme/{corpus}"]
        if rank < max(LEAST_RANK, LOST * before) and share < FALLEN:
            yield f"{space}s of {corpus} have RankMe {rank:.1f} (step 0: {before:.1f})"


def _against_collapse(result: Result) -> str:
    if isinstance(result.spec.config, ByolConfig):
        return "higher tau, lower head_lr, smaller lambda_start; predictor and stop-gradient at work?"
    return "lower encoder_lr, more warmup_steps; with contrast, a higher temperature"


def domain_collapse(result: Result, where: str) -> Iterator[Finding]:
    """Rule 3: more than .9 of the embeddings' variance lies between corpora while BYOL's loss is below .2."""
    shares = [result.facts[name] for name in BETWEEN if name in result.facts]
    loss = byol_loss(result)
    if shares and max(shares) > DOMAIN_SHARE and loss is not None and loss < DOMAIN_LOSS:
        what = f"{100 * max(shares):.0f} % of the variance lies between corpora, BYOL loss {loss:.2f}"
        yield Finding("domain collapse", where, what, "mixup_across on, bn_per_source off, higher tau, smaller lambda")


BETWEEN = ("embedding/between", "embedding/between_normalised")


def byol_loss(result: Result) -> float | None:
    """BYOL's loss, summed over both directions, mean over the last tenth of its logged steps; None for others."""
    logged = [row["loss/byol"] for row in result.history if "loss/byol" in row]
    if not logged or not isinstance(result.spec.config, ByolConfig):
        return None
    return fmean(logged[-ceil(len(logged) / 10) :]) * (1 if result.spec.config.direction_sum else 2)


def early_plateau(result: Result, where: str) -> Iterator[Finding]:
    """Rule 4: the best validation is in the first tenth, and at the end neighbours tell no emotion (UAR ≤ .30)."""
    best, knn = best_share(result), result.facts.get("knn_uar")
    if best is not None and knn is not None and best <= PLATEAU_STEP and knn <= CHANCE_UAR:
        what = f"best validation after {100 * best:.0f} % of the steps, kNN-5 UAR {100 * knn:.1f} at the end"
        yield Finding("early plateau", where, what, "lower encoder_lr, weaker augmentation; BYOL: smaller lambda_start")


def best_share(result: Result) -> float | None:
    """When the best validation was, as a share of all steps; None where there was none."""
    best = result.facts.get("best_step")
    return best / result.spec.training.steps if best else None


def target_lag(result: Result, where: str) -> Iterator[Finding]:
    """Rule 5: the target is not yet what the online network is: more than .05 of the initial weights left in it, mean
    age above half of the run, 3 points of validation UAR between the two, or agreement below .9."""
    if not isinstance(result.spec.config, ByolConfig):
        return
    said = list(_lags(result))
    if said:
        try_next = "more steps, lower tau, or tau_horizon=matched; beside it read the scores of `online`"
        yield Finding("target lag", where, ", ".join(said), try_next)


def _lags(result: Result) -> Iterator[str]:
    facts = result.facts
    if (share := facts.get("target_initial_share", 0.0)) > LAG_SHARE:
        yield f"{share:.2f} of the initial weights left"
    if (age := facts.get("target_mean_age", 0.0)) > LAG_AGE:
        yield f"mean age {age:.2f} of the run"
    own, online = validated(result), result.secondary.get("online", {}).get(f"valid/{selector(result)}")
    if own and online and abs(own.uar - online.uar) > LAG_UAR:
        yield f"validation UAR {100 * own.uar:.1f}, online {100 * online.uar:.1f}"
    if (agreement := facts.get("agreement", 1.0)) < LAG_AGREEMENT:
        yield f"agreement with online {agreement:.3f}"


def selector(result: Result) -> str:
    """The validation part that the curve and the facts are of."""
    return "target" if "target" in result.valid else "hrl"


def validated(result: Result) -> Score | None:
    return result.valid.get(selector(result))


def over_fitting(result: Result, where: str) -> Iterator[Finding]:
    """Rule 9: without augmentation the training clips are more than 20 points above validation, which over the last
    third of the run is on average more than 3 points below its best."""
    train, valid, fall = result.facts.get("train_uar"), validated(result), late_fall(result)
    if train is None or valid is None or fall is None:
        return
    if train - valid.uar > OVERFIT_GAP and fall > OVERFIT_FALL:
        what = (
            f"UAR {100 * train:.1f} on training clips, {100 * valid.uar:.1f} on validation, "
            f"late {100 * fall:.1f} points below its best"
        )
        try_next = "stronger augmentation, more dropout, fewer steps or trainable_layers"
        yield Finding("over-fitting", where, what, try_next)


def late_fall(result: Result) -> float | None:
    """How far the mean validation score of the last third lies below the best of all; None without validations."""
    name = f"valid_{result.spec.training.monitor}"
    curve = [(row["step"], row[name]) for row in result.history if name in row]
    late = [score for step, score in curve if step > 2 / 3 * result.spec.training.steps]
    return max(score for _, score in curve) - fmean(late) if late else None


def under_fitting(result: Result, where: str) -> Iterator[Finding]:
    """Rule 9: UAR on the training clips without augmentation below .5 at the end."""
    train = result.facts.get("train_uar")
    if train is not None and train < UNDERFIT_UAR:
        what = f"UAR {100 * train:.1f} on training clips at the end"
        yield Finding("under-fitting", where, what, "more steps, higher encoder_lr and head_lr, weaker augmentation")


def schedule_unfinished(result: Result, where: str) -> Iterator[Finding]:
    """Rule 10: the early-stopped weights are of before .8 of the run, where λ or τ had not arrived."""
    config, best = result.spec.config, best_share(result)
    if not isinstance(config, ByolConfig) or best is None or best >= UNFINISHED_STEP:
        return
    if config.lambda_start != config.lambda_end or config.tau_schedule == "cosine":
        at = loss_weight(config.lambda_start, config.lambda_end, round(best * 1000), 1000)
        what = f"best validation after {100 * best:.0f} % of the steps, at lambda {at:.2f}"
        yield Finding("schedule unfinished", where, what, "compare by the last weights, not by the early-stopped ones")


def schedule_wrong(result: Result, where: str) -> Iterator[Finding]:
    """Rule 10: λ or τ as logged is not what was configured."""
    for row in result.history:
        for name, wanted in configured(result.spec, round(row.get("step", 0)) - 1).items():
            if name in row and abs(row[name] - wanted) > SCHEDULE_ERROR:
                what = f"{name} was {row[name]:.6g} at step {row['step']:g}, configured is {wanted:.6g}"
                yield Finding("schedule wrong", where, what, "nothing: the training code is at fault, discard the cell")
                return


def configured(spec: CellSpec, step: int) -> dict[str, float]:
    """λ and τ of a step, counted from 0; nothing for a method without them."""
    config, steps = spec.config, spec.training.steps
    if not isinstance(config, ByolConfig):
        return {}
    tau = matched_tau(config.tau, steps) if config.tau_horizon == "matched" else config.tau
    return {
        "lambda": loss_weight(config.lambda_start, config.lambda_end, step, steps),
        "tau": momentum(tau, step, steps, config.tau_schedule),
    }


def early_stop(found: Found) -> Iterator[Finding]:
    """Rule 10: in at least half of a language's folds the best validation is in the first twentieth (mean of seeds)."""
    languages: dict[str | None, dict[int, list[float]]] = {}
    for (target, fold, _), result in found.items():
        if (best := best_share(result)) is not None:
            languages.setdefault(target, {}).setdefault(fold, []).append(best)
    for language, folds in languages.items():
        early = sum(fmean(shares) <= EARLY_STEP for shares in folds.values())
        if 2 * early >= len(folds):
            what = f"best validation within {100 * EARLY_STEP:.0f} % of the steps in {early} of {len(folds)} folds"
            try_next = "lower encoder_lr, more warmup_steps, or fewer trainable_layers"
            yield Finding("early stop", language or "", what, try_next)


RULES_OF_CELLS: tuple[Rule, ...] = (
    collapse,
    domain_collapse,
    early_plateau,
    target_lag,
    over_fitting,
    under_fitting,
    schedule_unfinished,
    schedule_wrong,
)
