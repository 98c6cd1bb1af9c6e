"""What training and validation alone tell: each rule provoked by a planted fault, and silent where there is none."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch

from orchestrator.answers import training_faults
from orchestrator.answers.diagnosis import of_training
from orchestrator.answers.finding import Finding, tag
from orchestrator.answers.rows import Place
from tests import small_world
from tests.synthetic_results import baseline_spec, floor_spec, hits, spec
from tests.test_watching import BASELINE, BYOL, byol_run, run, watched
from trainers.loop import train
from trainers.methods.byol import Byol
from trainers.methods.configs import ByolConfig
from trainers.result import Result
from trainers.scores import Score
from trainers.spec import CellSpec, Training

HEALTHY = {
    **{f"{space}/std/{corpus}": 0.25 for space in ("embedding", "projection") for corpus in ("ravdess", "urdu")},
    **{f"{space}/rankme/{corpus}": 60.0 for space in ("embedding", "projection") for corpus in ("ravdess", "urdu")},
    "embedding/between": 0.4,
    "embedding/between_normalised": 0.25,
    "train_uar": 0.8,
}
STARTED = {f"start/{name}": value for name, value in HEALTHY.items()}
FACTS = {
    **HEALTHY,
    **STARTED,
    "knn_uar": 0.6,
    "best_step": 4500.0,
    "target_initial_share": 0.01,
    "target_mean_age": 0.3,
    "agreement": 0.97,
}
"""A cell with nothing to complain of."""


def cell(
    of: CellSpec | None = None,
    *,
    valid: Score | None = None,
    online: Score | None = None,
    curve: Mapping[int, float] | None = None,
    losses: float = 1.0,
    **facts: float,
) -> Result:
    """A BYOL cell of 5000 steps whose schedules are as configured; `curve`: step -> validation UAR."""
    made, uar = of or spec(), valid or hits(7, 7, 7, 7)
    config = made.config
    history = [
        {"step": float(step), "loss/byol": losses, **training_faults.configured(made, step - 1)}
        for step in range(250, 5001, 250)
    ]
    for row in history:
        if row["step"] in (curve or {}):
            row["valid_uar"] = curve[row["step"]]
    byol = isinstance(config, ByolConfig)
    secondary = {"online": {"valid/hrl": online or uar}} if byol else {}
    told = {name: value for name, value in {**FACTS, **facts}.items() if value is not None}
    return Result(made, {"hrl": uar}, {}, secondary=secondary, facts=told, history=history)


def faults(result: Result) -> list[Finding]:
    return of_training({("urdu", 0, 0): result})


def only(findings: list[Finding], rule: str) -> Finding:
    assert [finding.rule for finding in findings] == [rule]
    return findings[0]


def test_a_healthy_cell_has_no_finding() -> None:
    assert faults(cell()) == []
    assert faults(cell(baseline_spec())) == []


def test_a_result_of_an_older_version_has_no_finding() -> None:
    bare = replace(cell(), facts={"best_step": 4500.0}, history=[{"step": 100.0, "loss/total": 1.0}], secondary={})
    assert faults(bare) == []
    assert faults(replace(bare, facts={}, history=[], valid={})) == []
    assert faults(Result(floor_spec("frozen_probe"), {"hrl": hits(1, 1, 1, 1)}, {})) == []


# --- 2 collapse


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"embedding/std/urdu": 0.0249}, "embeddings of urdu spread 0.1 of step 0's"),
        ({"projection/std/ravdess": 0.001}, "projections of ravdess spread 0.004 of step 0's"),
        ({"embedding/rankme/urdu": 5.9}, "embeddings of urdu have RankMe 5.9 (step 0: 60.0)"),
        ({"embedding/rankme/urdu": 3.9, "start/embedding/rankme/urdu": 20.0}, "embeddings of urdu have RankMe 3.9"),
    ],
)
def test_collapse_is_found_in_any_corpus_by_spread_or_rank(changes: dict[str, float], said: str) -> None:
    found = only(faults(cell(**changes)), "collapse")
    assert said in found.what
    assert found.where == "urdu fold 0"
    assert "tau" in found.try_next


@pytest.mark.parametrize(
    "changes",
    [
        {"embedding/std/urdu": 0.0251},
        {"embedding/rankme/urdu": 6.1},
        {"embedding/rankme/urdu": 4.1, "start/embedding/rankme/urdu": 20.0},
        {"embedding/rankme/urdu": 3.0, "start/embedding/rankme/urdu": 5.0},  # it never had more
        {"embedding/std/urdu": 0.0249, "start/embedding/std/urdu": 0.05},  # low from the start: relative to step 0
    ],
)
def test_collapse_is_silent_above_its_bounds(changes: dict[str, float]) -> None:
    assert faults(cell(**changes)) == []


def test_collapse_of_a_stage_is_told_as_that_of_a_stage() -> None:
    stage = {f"stage/{name}": value for name, value in {**HEALTHY, **STARTED}.items()}
    assert faults(cell(baseline_spec(), **stage)) == []
    found = only(faults(cell(baseline_spec(), **{**stage, "stage/embedding/std/urdu": 0.0})), "collapse")
    assert found.what.startswith("stage: embeddings of urdu spread 0 of step 0's")
    assert "tau" not in found.try_next


@pytest.mark.slow
def test_collapse_is_found_in_a_real_byol_without_predictor_and_stop_gradient_and_not_in_a_sound_one() -> None:
    told = {planted: byol_run(planted=planted, weight=0.8)[1] for planted in (True, False)}
    results = {planted: replace(cell(), facts=facts) for planted, facts in told.items()}
    assert "projections of away spread" in next(f.what for f in faults(results[True]) if f.rule == "collapse")
    assert "collapse" not in tag(faults(results[False]))


# --- 3 domain collapse


@pytest.mark.parametrize("name", ["embedding/between", "embedding/between_normalised"])
def test_domain_collapse_takes_both_the_share_and_the_loss(name: str) -> None:
    found = only(faults(cell(losses=0.19, **{name: 0.91})), "domain collapse")
    assert found.what == "91 % of the variance lies between corpora, BYOL loss 0.19"
    assert faults(cell(losses=0.21, **{name: 0.91})) == []
    assert faults(cell(losses=0.19, **{name: 0.89})) == []


def test_domain_collapse_counts_the_loss_of_both_directions() -> None:
    mean = replace(spec(), config=ByolConfig(direction_sum=False))
    assert faults(cell(mean, losses=0.11, **{"embedding/between": 0.95})) == []
    only(faults(cell(mean, losses=0.09, **{"embedding/between": 0.95})), "domain collapse")


def test_domain_collapse_is_of_byol_alone() -> None:
    assert faults(cell(baseline_spec(), losses=0.01, **{"embedding/between": 0.99})) == []


@pytest.mark.slow
def test_domain_collapse_is_found_where_a_real_training_hears_the_corpus_and_nothing_else() -> None:
    """The planted fault: corpora whose clips are one and the same, so that the loss vanishes and only they differ."""
    method, found, watch = run(BYOL, steps=12)
    clips = list(watch.clips.values())
    heard = method.speech.mels

    def one_clip_a_corpus(numbers: Any, starts: Any = None) -> Any:
        first = {number: int(own[0]) for own in clips for number in own.tolist()}
        return heard(numbers.new_tensor([first.get(number, number) for number in numbers.tolist()]), starts)

    method.speech.mels = one_clip_a_corpus
    row = watch.look(12)
    assert row["embedding/between"] == pytest.approx(1)
    facts = watch.facts(found.start, [row])
    result = cell(losses=0.0, **{name: value for name, value in facts.items() if "between" in name})
    only(faults(result), "domain collapse")


# --- 4 early plateau


def test_early_plateau_takes_an_early_best_and_neighbours_at_chance() -> None:
    found = [f for f in faults(cell(best_step=500.0, knn_uar=0.3)) if f.rule == "early plateau"]
    assert [f.what for f in found] == ["best validation after 10 % of the steps, kNN-5 UAR 30.0 at the end"]
    for facts in ({"best_step": 500.0, "knn_uar": 0.31}, {"best_step": 750.0, "knn_uar": 0.3}):
        assert "early plateau" not in tag(faults(cell(**facts)))


@pytest.mark.slow
def test_neighbours_are_at_chance_in_a_real_training_on_shuffled_labels_and_not_on_true_ones() -> None:
    told = {}
    for shuffled in (True, False):
        asked = small_world.spec(BASELINE, steps=60, encoder_lr=3e-3)
        method = small_world.method(asked)
        if shuffled:  # what the emotions of these clips are said to be, to the training and to whoever looks
            dealt = torch.randint(4, (64,), generator=torch.Generator().manual_seed(0))
            method.speech.labels = lambda numbers, dealt=dealt: dealt[numbers]
        watch = watched(asked, method)
        watch.valid = torch.arange(16, 64)  # the eight clips of this world's validation part are few
        found = train(method, asked.training, 0, validate=lambda: 0.5, look=watch.look)
        neighbours = watch.facts(found.start, found.history)["knn_uar"]
        told[shuffled] = "early plateau" in tag(faults(cell(knn_uar=neighbours, best_step=250.0)))
    assert told == {True: True, False: False}


# --- 5 target lag


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"target_initial_share": 0.06}, "0.06 of the initial weights left"),
        ({"target_mean_age": 0.51}, "mean age 0.51 of the run"),
        ({"agreement": 0.89}, "agreement with online 0.890"),
    ],
)
def test_target_lag_is_found_by_any_of_its_facts(facts: dict[str, float], said: str) -> None:
    assert only(faults(cell(**facts)), "target lag").what == said


def test_target_lag_is_found_by_validation_scores_three_points_apart() -> None:
    found = only(faults(cell(valid=hits(7, 7, 7, 7), online=hits(8, 8, 7, 7))), "target lag")
    assert found.what == "validation UAR 70.0, online 75.0"
    assert faults(cell(valid=hits(70, 70, 70, 70, of=100), online=hits(73, 73, 72, 73, of=100))) == []


def test_target_lag_is_silent_at_its_bounds_and_of_other_methods() -> None:
    assert faults(cell(target_initial_share=0.05, target_mean_age=0.5, agreement=0.9)) == []
    assert faults(cell(baseline_spec(), target_initial_share=0.9)) == []


def test_target_lag_of_a_real_training_depends_on_its_momentum() -> None:
    def lag(tau: float) -> list[Finding]:
        config = ByolConfig(projector_hidden=8, projection=4, tau_horizon="paper", tau=tau)
        method, _, _ = run(config, steps=12)
        assert isinstance(method, Byol)
        facts = {name: value for name, value in method.facts(12).items() if name.startswith("target_")}
        return [finding for finding in faults(cell(**facts)) if finding.rule == "target lag"]

    assert lag(0.999)
    assert not lag(0.2)


# --- 9 over- and under-fitting

FALLING = {250: 0.70, 1000: 0.80, 3500: 0.70, 4000: 0.72, 5000: 0.71}


def test_over_fitting_takes_a_gap_to_training_and_a_late_fall() -> None:
    found = only(faults(cell(train_uar=0.95, curve=FALLING)), "over-fitting")
    assert found.what == "UAR 95.0 on training clips, 70.0 on validation, late 9.0 points below its best"
    assert faults(cell(train_uar=0.89, curve=FALLING)) == []
    assert faults(cell(train_uar=0.95, curve={250: 0.5, 3500: 0.70, 4000: 0.72, 5000: 0.71})) == []


def test_over_fitting_follows_the_score_that_was_monitored() -> None:
    asked = replace(spec(), training=Training(monitor="accuracy"))
    result = cell(asked, train_uar=0.95)
    for row in result.history:
        row["valid_accuracy"] = 0.9 if row["step"] == 1000 else 0.7
    only(faults(result), "over-fitting")


def test_under_fitting_is_training_clips_below_one_half() -> None:
    assert only(faults(cell(train_uar=0.49)), "under-fitting").what == "UAR 49.0 on training clips at the end"
    assert faults(cell(train_uar=0.5)) == []


@pytest.mark.slow
def test_under_fitting_is_found_in_a_real_training_of_two_steps_and_not_of_sixty() -> None:
    told = {}
    for steps in (2, 60):
        _, found, watch = run(BASELINE, steps=steps, encoder_lr=3e-3)
        facts = watch.facts(found.start, found.history)
        told[steps] = tag(faults(cell(baseline_spec(), train_uar=facts["train_uar"])))
    assert told == {2: "under-fitting", 60: ""}


# --- 10 early stop, unfinished and wrong schedules


def early(bests: Mapping[Place, float]) -> list[Finding]:
    found = {place: cell(spec(target=place[0], fold=place[1]), best_step=best) for place, best in bests.items()}
    return [finding for finding in of_training(found) if finding.rule == "early stop"]


def test_early_stop_takes_half_of_a_language_s_folds() -> None:
    found = early({("urdu", 0, 0): 250, ("urdu", 1, 0): 250, ("urdu", 2, 0): 4000, ("urdu", 3, 0): 4000})
    assert [(one.where, one.what) for one in found] == [
        ("urdu", "best validation within 5 % of the steps in 2 of 4 folds")
    ]
    assert not early({("urdu", 0, 0): 250, ("urdu", 1, 0): 4000, ("urdu", 2, 0): 4000})
    assert not early({("urdu", 0, 0): 300, ("urdu", 1, 0): 300})


def test_early_stop_counts_folds_and_neither_seeds_nor_other_languages() -> None:
    assert not early({("urdu", 0, seed): 100 for seed in range(3)} | {("urdu", fold, 0): 4000 for fold in (1, 2)})
    found = early({("urdu", 0, 0): 100, ("german", 0, 0): 4000, ("german", 1, 0): 4000})
    assert [one.where for one in found] == ["urdu"]


def test_schedule_unfinished_is_a_best_before_four_fifths_where_there_is_a_schedule() -> None:
    found = only(faults(cell(best_step=3999.0)), "schedule unfinished")
    assert found.what == "best validation after 80 % of the steps, at lambda 0.32"
    assert faults(cell(best_step=4000.0)) == []
    assert faults(cell(baseline_spec(), best_step=3000.0)) == []
    fixed = replace(spec(), config=ByolConfig(lambda_start=0.5, lambda_end=0.5, tau_schedule="constant"))
    assert faults(cell(fixed, best_step=3000.0)) == []


@pytest.mark.parametrize("name", ["lambda", "tau"])
def test_schedule_wrong_is_a_logged_value_that_is_not_the_configured_one(name: str) -> None:
    result = cell()
    result.history[7][name] += 2e-6
    found = only(faults(result), "schedule wrong")
    assert found.what.startswith(f"{name} was ")
    assert "at step 2000" in found.what
    result.history[7][name] -= 1.5e-6
    assert faults(result) == []


class PerEpoch(Byol):
    """The planted fault: momentum and weight follow the epoch's first step."""

    def tau(self, base: float, step: int) -> float:
        return super().tau(base, step // 4 * 4)


class FromAnew(Byol):
    def loss_weight(self, step: int) -> float:
        return super().loss_weight(step % 6)


@pytest.mark.parametrize(("kind", "name"), [(Byol, ""), (PerEpoch, "tau"), (FromAnew, "lambda")])
def test_schedules_as_a_real_training_applied_them_are_compared_with_the_configured_ones(kind: type, name: str) -> None:
    asked = small_world.spec(replace(BYOL, tau=0.5))
    method = small_world.method(asked)
    method.__class__ = kind
    history = train(method, asked.training, 0, validate=lambda: 0.5).history
    assert len(history) == 12
    wrong = list(training_faults.schedule_wrong(Result(asked, {}, {}, history=history), "here"))
    assert [finding.what.split()[0] for finding in wrong] == ([name] if name else [])


# --- what reads no test score


def test_rules_of_training_say_the_same_without_any_test_score() -> None:
    loud = cell(agreement=0.5, train_uar=0.4, best_step=100.0)
    tested = {"urdu": hits(0, 0, 0, 0), "english": hits(9, 9, 9, 9)}
    rows = [{"part": "test/urdu", "id": "a", "gender": "female", "emotion": "angry", "predicted": 1}]
    secondary = {"online": {**loud.secondary["online"], "test/urdu": hits(0, 0, 0, 0)}}
    opened = replace(loud, test=tested, whole=tested, predictions=rows, secondary=secondary)
    assert faults(opened) == faults(loud) != []
