"""The ledger never half-reads, never forgets and never overwrites."""

import gzip
import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator import records
from orchestrator.ledger import Ledger
from tests.synthetic_results import drawn, hits, result, spec
from trainers.errors import UserError
from trainers.result import Result

HERE = Path(__file__).parent


def made(seed: int = 0, correct: int = 8) -> Result:
    return result(spec(seed=seed), hits(7, 6, 5, 4), {"urdu": hits(correct, 6, 5, 4), "english": hits(9, 9, 9, 9)})


def record_of(store: Path, of: Result) -> Path:
    key = of.spec.key()
    return store / "cells" / key[:2] / f"{key}.json"


def child(code: str, *arguments: object) -> subprocess.Popen[str]:
    """A Python process that knows `made` and runs `code`; its stdin and stdout are pipes."""
    prelude = f"import sys; sys.path.insert(0, {str(HERE.parent)!r})\n"
    prelude += "from pathlib import Path\nfrom orchestrator.ledger import Ledger\nfrom tests.test_ledger import made\n"
    command = [sys.executable, "-c", prelude + textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_what_was_written_comes_back_equal(tmp_path: Path) -> None:
    ledger, cell = Ledger(tmp_path), made()
    ledger.write(cell)
    assert ledger.read(cell.spec.key()) == cell
    assert ledger.light(cell.spec.key()) == replace(cell, history=[], predictions=[])


# --- glances


def test_a_glance_has_validation_time_and_machine_and_no_test_score(tmp_path: Path) -> None:
    ledger, cell = Ledger(tmp_path), made()
    ledger.write(cell)
    seen = ledger.glance(cell.spec.key())
    assert seen is not None
    assert seen.valid == {"hrl": cell.valid["hrl"].uar} == {"hrl": pytest.approx(0.55)}  # 7, 6, 5, 4 of 10
    assert (seen.seconds, seen.versions) == (cell.seconds, cell.versions)
    assert {field.name for field in fields(seen)} == {"valid", "seconds", "versions"}


def test_a_record_is_glanced_at_once_for_as_long_as_its_files_stay(tmp_path: Path) -> None:
    ledger, key = Ledger(tmp_path), made().spec.key()
    assert ledger.glance(key) is None
    Ledger(tmp_path).write(made())  # another process, as far as this ledger knows
    first = ledger.glance(key)
    assert first is not None
    assert ledger.glance(key) is first
    record_of(tmp_path, made()).unlink()
    assert ledger.glance(key) is None
    assert not ledger.has(key)


def test_many_glances_at_once_are_those_at_each(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path), [made(seed) for seed in range(5)]
    keys = [cell.spec.key() for cell in cells]
    assert ledger.glances(keys) == {}
    for cell in cells[:4]:
        ledger.write(cell)
    next(tmp_path.glob(f"cells/*/{keys[3]}.details.json.gz")).unlink()
    with pytest.warns(UserWarning, match="is missing or torn"):
        seen = ledger.glances(keys)
    assert seen == {key: ledger.glance(key) for key in keys[:3]}
    assert all(ledger.glance(key) is seen[key] for key in keys[:3])
    assert all(ledger.glances(keys)[key] is seen[key] for key in keys[:3])
    record_of(tmp_path, cells[1]).unlink()
    assert set(ledger.glances(keys)) == {keys[0], keys[2]}


def test_what_is_stored_is_told_with_its_bytes_and_when_it_was_written(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path), [made(seed) for seed in range(2)]
    assert ledger.stored() == {}
    for number, cell in enumerate(cells):
        ledger.write(cell)
        os.utime(record_of(tmp_path, cell), ns=(0, 1000 + number))
    (tmp_path / "cells" / "00").mkdir(exist_ok=True)
    (tmp_path / "cells" / "00" / f"{cells[0].spec.key()}.differs.json").touch()
    files = [[record_of(tmp_path, cell), *tmp_path.glob(f"cells/*/{cell.spec.key()}.details*")] for cell in cells]
    assert {key: (one.bytes, one.written_ns) for key, one in ledger.stored().items()} == {
        cell.spec.key(): (sum(file.stat().st_size for file in files[number]), 1000 + number)
        for number, cell in enumerate(cells)
    }


def test_a_record_that_another_takes_the_place_of_is_glanced_at_anew(tmp_path: Path) -> None:
    ledger, key = Ledger(tmp_path), made().spec.key()
    ledger.write(made())
    assert ledger.glance(key) is not None
    other = replace(made(), valid={"hrl": hits(10, 10, 10, 10)})
    Ledger(tmp_path / "other").write(other)
    for file in (tmp_path / "other").rglob("*.json*"):
        file.replace(record_of(tmp_path, made()).parent / file.name)
    seen = ledger.glance(key)
    assert seen is not None
    assert seen.valid == {"hrl": 1.0}


@pytest.mark.parametrize("part", [".json", ".details.json.gz"])
def test_damage_after_a_glance_is_noticed(tmp_path: Path, part: str) -> None:
    ledger, key = Ledger(tmp_path), made().spec.key()
    ledger.write(made())
    assert ledger.has(key)
    os.truncate(record_of(tmp_path, made()).with_name(key + part), 100)
    with pytest.warns(UserWarning, match=f"{key}.json is damaged"):
        assert not ledger.has(key)
    ledger.write(made())
    assert ledger.has(key)


def test_a_sound_record_without_the_scores_that_choose_is_set_aside(tmp_path: Path) -> None:
    cell = made()
    Ledger(tmp_path).write(cell)
    file = record_of(tmp_path, cell)
    record = json.loads(file.read_text())
    record["result"]["valid"]["hrl"] = 0.5
    body = json.dumps({name: record[name] for name in ("schema", "key", "details", "result")})[1:] + "\n"
    file.write_text(f'{{"sha256": "{hashlib.sha256(body.encode()).hexdigest()}",\n{body}')
    with pytest.warns(UserWarning, match="this version cannot load it"):
        assert Ledger(tmp_path).glance(cell.spec.key()) is None


@pytest.mark.parametrize("cut", [0, 9], ids=["more than memory holds", "cut short"])
def test_details_that_do_not_unpack_are_set_aside_though_their_checksum_fits(
    tmp_path: Path, cut: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = made()
    Ledger(tmp_path).write(cell)
    monkeypatch.setattr(records, "LARGEST_DETAILS", 10**7)
    packed = gzip.compress(b"[" + b" " * 10**8)
    file, details = record_of(tmp_path, cell), next(tmp_path.rglob("*.details.json.gz"))
    details.write_bytes(packed[: len(packed) - cut] if cut else packed)
    record = json.loads(file.read_text())
    record["details"] |= {"sha256": hashlib.sha256(details.read_bytes()).hexdigest(), "bytes": details.stat().st_size}
    body = json.dumps({name: record[name] for name in ("schema", "key", "details", "result")})[1:] + "\n"
    file.write_text(f'{{"sha256": "{hashlib.sha256(body.encode()).hexdigest()}",\n{body}')
    if cut:
        monkeypatch.setattr(records, "LARGEST_DETAILS", 10**9)
    with pytest.warns(UserWarning, match="it is cut short" if cut else r"it holds more than 0\.01 GB"):
        assert Ledger(tmp_path).read(cell.spec.key()) is None


def test_absent_classes_stay_nan_and_numpy_scalars_become_numbers(tmp_path: Path) -> None:
    draws = np.random.default_rng(0)
    one_class = replace(drawn(0.5, 1, draws), accuracy=np.float32(0.5))
    cell = replace(made(), test={"urdu": one_class}, facts={"agreement": np.float32(0.25)})
    Ledger(tmp_path).write(cell)
    back = Ledger(tmp_path).read(cell.spec.key())
    assert back is not None
    assert np.isnan(back.test["urdu"].macro_f1)
    assert (back.test["urdu"].accuracy, back.facts["agreement"]) == (0.5, 0.25)


def test_done_names_exactly_the_written_cells_and_iteration_gives_them_in_order(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path), [made(seed) for seed in range(5)]
    assert list(ledger) == []
    for cell in cells[:3]:
        ledger.write(cell)
    keys = [cell.spec.key() for cell in cells]
    assert ledger.done(keys) == set(keys[:3])
    assert [ledger.has(key) for key in keys] == [True, True, True, False, False]
    assert [cell.spec.key() for cell in ledger] == sorted(keys[:3])


@pytest.mark.parametrize("renames", [1, 2], ids=["before the details", "before the record"])
def test_a_writer_killed_between_write_and_rename_leaves_nothing_half_read(tmp_path: Path, renames: int) -> None:
    writer = child(
        """
        import itertools, os, time
        count = itertools.count(1)
        def rename(old, new):
            if next(count) == int(sys.argv[2]):
                print("about to rename", flush=True)
                time.sleep(60)
            os.replace(old, new)
        Ledger(Path(sys.argv[1]), rename=rename).write(made())
        """,
        tmp_path,
        renames,
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "about to rename\n"
    writer.send_signal(signal.SIGKILL)
    writer.communicate()
    ledger, cell = Ledger(tmp_path), made()
    assert not ledger.has(cell.spec.key())
    assert ledger.read(cell.spec.key()) is None
    assert list(ledger) == []
    ledger.write(cell)
    assert ledger.read(cell.spec.key()) == cell
    assert not list(tmp_path.rglob("*.partial"))


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), details=st.booleans())
@pytest.mark.filterwarnings("ignore:.*is damaged")
def test_no_flipped_bit_ever_passes_for_a_result(tmp_path: Path, where: float, bit: int, details: bool) -> None:
    ledger, cell = Ledger(tmp_path), made()
    ledger.write(cell)
    files = (record_of(tmp_path, cell), next(tmp_path.rglob("*.details.json.gz")))
    whole = [file.read_bytes() for file in files]
    content = bytearray(whole[details])
    content[int(where * len(content))] ^= 1 << bit
    files[details].write_bytes(content)
    try:
        found = ledger.read(cell.spec.key())
    except UserError:  # the flip struck the schema's digit: refused, not believed
        found = None
    assert found is None
    for file, before in zip(files, whole, strict=True):
        file.write_bytes(before)


@pytest.mark.parametrize("part", [".json", ".details.json.gz"])
@pytest.mark.parametrize("size", [0, 1, 200])
def test_a_torn_file_is_set_aside_with_a_warning_and_the_cell_can_be_written_anew(
    tmp_path: Path, part: str, size: int
) -> None:
    ledger, cell = Ledger(tmp_path), made()
    key = cell.spec.key()
    ledger.write(cell)
    file = record_of(tmp_path, cell).with_name(key + part)
    os.truncate(file, size)
    with pytest.warns(UserWarning, match=f"{key}.json is damaged"):
        assert not ledger.has(key)
    aside = file.with_name(f"{file.name}.damaged")
    assert aside.stat().st_size == size
    assert not ledger.has(key)
    ledger.write(cell)
    os.truncate(file, size)
    with pytest.warns(UserWarning, match="is damaged"):
        assert ledger.read(key) is None
    assert file.with_name(f"{aside.name}.1").exists(), "the first damaged file must not be overwritten"


def test_lost_details_make_the_cell_missing(tmp_path: Path) -> None:
    ledger, cell = Ledger(tmp_path), made()
    ledger.write(cell)
    next(tmp_path.rglob("*.details.json.gz")).unlink()
    with pytest.warns(UserWarning, match=r"details\.json\.gz is missing or torn"):
        assert not ledger.has(cell.spec.key())


def test_a_record_under_a_wrong_name_is_not_believed(tmp_path: Path) -> None:
    ledger, cell, other = Ledger(tmp_path), made(0), made(1)
    ledger.write(cell)
    wrong = record_of(tmp_path, other)
    wrong.parent.mkdir(exist_ok=True)
    wrong.write_bytes(record_of(tmp_path, cell).read_bytes())
    with pytest.warns(UserWarning, match="is damaged"):
        assert not ledger.has(other.spec.key())


def test_a_newer_schema_is_refused_with_its_file_and_version_and_left_as_it_is(tmp_path: Path) -> None:
    ledger, cell = Ledger(tmp_path), made()
    ledger.write(cell)
    file = record_of(tmp_path, cell)
    file.write_text(file.read_text().replace('"schema":1', '"schema":7'))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for ask in (ledger.has, ledger.light, ledger.read):
        with pytest.raises(UserError, match=rf"{file} was written by a newer version \(schema 7"):
            ask(cell.spec.key())
    with pytest.raises(UserError, match="schema 7"):
        ledger.write(cell)
    with pytest.raises(UserError, match="schema 7"):
        list(ledger)
    assert {path: path.read_bytes() for path in before} == before


def test_the_record_is_plain_json_and_the_details_plain_gzip(tmp_path: Path) -> None:
    cell = made()
    Ledger(tmp_path).write(cell)
    record = json.loads(record_of(tmp_path, cell).read_text())
    assert record["schema"] == 1
    assert record["result"]["test"]["urdu"]["confusion"][0] == [8, 2, 0, 0]
    assert set(record["result"]).isdisjoint({"history", "predictions"})
    details = json.loads(gzip.decompress(next(tmp_path.rglob("*.gz")).read_bytes()))
    assert len(details["history"]) == 3
    assert len(details["predictions"]) == 80


def test_writing_twice_changes_nothing_also_when_only_the_clock_differs(tmp_path: Path) -> None:
    ledger, cell = Ledger(tmp_path), made()
    ledger.write(cell)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    ledger.write(replace(cell, seconds={"train": 99.0}, versions={"torch": "9"}))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_other_numbers_for_a_cell_are_kept_aside_and_the_first_stay(tmp_path: Path) -> None:
    ledger, first, second = Ledger(tmp_path), made(correct=8), made(correct=3)
    ledger.write(first)
    with pytest.warns(UserWarning, match="has other numbers for the same cell"):
        ledger.write(second)
    assert ledger.read(first.spec.key()) == first
    aside = json.loads(next(tmp_path.rglob("*.differs.json")).read_text())
    assert aside["result"]["test"]["urdu"]["confusion"][0] == [3, 7, 0, 0]
    assert len(list(ledger)) == 1


def test_many_writers_of_one_cell_leave_one_sound_result(tmp_path: Path) -> None:
    code = "[Ledger(Path(sys.argv[1])).write(made(seed, int(sys.argv[2]))) for seed in range(15)]"
    writers = [child(code, tmp_path, correct) for correct in (3, 8)]
    assert [writer.wait() for writer in writers] == [0, 0]
    [writer.communicate() for writer in writers]
    for seed in range(15):
        assert Ledger(tmp_path).read(made(seed).spec.key()) in (made(seed, 3), made(seed, 8))
    assert len(list(tmp_path.rglob("*.differs.json"))) == 15


def test_a_full_disk_is_a_user_error_with_the_path_and_loses_nothing(tmp_path: Path) -> None:
    ledger, kept, new = Ledger(tmp_path), made(0), made(1)
    ledger.write(kept)
    file = record_of(tmp_path, new)
    file.parent.mkdir(exist_ok=True)
    full = file.with_name(f".{file.name}.partial")
    full.symlink_to("/dev/full")  # the kernel itself answers ENOSPC
    with pytest.raises(UserError, match=rf"cannot write {file}: No space left on device"):
        ledger.write(new)
    assert ledger.read(kept.spec.key()) == kept
    assert not ledger.has(new.spec.key())
    ledger.write(new)
    assert ledger.read(new.spec.key()) == new


def test_a_read_only_store_can_be_read_and_says_that_it_cannot_be_written(tmp_path: Path) -> None:
    kept = made(0)
    Ledger(tmp_path).write(kept)
    code = """
        import os
        from trainers.errors import UserError
        if os.getuid() == 0:
            os.setuid(65534)
        ledger = Ledger(Path(sys.argv[1]))
        print(ledger.read(made(0).spec.key()) == made(0))
        lock = ledger.lock("byol_tau")
        for attempt in (lambda: ledger.write(made(1)), lock.__enter__, lambda: ledger.opened("a", [])):
            try:
                attempt()
            except UserError as error:
                print(error)
        """
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    out, errors = child(code, tmp_path).communicate()
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)
    assert errors == ""
    readable, *refused = out.splitlines()
    assert readable == "True"
    assert len(refused) == 3
    assert all(line.startswith(f"cannot write {tmp_path}") and "Permission denied" in line for line in refused)


def test_a_store_that_is_a_file_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "runs").touch()
    with pytest.raises(UserError, match="cannot write"):
        Ledger(tmp_path / "runs").write(made())


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the store until its stdin closes."""
    code = """
        with Ledger(Path(sys.argv[1])).lock("byol_tau"):
            print("held", flush=True)
            sys.stdin.read()
        """
    process = child(code, tmp_path)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_sweep_on_one_store_is_told_who_holds_it(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    told = rf"store '{tmp_path}' is held by sweep 'byol_tau' \(process {holder.pid} on .+, since 20.+\)"
    with pytest.raises(UserError, match=told), Ledger(tmp_path).lock("baseline"):
        pass
    holder.communicate("")
    with Ledger(tmp_path).lock("baseline"):
        assert "baseline" in (tmp_path / "sweep.lock").read_text()
    assert (tmp_path / "sweep.lock").read_text() == ""


def test_a_killed_sweep_leaves_the_store_free(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with Ledger(tmp_path).lock("baseline"):
        pass


def test_every_opening_of_test_scores_is_counted_per_sweep(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    assert [ledger.opened(name, ["k"]) for name in ("a", "a", "b", "a")] == [1, 2, 1, 3]
    with (tmp_path / "test_openings.jsonl").open("a") as log:
        log.write('{"sweep": "a", "at')  # a crash cut this line short
    assert ledger.opened("b", ["k"]) == 2
    assert ledger.opened("b", ["k"]) == 3


def test_a_light_record_costs_little_more_than_its_json_and_far_less_than_the_whole_result(tmp_path: Path) -> None:
    """Ratios of what is done in turn in one process, the quickest pass of each."""
    ledger, cell = Ledger(tmp_path), made()
    for seed in range(300):
        ledger.write(replace(cell, spec=replace(cell.spec, seed=seed)))
    records = sorted(tmp_path.glob("cells/??/*.json"))
    ways: dict[str, Callable[[], object]] = {
        "json": lambda: [json.loads(record.read_bytes()) for record in records],
        "light": lambda: list(ledger),
        "whole": lambda: [ledger.read(record.stem) for record in records],
    }
    took_s: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            started = time.process_time()
            way()
            took_s[name].append(time.process_time() - started)
    quickest = {name: min(passes) for name, passes in took_s.items()}
    print(quickest)
    assert quickest["light"] < 12 * quickest["json"]
    assert quickest["light"] < quickest["whole"]


def test_results_that_are_set_aside_count_as_missing_and_can_still_be_found(tmp_path: Path) -> None:
    ledger, cells = Ledger(tmp_path), [made(seed) for seed in range(3)]
    for cell in cells[:2]:
        ledger.write(cell)
    before = record_of(tmp_path, cells[0]).read_bytes()
    half_trained = [tmp_path / "checkpoints" / cell.spec.key() for cell in cells]
    for folder in half_trained:
        folder.mkdir(parents=True)
    assert ledger.set_aside([cells[0].spec.key(), cells[2].spec.key()]) == 1
    assert [ledger.has(cell.spec.key()) for cell in cells] == [False, True, False]
    assert [folder.exists() for folder in half_trained] == [False, True, False]
    assert [file.read_bytes() for file in (tmp_path / "set_aside").rglob("*.json")] == [before]
    assert len(list((tmp_path / "set_aside").rglob("*.details.json.gz"))) == 1
