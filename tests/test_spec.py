"""Specs: what a key depends on, what survives JSON, and what is refused in which words."""

import hashlib
import json
import math
import random
from dataclasses import asdict, fields, replace
from typing import Any

import numpy as np
import pytest

from tests.synthetic_results import baseline_spec, floor_spec, spec
from trainers.audio.front_end import FrontEnd
from trainers.errors import UserError
from trainers.methods.configs import CONFIGS, BaselineConfig, ByolConfig
from trainers.spec import CODE_VERSION, GAINED, CellSpec, Training, code_version, digest, written

OTHER: dict[str, Any] = {
    "tau": 0.99,
    "tau_schedule": "constant",
    "tau_horizon": "paper",
    "lambda_start": 0.5,
    "lambda_end": 0.5,
    "direction_sum": False,
    "projector_hidden": 8,
    "projection": 8,
    "views": 2,
    "strength": 0.25,
    "supervised_strength": 0.25,
    "mixup_bank": 0,
    "mixup_across": False,
    "bn_per_source": True,
    "dropout": 0.0,
    "passive_taus": (0.99,),
    "unlabelled_on": "adaptation",
    "clean_view": True,
    "sources": "either",
    "corpus_mix": "even",
    "monitor": "accuracy",
    "unlabelled_cap": 10,
    "label_fraction": 0.5,
    "steps": 6000,
    "epoch_steps": 7,
    "batch_size": 8,
    "encoder_lr": 1e-5,
    "head_lr": 1e-5,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "grad_clip": 1.0,
    "precision": "bf16",
    "trim_db": None,
    "rms_db": -20.0,
    "crop": "centre",
    "length_s": 2.0,
}
"""For every setting a value that is not its default."""

TOGETHER = {**OTHER, "sources": "halves"}
"""As many of them as one config may have."""

PLACES: dict[str, Any] = {
    "protocol": "demo",
    "folds_by": "stratified",
    "target": "german",
    "fold": 1,
    "seed": 1,
    "encoder_fingerprint": "f",
    "data_fingerprint": "f",
    "code_version": CODE_VERSION + 1,
}
"""The same for the fields that are no settings."""


def refusal(values: dict[str, Any], of: CellSpec | None = None) -> str:
    with pytest.raises(UserError) as told:
        (of or spec()).configured(values)
    line = str(told.value)
    assert "\n" not in line
    return line


def json_refusal(values: Any) -> str:
    with pytest.raises(UserError) as told:
        CellSpec.from_dict(values)
    line = str(told.value)
    assert "\n" not in line
    return line


# --- the key


def test_a_key_stays_what_it_was() -> None:
    """Should this fail, every result on disk is lost: raise CODE_VERSION instead of changing what a spec says."""
    assert spec().key() == "f0127ba6ddeee0dde07efb6ce08dd25e4667bb9c1537dbb225c816cb5e511e1d"
    assert baseline_spec().key() == "9b5384d937ba7cb33c3a4912947ef1d4ade3620fa2728b26061e47100e6ed2e7"


def plain_key(of: CellSpec) -> str:
    """The key in the plainest way: everything copied into one object, less the settings gained since, and hashed."""
    values = asdict(of)
    for part in ("config", "training"):
        values[part] = {name: value for name, value in values[part].items() if GAINED.get(name, ...) != value}
    return hashlib.sha256(json.dumps(values, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def drawn_specs(count: int) -> list[CellSpec]:
    """Specs of all methods, with some settings and some of the place drawn from other values than the defaults."""
    source, found = random.Random(0), []
    names = [name for name in CONFIGS if name != "byol"]
    plain = [spec(), *(replace(spec(), method=name, config=CONFIGS[name]()) for name in names)]
    for _ in range(count):
        known = source.choice(plain)
        asked = {name: value for name, value in TOGETHER.items() if name in known.settings() and source.random() < 0.3}
        places = {name: value for name, value in PLACES.items() if source.random() < 0.3}
        steps = {"steps": 6000, **asked}
        found.append(replace(known.configured(steps if "tau" in known.settings() else asked), **places))
    return [*plain, *found]


def test_keys_are_those_of_the_plainest_implementation_for_specs_of_all_methods() -> None:
    specs = drawn_specs(500)
    assert len({one.key() for one in specs}) > 300
    assert {one.method for one in specs} == set(CONFIGS)
    for one in specs:
        assert one.key() == plain_key(one)
        assert one.as_dict() == asdict(one)
        assert one.settings() == {**asdict(one.config), **asdict(one.training), **asdict(one.front_end)}


def test_a_key_of_parts_written_before_is_that_of_the_spec_with_the_changed_fields() -> None:
    shared = spec().written()
    for name, value in {**PLACES, "target": None}.items():
        assert digest({**shared, **written({name: value})}) == replace(spec(), **{name: value}).key()


def test_the_key_depends_on_every_setting() -> None:
    known = spec()
    assert set(OTHER) == set(known.settings())  # a new setting needs another value here
    keys = [known.configured({name: value}).key() for name, value in OTHER.items()]
    assert len({known.key(), *keys}) == len(OTHER) + 1


def test_the_key_depends_on_method_place_and_fingerprints() -> None:
    known = spec()
    assert set(PLACES) == {field.name for field in fields(CellSpec)} - {"method", "config", "training", "front_end"}
    changed = [replace(known, **{name: value}).key() for name, value in PLACES.items()]
    others = [floor_spec("nuisance_only").key(), floor_spec("frozen_probe").key(), baseline_spec().key()]
    assert len({known.key(), *changed, *others}) == len(PLACES) + 4


def test_no_two_parts_of_a_spec_have_a_setting_of_the_same_name() -> None:
    for config in CONFIGS.values():
        names = [field.name for part in (config, Training, FrontEnd) for field in fields(part)]
        assert len(set(names)) == len(names)


def test_the_order_of_settings_does_not_matter() -> None:
    names, wanted = list(TOGETHER), spec().configured(TOGETHER)
    for seed in range(5):
        random.Random(seed).shuffle(names)
        assert spec().configured({name: TOGETHER[name] for name in names}) == wanted
    step_by_step = spec()
    for name in ("steps", "tau", "crop"):
        step_by_step = step_by_step.configured({name: OTHER[name]})
    assert step_by_step == spec().configured({name: OTHER[name] for name in ("crop", "steps", "tau")})


def test_settings_that_only_fit_together_may_come_in_any_order() -> None:
    together = {"steps": 50, "tau": 0.99, "passive_taus": (0.99,)}
    for names in (("steps", "tau", "passive_taus"), ("passive_taus", "tau", "steps")):
        assert spec().configured({name: together[name] for name in names}).training.steps == 50


# --- JSON


@pytest.mark.parametrize("known", [spec(), baseline_spec(), floor_spec("own_statistics"), spec().configured(TOGETHER)])
def test_a_spec_comes_back_from_json_equal_and_with_its_key(known: CellSpec) -> None:
    again = CellSpec.from_dict(json.loads(json.dumps(known.as_dict())))
    assert again == known
    assert again.key() == known.key()


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("tau", 1, 1.0),
        ("steps", 6000, 6000.0),
        ("trim_db", 30, 30.0),
        ("passive_taus", [1, 0], (1.0, 0.0)),
        ("encoder_lr", np.float64(1e-4), 1e-4),
        ("steps", np.int64(6000), 6000),
    ],
)
def test_the_same_number_written_otherwise_is_the_same_cell(name: str, one: Any, other: Any) -> None:
    raw = replace(spec(), front_end=FrontEnd(trim_db=None, rms_db=None))
    assert raw.configured({name: one}).key() == raw.configured({name: other}).key()
    part = raw._place_of(name)
    written = [{**raw.as_dict(), part: {**asdict(getattr(raw, part)), name: value}} for value in (one, other)]
    assert len({CellSpec.from_dict(values).key() for values in written}) == 1


# --- refusals


def test_an_unknown_setting_is_answered_with_those_of_the_method() -> None:
    line = refusal({"tua": 0.99})
    assert line.startswith("unknown setting of byol 'tua'; there are: batch_size, bn_per_source, clean_view, ")
    assert " tau," in line
    assert " tau," not in refusal({"tau": 0.99}, baseline_spec())


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"tau": 1.2}, "tau is 1.2; it must be between 0 and 1"),
        ({"tau": "fast"}, "tau is 'fast'; it must be a finite number"),
        ({"tau": math.nan}, "tau is nan; it must be a finite number"),
        ({"tau": [0.9, 0.99]}, "tau is [0.9, 0.99]; it must be a finite number"),
        ({"tau": True}, "tau is True; it must be a finite number"),
        ({"tau": None}, "tau is None; it must be a finite number"),
        ({"weight_decay": math.inf}, "weight_decay is inf; it must be a finite number"),
        (
            {"weight_decay": 10**400},
            f"weight_decay is {str(10**400)[:300]}… (401 characters); it must be a finite number",
        ),
        ({"steps": True}, "steps is True; it must be a whole number"),
        ({"steps": 10.5}, "steps is 10.5; it must be a whole number"),
        ({"steps": None}, "steps is None; it must be a whole number"),
        ({"steps": 0}, "steps is 0; it must be at least 1"),
        ({"batch_size": 6}, "batch_size is 6; it must be a multiple of 4, an equal share for each class"),
        ({"direction_sum": 1}, "direction_sum is 1; it must be true or false"),
        ({"direction_sum": "yes"}, "direction_sum is 'yes'; it must be true or false"),
        ({"tau_schedule": 3}, "tau_schedule is 3; it must be text"),
        ({"tau_schedule": "linear"}, "tau_schedule is 'linear'; it must be cosine or constant"),
        ({"passive_taus": 0.99}, "passive_taus is 0.99; it must be a list of finite numbers"),
        ({"passive_taus": ["a"]}, "passive_taus is ['a']; it must be a list of finite numbers"),
        ({"passive_taus": [2]}, "passive_taus is (2.0,); it must be a list of numbers between 0 and 1"),
        ({"trim_db": "off"}, "trim_db is 'off'; it must be a finite number or none"),
        ({"trim_db": math.inf}, "trim_db is inf; it must be a finite number or none"),
        ({"crop": None}, "crop is None; it must be text"),
        ({"crop": "tail"}, "crop is 'tail'; it must be head, centre, random or chunks"),
        ({"precision": "fp16"}, "precision is 'fp16'; it must be fp32 or bf16"),
    ],
)
def test_a_bad_value_is_told_with_its_rule(values: dict[str, Any], line: str) -> None:
    assert refusal(values) == line


@pytest.mark.parametrize("name", ["trim_db", "rms_db"])
def test_what_may_be_off_may_be_none(name: str) -> None:
    assert getattr(spec().configured({name: None}).front_end, name) is None


def test_a_tau_without_a_match_is_refused_with_the_fewest_steps_it_takes() -> None:
    line = refusal({"steps": 49})
    assert line == "tau 0.99 has no match at 49 steps; it takes at least 50, or tau_horizon=paper"
    assert spec().configured({"steps": 50}).training.steps == 50  # 1 − (1 − .99) · 5000/50 = 0
    assert spec().configured({"steps": 49, "tau_horizon": "paper"}).training.steps == 49
    assert "it takes at least 20," in refusal({"steps": 19, "passive_taus": []})  # (1 − .996) · 5000


@pytest.mark.parametrize("values", [[], "cell", None, 3])
def test_json_that_is_no_object_is_no_cell(values: Any) -> None:
    assert json_refusal(values) == f"a cell is {values!r}; it must be an object of CellSpec's fields"


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"method": "supcno"}, "unknown method 'supcno'; there are: adaptation, baseline, byol, "),
        ({"method": ["byol"]}, "unknown method \"['byol']\"; there are: adaptation, baseline, byol, "),
        ({"sweep": "byol_tau"}, "unknown field of CellSpec 'sweep'; there are: code_version, "),
        ({"config": 3}, "config is 3; it must be an object of ByolConfig's fields"),
        ({"config": {"temperature": 1}}, "unknown field of ByolConfig 'temperature'; there are: "),
        ({"config": {"tau": math.nan}}, "tau is nan; it must be a finite number"),
        ({"training": {"steps": True}}, "steps is True; it must be a whole number"),
        ({"fold": "0"}, "fold is '0'; it must be a whole number"),
        ({"fold": True}, "fold is True; it must be a whole number"),
        ({"seed": 1.5}, "seed is 1.5; it must be a whole number"),
        ({"target": 3}, "target is 3; it must be text or none"),
    ],
)
def test_bad_json_is_told_by_its_field(change: dict[str, Any], line: str) -> None:
    assert json_refusal({**spec().as_dict(), **change}).startswith(line)


def test_json_that_lacks_fields_is_told_which() -> None:
    values = spec().as_dict()
    del values["fold"], values["seed"]
    assert json_refusal(values) == "cell lacks fold, seed"


def test_a_method_refuses_another_methods_settings() -> None:
    with pytest.raises(UserError, match="method byol has a BaselineConfig; it takes a ByolConfig"):
        replace(spec(), config=BaselineConfig())
    with pytest.raises(UserError, match="unknown method 'bylo'; there are: adaptation, baseline, byol"):
        replace(spec(), method="bylo")
    assert isinstance(spec().config, ByolConfig)


def test_json_without_a_code_version_takes_that_of_its_method() -> None:
    for known in (spec(), floor_spec("nuisance_only")):
        values = known.as_dict()
        del values["code_version"]
        assert CellSpec.from_dict(values).code_version == code_version(known.method)
