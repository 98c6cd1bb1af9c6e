"""Every number that a configuration may have is refused outside its range before anything is computed with it.

The table is not a list of the fields that are checked: it is held against all fields there are, so that a setting
that somebody adds without a range fails here.
"""

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, get_type_hints

import pytest

from orchestrator.arguments import parse
from orchestrator.choosing import Choice
from search_spaces import Sweep
from trainers.audio.front_end import FrontEnd
from trainers.errors import UserError
from trainers.methods.configs import CONFIGS, BaselineConfig, ByolConfig
from trainers.spec import Training

NUMBERS = (int, float, int | None, float | None)

KINDS = tuple(dict.fromkeys([*CONFIGS.values(), Training, FrontEnd]))

SHARES = {"dropout", "tau", "lambda_start", "lambda_end", "label_fraction", "encoder_lr", "head_lr", "margin"}
"""What lies between 0 and 1 (a learning rate too; a margin of cosines up to 1)."""

MAY_BE_NEGATIVE = {"margin": "a cosine", "rms_db": "a level below full scale"}

REACHES = {
    "strength": (0.0, 1.5),
    "supervised_strength": (0.0, 1.5),
    "adapt_strength": (0.0, 1.5),
    "adapt_share": (0.0, 10.0),
    "length_s": (0.02, 30.0),
}
"""Fields with an upper end that is not 1: what is allowed at both ends, and refused just beyond."""

ABOVE_ZERO = {
    *("views", "text_weight", "temperature", "clips_per_speaker", "projector_hidden", "projection"),
    *("steps", "epoch_steps", "batch_size", "encoder_lr", "head_lr", "label_fraction", "trim_db", "length_s"),
}
"""What may not be 0; of the others 0 means none, off or all."""


def numeric() -> Iterator[tuple[type[Any], str, Any]]:
    for kind in KINDS:
        hints = get_type_hints(kind)
        yield from ((kind, each.name, hints[each.name]) for each in fields(kind) if hints[each.name] in NUMBERS)


FIELDS = [pytest.param(*each, id=f"{each[0].__name__}.{each[1]}") for each in numeric()]


def refused(kind: type[Any], name: str, value: Any) -> str:
    with pytest.raises(UserError) as error:
        replace(kind(), **{name: value})
    told = str(error.value)
    assert told.startswith(f"{name} is {value!r}; it must be "), told
    assert len(told.splitlines()) == 1
    return told


def test_the_table_knows_all_kinds_of_settings_and_names_none_that_is_gone() -> None:
    names = {name for _, name, _ in numeric()}
    assert len(names) > 25
    assert names >= SHARES | ABOVE_ZERO | MAY_BE_NEGATIVE.keys() | REACHES.keys()


@pytest.mark.parametrize(("kind", "name", "_"), FIELDS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.5", [1], 1 + 2j], ids=str)
def test_no_number_of_a_configuration_is_nan_infinite_or_no_number(
    kind: type[Any], name: str, _: Any, value: Any
) -> None:
    refused(kind, name, value)


@pytest.mark.parametrize(("kind", "name", "_"), FIELDS)
def test_no_number_is_below_its_range(kind: type[Any], name: str, _: Any) -> None:
    if name in MAY_BE_NEGATIVE:
        replace(kind(), **{name: -1})
        refused(kind, name, -1.5 if name == "margin" else 1)
        return
    refused(kind, name, -1)
    if name in ABOVE_ZERO:
        refused(kind, name, 0)
    else:
        replace(kind(), **{name: 0})


@pytest.mark.parametrize(("kind", "name", "_"), FIELDS)
def test_no_share_is_above_one_and_what_has_an_upper_end_stays_below_it(kind: type[Any], name: str, _: Any) -> None:
    if name in SHARES:
        refused(kind, name, 1.5)
        refused(kind, name, 2)
    elif name in REACHES:
        least, most = REACHES[name]
        for end in (least, most):
            replace(kind(), **{name: end})
        refused(kind, name, round(most + 0.02, 2))
        refused(kind, name, round(least - 0.02, 2))
    elif name != "rms_db":
        replace(kind(), **{name: 8})  # no upper end: that a cell has the memory for it is seen by its canary


@pytest.mark.parametrize(("kind", "name", "hint"), FIELDS)
def test_whole_numbers_are_whole_and_not_beyond_those_that_floats_tell_apart(
    kind: type[Any], name: str, hint: Any
) -> None:
    if hint in (int, int | None):
        refused(kind, name, 4.5)
        refused(kind, name, 2**53 + 4)


@pytest.mark.parametrize("taus", [(0.9, math.nan), (math.inf,), (-1,), (1.5,), ("0.9",), 0.9])
def test_lists_of_numbers_are_looked_through(taus: Any) -> None:
    with pytest.raises(UserError, match="passive_taus is"):
        ByolConfig(passive_taus=taus)


@pytest.mark.parametrize(("name", "value"), [("pooling", 3), ("augmentations", "gain"), ("augmentations", ("gain", 1))])
def test_words_are_words(name: str, value: Any) -> None:
    if value == "gain":
        BaselineConfig(augmentations=("gain",))
        return
    with pytest.raises(UserError, match=f"{name} is"):
        replace(BaselineConfig(), **{name: value})


@pytest.mark.parametrize("samples", [0, -1, math.nan, math.inf, 2.5, True])
def test_a_sweep_has_a_whole_number_of_samples(samples: Any) -> None:
    with pytest.raises(UserError, match="samples is"):
        Sweep("?", BaselineConfig(), samples=samples)


@pytest.mark.parametrize("alpha", [-1, 0, 0.5, 1.5, math.nan, math.inf])
def test_the_chance_to_drop_the_best_is_below_one_half(alpha: float) -> None:
    with pytest.raises(UserError, match="race_alpha is"):
        Choice(alpha=alpha)


@pytest.mark.parametrize(
    ("option", "bad", "good"),
    [
        ("--slots", ["0", "-1"], "1"),
        ("--samples", ["0", "-1"], "1"),
        ("--max-bad", ["-1"], "0"),
        ("--gpus-per-cell", ["0", "-1", "nan", "inf"], "0.5"),
        ("--price-per-gpu-hour", ["0", "-1", "nan", "inf"], "2.5"),
        ("--budget-gpu-hours", ["0", "-1", "nan", "inf"], "20"),
        ("--until-ci", ["0", "-1", "nan", "inf"], "4"),
    ],
)
def test_numbers_of_the_command_line_are_refused_before_anything_is_looked_for(
    option: str, bad: list[str], good: str
) -> None:
    parse(["byol_tau", option, good])
    for value in bad:
        with pytest.raises(UserError, match=f"^{option.removeprefix('--')} is "):
            parse(["byol_tau", option, value])


def test_the_gpus_of_a_cell_are_a_number_or_left_to_the_ledger_and_no_other_word() -> None:
    assert parse(["byol_tau", "--gpus-per-cell", "0.5"]).gpus_per_cell == 0.5
    assert parse(["byol_tau", "--gpus-per-cell", "auto"]).gpus_per_cell == "auto"
    assert parse(["byol_tau"]).gpus_per_cell is None
    with pytest.raises(UserError) as told:
        parse(["byol_tau", "--gpus-per-cell", "half"])
    assert str(told.value) == "gpus-per-cell is 'half'; it must be a finite number above 0, or auto"
