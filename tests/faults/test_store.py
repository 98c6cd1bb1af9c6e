"""Whole sweeps on a store that runs full, becomes read-only or reaches its limit; real mounts, the demo's voices."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from orchestrator.ledger import Ledger
from tests.faults.command import Command
from tests.faults.mounts import read_only, small_disk
from tests.noted_work import until

WORDS = (
    *("baseline", "--languages", "demo-arda", "--folds", "0", "1", "2", "--steps", "20", "--slots", "1"),
    *("--set", "epoch_steps=1", "--no-report", "--no-canary"),
)
"""Three cells of twenty epochs, one after the other, and their floors."""
PATIENCE_S = 600.0


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with the demo's voices and nothing else."""
    store = tmp_path_factory.mktemp("made") / "store"
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as ray:
        prepared = Command(store, Path(ray), (*WORDS, "--dry-run"))
        prepared.start()
        assert prepared.wait(PATIENCE_S) == 0, prepared.log.read_text()
    return store


@pytest.fixture
def sweep(made: Path, tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Makes the command on a store with the demo's voices; what it started is ended."""
    commands = []
    with TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as ray:

        def make(store: Path, *words: str) -> Command:
            command = Command(store, Path(ray), (*WORDS, "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db", *words))
            for name in ("demo", "prepared"):
                (store / name).symlink_to(made / name)
            commands.append(command)
            return command

        yield make
        for command in commands:
            command.kill()


def started_anew(command: Command) -> str:
    """What the command said in its last start, once it has ended."""
    command.wait(PATIENCE_S)
    return command.log.read_text().rpartition("--- start")[2]


def first_result(command: Command) -> None:
    def there() -> bool:
        if command.code == 1 and "Ray did not start" in command.log.read_text():  # the machine was too busy for it
            command.start()
        assert command.code is None, command.log.read_text()
        return bool(list(command.store.glob("cells/??/*.json")))

    until(there, PATIENCE_S)


def goes_on(command: Command, done: int) -> None:
    """The same command does the rest, and nothing half-written was left."""
    assert not [
        path for pattern in ("cells/??/.*.partial", ".try-*", ".room-*") for path in command.store.glob(pattern)
    ]
    kept = len(list(Ledger(command.store)))
    assert 0 < kept < done
    command.start()
    assert command.wait(PATIENCE_S) == 0, command.log.read_text()
    assert len(list(Ledger(command.store))) == done
    assert not list(command.store.glob("checkpoints/*"))
    assert not list(command.store.rglob("*.damaged*"))


CELLS = 12
"""Three, and in each fold a floor of three kinds."""


@pytest.mark.slow
def test_a_store_that_becomes_read_only_ends_the_sweep_with_one_line_and_it_goes_on_once_it_is_writable(
    sweep: Callable[..., Command], tmp_path: Path
) -> None:
    command = sweep(tmp_path / "store")
    command.start()
    first_result(command)
    with read_only(command.store):
        said = started_anew(command)
        assert command.code == 3, said
        assert said.count("cannot be written any more: Read-only file system; what is finished is kept") == 1
        assert "Traceback" not in said
        command.start()
        refused = started_anew(command).splitlines()[1:]
        assert command.code == 2
        assert len(refused) == 1, refused
        assert "cannot be used: Read-only file system" in refused[0]
    goes_on(command, CELLS)


@pytest.mark.slow
def test_a_store_that_becomes_read_only_under_the_last_cell_ends_the_sweep_no_other_way(
    sweep: Callable[..., Command], tmp_path: Path
) -> None:
    """Its floors are there already, so nothing waits that could be stopped."""
    command = sweep(tmp_path / "store", "--folds", "0")
    command.start()
    assert command.wait(PATIENCE_S) == 0, command.log.read_text()
    command.words = (*command.words, "--steps", "2000")
    command.start()
    until(lambda: command.code is not None or list(command.store.glob("checkpoints/*")), PATIENCE_S)
    with read_only(command.store):
        said = started_anew(command)
    assert command.code == 3, said
    assert "0 done, 1 to run" in said
    assert "3 floor cells: 3 done" in said
    assert said.count("cannot be written any more: Read-only file system; what is finished is kept") == 1
    assert "Traceback" not in said


@pytest.mark.slow
def test_a_disk_that_runs_full_ends_the_sweep_with_one_line_and_it_goes_on_once_there_is_room(
    sweep: Callable[..., Command], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "store", megabytes=40) as disk:
        command = sweep(disk)
        command.start()
        first_result(command)
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file:
            ends_at = time.monotonic() + PATIENCE_S
            while command.code is None and time.monotonic() < ends_at:  # what the sweep removes meanwhile is room, too
                try:
                    file.write(b"\0" * 4096)
                except OSError:
                    time.sleep(0.05)
        said = started_anew(command)
        assert command.code == 3, said
        assert said.count("cannot be written any more: No space left on device; what is finished is kept") == 1
        assert "Traceback" not in said
        filler.unlink()
        goes_on(command, CELLS)


@pytest.mark.slow
def test_a_store_that_reaches_its_limit_ends_the_sweep_and_it_goes_on_below_the_limit(
    sweep: Callable[..., Command], tmp_path: Path
) -> None:
    """Somebody else writes into the store; a file without content counts as long as it says it is."""
    command = sweep(tmp_path / "store", "--max-store-gb", "1")
    command.start()
    first_result(command)
    with (command.store / "big").open("wb") as file:
        file.truncate(2 * 10**9)
    said = started_anew(command)
    assert command.code == 3, said
    assert "the store holds 2" in said
    assert "and --max-store-gb is 1; what is finished is kept" in said
    command.start()
    refused = started_anew(command)
    assert command.code == 2, refused
    assert refused.splitlines()[-1].startswith("error: max-store-gb is 1; it must be at least 2.0")
    (command.store / "big").unlink()
    goes_on(command, CELLS)


@pytest.mark.slow
def test_after_so_many_failures_as_asked_the_sweep_ends_and_says_so(
    sweep: Callable[..., Command], made: Path, tmp_path: Path
) -> None:
    command = sweep(tmp_path / "store", "--max-failures", "2")
    (command.store / "prepared").unlink()
    shutil.copytree(made / "prepared", command.store / "prepared")
    audio = next((command.store / "prepared").glob("demo_home-*/audio.f32"))
    sound = audio.read_bytes()
    audio.write_bytes(b"\xff" * len(sound))  # every sample is NaN, and no check of lengths sees it
    command.start()
    said = started_anew(command)
    assert command.code == 3, said
    assert said.count("failed: ") == 2
    assert "2 cells have failed for good, and --max-failures is 2; what is finished is kept" in said
