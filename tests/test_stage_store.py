"""A stage on disk: what comes back is what was written, or nothing, whoever is killed, quicker, or out of space."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trainers.audio.front_end import FrontEnd
from trainers.stages import StageResult, StageSpec, folder_of, is_done, read, set_aside, write

SPEC = StageSpec("speakers", {"temperature": 0.07, "augmentations": ("gain",)}, 4, FrontEnd(), "e", "d", 0)
OTHER = StageSpec("speakers", {"temperature": 0.2}, 4, FrontEnd(), "e", "d", 0)
RESULT = StageResult(
    {
        "transposed": torch.arange(12.0).view(3, 4).T,
        "edge": torch.tensor([1e-45, -0.0, float("inf")]),
        "counter": torch.tensor(7),
    },
    {"clips": 3.0, "passes": 1 / 3},
    [{"step": 1.0, "loss/total": 0.1 + 0.2}],
)
BODY = f"import sys, pathlib; sys.path.insert(0, {str(Path(__file__).parents[1])!r}); " + (
    "from tests.test_stage_store import SPEC, RESULT; from trainers.stages import write; "
)


def is_what_was_written(found: StageResult | None) -> bool:
    assert found is not None
    assert found.weights.keys() == RESULT.weights.keys()
    for name, value in RESULT.weights.items():
        assert found.weights[name].dtype == value.dtype
        assert torch.equal(found.weights[name], value)
    return (found.facts, found.history) == (RESULT.facts, RESULT.history)


def child(code: str, store: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", BODY + code, str(store)], capture_output=True, text=True, check=False)


def test_what_is_read_is_what_was_written_to_the_bit(tmp_path: Path) -> None:
    assert read(tmp_path, SPEC.key()) is None
    assert not is_done(tmp_path, SPEC.key())
    write(tmp_path, SPEC, RESULT)
    assert is_done(tmp_path, SPEC.key())
    assert is_what_was_written(read(tmp_path, SPEC.key()))
    assert read(tmp_path, OTHER.key()) is None


def test_weights_are_kept_as_safetensors_alone_beside_the_spec_and_their_checksum(tmp_path: Path) -> None:
    write(tmp_path, SPEC, RESULT)
    folder = tmp_path / "stages" / SPEC.key()[:2] / SPEC.key()
    assert sorted(file.name for file in folder.iterdir()) == ["stage.json", "weights.safetensors"]
    assert [file.name for file in folder.parent.iterdir()] == [SPEC.key()]
    kept = load_file(folder / "weights.safetensors")
    assert all(torch.equal(kept[name], value) for name, value in RESULT.weights.items())
    told = json.loads((folder / "stage.json").read_text())
    assert told["weights_sha256"] == hashlib.sha256((folder / "weights.safetensors").read_bytes()).hexdigest()
    assert told["spec"]["settings"] == {"temperature": 0.07, "augmentations": ["gain"]}


def flipped(folder: Path) -> None:
    file = folder / "weights.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def replaced(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "one bit of the weights": flipped,
    "a digit of a fact": lambda folder: replaced(folder / "stage.json", '"clips": 3.0', '"clips": 2.0'),
    "a digit of a curve": lambda folder: replaced(folder / "stage.json", "0.30000000000000004", "0.30000000000000014"),
    "weights cut short": lambda folder: (folder / "weights.safetensors").write_bytes(b""),
    "no weights": lambda folder: (folder / "weights.safetensors").unlink(),
    "no json": lambda folder: (folder / "stage.json").unlink(),
    "json cut short": lambda folder: (folder / "stage.json").write_text('{"facts": {'),
    "other json": lambda folder: (folder / "stage.json").write_text("[]"),
    "json without history": lambda folder: (folder / "stage.json").write_text('{"facts": {}}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_set_aside_and_makes_room(damage: str, tmp_path: Path) -> None:
    for number in (1, 2):
        write(tmp_path, SPEC, RESULT)
        folder = folder_of(tmp_path, SPEC.key())
        DAMAGE[damage](folder)
        with pytest.warns(UserWarning, match="is damaged and set aside"):
            assert read(tmp_path, SPEC.key()) is None
        assert not folder.exists()
        assert folder.with_name(f"{folder.name}.damaged-{number}").is_dir()
    write(tmp_path, SPEC, RESULT)
    assert is_what_was_written(read(tmp_path, SPEC.key()))


@pytest.mark.slow
@pytest.mark.parametrize("until", [0, 1])
def test_a_writer_that_is_killed_leaves_nothing_that_is_read(until: int, tmp_path: Path) -> None:
    """Killed when it has written the weights, or the json as well."""
    dies = (
        f"import os; left = iter(range({until})); "
        "os.fsync = lambda _: next(left, None) is None and os.kill(os.getpid(), 9); "
    )
    ended = child(dies + "write(pathlib.Path(sys.argv[1]), SPEC, RESULT)", tmp_path)
    assert ended.returncode == -9
    assert list((tmp_path / "stages").glob("*/.*.partial"))
    assert not is_done(tmp_path, SPEC.key())
    assert read(tmp_path, SPEC.key()) is None
    write(tmp_path, SPEC, RESULT)
    assert not list((tmp_path / "stages").glob("*/.*.partial"))
    assert is_what_was_written(read(tmp_path, SPEC.key()))


def test_a_stage_of_before_its_facts_had_a_checksum_is_read(tmp_path: Path) -> None:
    write(tmp_path, SPEC, RESULT)
    file = folder_of(tmp_path, SPEC.key()) / "stage.json"
    told = json.loads(file.read_text())
    del told["told_sha256"]
    file.write_text(json.dumps(told))
    assert is_what_was_written(read(tmp_path, SPEC.key()))


def test_of_many_writers_at_once_one_wins_and_none_fails_or_leaves_anything(tmp_path: Path) -> None:
    for round_ in range(5):
        store = tmp_path / str(round_)
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _, store=store: write(store, SPEC, RESULT), range(16)))
        assert is_what_was_written(read(store, SPEC.key()))
        assert [file.name for file in folder_of(store, SPEC.key()).parent.iterdir()] == [SPEC.key()]


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_costs_nothing_that_was_stored(tmp_path: Path) -> None:
    write(tmp_path, OTHER, RESULT)
    full = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20)); "
        "from trainers.errors import UserError\n"
        "try:\n    write(pathlib.Path(sys.argv[1]), SPEC, RESULT)\n"
        "except UserError as error:\n    print(error)"
    )
    ended = child(full, tmp_path)
    said = f"cannot write stage {folder_of(tmp_path, SPEC.key())}: File too large; nothing stored was lost"
    assert (ended.stdout.strip(), ended.stderr) == (said, "")
    assert not list((tmp_path / "stages").glob("*/.*"))
    assert read(tmp_path, SPEC.key()) is None
    assert is_what_was_written(read(tmp_path, OTHER.key()))


def test_a_second_result_of_the_same_stage_leaves_the_first_as_it_is(tmp_path: Path) -> None:
    write(tmp_path, SPEC, RESULT)
    write(tmp_path, SPEC, StageResult({"edge": torch.zeros(1)}, {}, []))
    assert is_what_was_written(read(tmp_path, SPEC.key()))


def test_stages_set_aside_make_room_and_nothing_of_them_is_lost(tmp_path: Path) -> None:
    for spec in (SPEC, OTHER):
        write(tmp_path, spec, RESULT)
    half_trained = tmp_path / "checkpoints" / SPEC.key() / "last.pt"
    half_trained.parent.mkdir(parents=True)
    half_trained.touch()
    set_aside(tmp_path, [SPEC.key(), "f" * 64])
    assert not is_done(tmp_path, SPEC.key())
    assert not half_trained.exists()
    assert is_what_was_written(read(tmp_path, OTHER.key()))
    aside = folder_of(tmp_path, SPEC.key()).with_name(f"{SPEC.key()}.aside-1")
    assert (aside / "weights.safetensors").is_file()
