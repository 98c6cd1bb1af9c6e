"""A few hundred inputs of every kind that comes from outside; `python -m tests.fuzz --inputs 10000` tries more.

Below, what the long runs found, each by name.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from orchestrator import compare, predict
from orchestrator.arguments import parse, settings
from orchestrator.asked import read, write
from orchestrator.ledger import Ledger
from orchestrator.propagation import KEYS, keep_keys_out
from search_spaces import Sweep
from tests.fuzz import stored
from tests.fuzz.judging import BadlyRefusedError, HungError, commanded, deadline, readable
from tests.fuzz.running import KINDS, PLANNED, fuzzed
from trainers.corpora.copies import _read as read_copies
from trainers.errors import UserError
from trainers.methods.configs import ByolConfig

INPUTS = 30


@pytest.mark.parametrize("kind", [name for name in KINDS if name not in PLANNED])
def test_whatever_comes_in_is_taken_or_refused_in_words(kind: str, tmp_path: Path) -> None:
    found = fuzzed(kind, INPUTS, tmp_path)
    assert found.failures == []
    assert sum(found.counts.values()) >= 5
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("kind", PLANNED)
def test_whatever_is_typed_is_planned_or_refused_in_words(kind: str, tmp_path: Path) -> None:
    assert fuzzed(kind, INPUTS, tmp_path).failures == []


# --- the judges themselves


def test_a_traceback_a_hang_and_an_unreadable_refusal_are_faults() -> None:
    def hang() -> None:
        with deadline(1):
            while True:
                pass

    with pytest.raises(HungError):
        hang()
    for told in ("", "two\nlines", "corpus x has 3 errors:\none", "x" * 30_000):
        with pytest.raises(BadlyRefusedError):
            readable(told)
    readable("corpus x has 2 errors:\none\ntwo")
    with pytest.raises(ZeroDivisionError):
        commanded(lambda _: 1 // 0, [])
    with pytest.raises(BadlyRefusedError):
        commanded(lambda _: 2, [])


# --- what was found


@pytest.mark.parametrize("text", ["{[]: 1}", "-" * 30_000 + "1", "0x" + "f" * 5000, "(" * 300, "\x00", "1j"])
def test_a_setting_that_python_cannot_read_stays_the_text_that_it_is_or_is_a_number(text: str) -> None:
    found = settings(parse(["byol_tau", f"--set=tau={text}"]))
    assert found["tau"] in (text, 1j)


@pytest.mark.parametrize("word", ["x" * 300, "a\x00b", "\ud800"])
def test_what_no_file_can_be_called_is_refused_before_it_is_looked_for(word: str) -> None:
    for words in ([word], ["byol_tau", "--data", word], ["byol_tau", "--store", word]):
        with pytest.raises(UserError, match="a name of files"):
            parse(words)
    assert commanded(compare.main, [word]) == "refused"


@pytest.mark.parametrize("axes", [[], {3: {"grid_search": [1]}}, None])
def test_a_sweep_of_other_types_is_refused_where_it_is_built(axes: Any) -> None:
    with pytest.raises(UserError, match=r"axes is .* a mapping from names"):
        Sweep("?", ByolConfig(), axes=axes)
    with pytest.raises(UserError, match="seeds is 3; it must be a tuple of whole numbers"):
        Sweep("?", ByolConfig(), seeds=3)
    with pytest.raises(UserError, match="config is 3; it must be settings of a method"):
        Sweep("?", 3)


def test_words_of_several_lines_are_refused_in_one() -> None:
    with pytest.raises(UserError) as error:
        parse(["byol_tau", "--slots", "1", "a\nb\x0bc"])
    assert len(str(error.value).splitlines()) == 1


def test_errors_do_not_repeat_a_value_for_ever() -> None:
    with pytest.raises(UserError) as error:
        parse(["byol_tau", "--data", "y" * 50_000])
    assert len(str(error.value)) < 500


def test_deep_json_is_damage_everywhere(tmp_path: Path) -> None:
    deep = "[" * 100_000
    path = Ledger(tmp_path).path("0" * 64)
    for file in (path, tmp_path / "sweeps" / "s" / "0123456789ab.json", tmp_path / "model" / "model.json"):
        file.parent.mkdir(parents=True)
        file.write_text(deep)
    with pytest.warns(UserWarning, match="is damaged"):
        assert Ledger(tmp_path).read("0" * 64) is None
    assert commanded(compare.main, ["s", "--store", str(tmp_path)]) == "refused"
    assert commanded(predict.main, [str(tmp_path / "model"), "a.wav"]) == "refused"


def test_a_record_of_a_sweep_whose_cells_changed_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, stored.ASKED)
    told = json.loads(path.read_text())
    told["configurations"][0]["cells"][0][1] += 1
    path.write_text(json.dumps(told))
    with pytest.raises(UserError, match="is damaged: it asks for"):
        read(path)


def test_a_list_of_copies_in_which_a_letter_changed_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "copies.json"
    path.write_bytes(stored.remembered())
    assert read_copies(path, "corpora") == stored.COPIES
    path.write_bytes(stored.remembered().replace(b'"a"', b'"e"'))
    assert read_copies(path, "corpora") is None


def test_keys_of_the_cloud_are_not_handed_to_trials_whose_environment_ray_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    from ray.tune.execution import class_cache

    for name in KEYS:
        monkeypatch.setenv(name, "planted")
    keep_keys_out()
    assert not class_cache.ENV_VARS_TO_PROPAGATE.intersection(KEYS)
    assert class_cache.ENV_VARS_TO_PROPAGATE
    assert os.environ[KEYS[0]] == "planted"
    assert "ray" in sys.modules
