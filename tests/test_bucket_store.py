"""A store in a bucket: two nodes, each with a working copy of its own, at a real S3 server on loopback."""

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orchestrator import lease, openings
from orchestrator.ledger import Ledger
from orchestrator.limits import require_store
from orchestrator.preflight_node import try_store
from orchestrator.work import CellWork
from tests import small_world
from tests.object_server import BUCKET, ObjectServer, serving
from tests.synthetic_results import hits, result, spec
from tests.test_loop import StopAfter
from tests.test_stage_store import OTHER, RESULT, SPEC, is_what_was_written
from trainers import checkpoints, stages, stores, withdrawn
from trainers.bucket import Bucket
from trainers.corpora.prepared import open_prepared, prepare, share
from trainers.errors import UserError
from trainers.loop import Stopped, train
from trainers.result import Result

HERE = Path(__file__).parent


@pytest.fixture
def url(object_server: ObjectServer, request: pytest.FixtureRequest) -> str:  # noqa: ARG001  (it must run)
    """A store of the test's own."""
    return f"s3://{BUCKET}/{request.node.name.replace('[', '-').replace(']', '')}"


@pytest.fixture
def node(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """The working copy of a node, by the node's name."""

    def of(name: str) -> Path:
        monkeypatch.setenv("FOLDWISE_CACHE", str(tmp_path / name))
        return stores.located(url)

    return of


@pytest.mark.parametrize(
    "name", ["../../evil", "a/../../evil", "/evil", "./evil"], ids=["up", "down and up", "root", "here"]
)
def test_no_name_in_a_bucket_leads_out_of_the_working_copy(
    node: Callable[[str], Path], tmp_path: Path, url: str, name: str
) -> None:
    here, bucket = node("one"), Bucket(url)
    for key, content in ((f"models/{stores.WHOLE}", json.dumps({name: 3}).encode()), (f"sweeps/{name}", b"abc")):
        bucket.put(key, content)
        assert bucket.get(key) == content
    with pytest.raises(UserError, match=r"holds '.*evil', which no store writes; remove it there$"):
        stores.bring(here / "models")
    assert not (here / "models").exists()
    with pytest.raises(UserError, match=r"holds '.*evil', which no store writes; remove it there$"):
        stores.pull(here, "sweeps")
    assert not list(tmp_path.rglob("evil"))


def test_what_a_list_of_set_aside_results_names_is_dropped_if_it_is_a_key(
    node: Callable[[str], Path], tmp_path: Path, url: str
) -> None:
    here, key = node("one"), "0" * 64
    for kept in (tmp_path / "mine", here / "stages" / "mine", here / "stages" / "00" / key):
        kept.mkdir(parents=True)
    listed = ["../../../mine", str(tmp_path / "mine"), "", ".", "mine", 3, None, key]
    Bucket(url).put(f"{withdrawn.FOLDER}/20261121T000000-00000000/{withdrawn.LIST}", json.dumps(listed).encode())
    withdrawn.heed(here)
    assert (tmp_path / "mine").is_dir()
    assert [path.name for path in sorted((here / "stages").rglob("*"))] == ["00", "mine"]


def made(seed: int = 0, correct: int = 8) -> Result:
    return result(spec(seed=seed), hits(7, 6, 5, 4), {"urdu": hits(correct, 6, 5, 4), "english": hits(9, 9, 9, 9)})


def in_process(code: str, *words: object) -> subprocess.CompletedProcess[str]:
    prelude = f"import sys; sys.path.insert(0, {str(HERE.parent)!r})\n"
    prelude += "from pathlib import Path\nfrom orchestrator.ledger import Ledger\n"
    prelude += "from tests.test_bucket_store import made\n"
    command = [sys.executable, "-c", prelude + textwrap.dedent(code), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


# --- working copies


def test_a_plain_folder_stays_what_it_is_and_a_url_is_a_folder_of_its_own_for_each_node(
    node: Callable[[str], Path], url: str, tmp_path: Path
) -> None:
    plain = stores.located(tmp_path / "runs")
    assert plain == tmp_path / "runs"
    assert stores.bucket_of(plain) is None
    assert stores.portable(plain / "x") == plain / "x"
    one, two = node("one"), node("two")
    assert one != two
    assert stores.bucket_of(one) == stores.bucket_of(two) == Bucket(url)
    assert stores.located(f"{url}/") == two
    assert stores.copy_of(one) != stores.copy_of(two)


def test_what_is_pickled_on_one_node_is_found_on_another_in_its_own_copy(node: Callable[[str], Path]) -> None:
    one = node("one")
    work = CellWork((one / "prepared" / "a-1",), {"f": one / "encoders" / "f"}, one, "hrl")
    sent = pickle.dumps(work)
    assert pickle.loads(sent) == work
    two = node("two")
    assert pickle.loads(sent) == CellWork((two / "prepared" / "a-1",), {"f": two / "encoders" / "f"}, two, "hrl")


# --- results


def test_each_node_reads_what_another_wrote_one_by_one_and_all_at_once(node: Callable[[str], Path]) -> None:
    one, two = Ledger(node("one")), Ledger(node("two"))
    results = [made(seed) for seed in range(5)]
    keys = [each.spec.key() for each in results]
    assert one.read(keys[0]) is None
    for each in results[:4]:
        one.write(each)
    assert two.read(keys[0]) == results[0]
    assert two.light(keys[1]) == replace(results[1], history=[], predictions=[])
    assert two.has(keys[2])
    assert two.done(keys) == set(keys[:4])
    two.write(results[4])
    assert one.stored().keys() == set(keys)
    assert [each.spec.key() for each in Ledger(node("three"))] == sorted(keys)
    assert sorted(path.name for path in (two.store / "cells").glob("*/*.json*")) == sorted(
        path.name for path in (one.store / "cells").glob("*/*.json*")
    )


def test_processes_of_one_node_that_miss_the_same_result_at_the_same_time_all_read_it(
    node: Callable[[str], Path],
) -> None:
    results = [made(seed) for seed in range(4)]
    for each in results:
        Ledger(node("one")).write(each)
    two = node("two")
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda number: Ledger(two).read(results[number % 4].spec.key()), range(48)))
    assert found == results * 12


def test_a_second_result_with_other_numbers_is_set_beside_and_the_first_stays_on_both_nodes(
    node: Callable[[str], Path], url: str
) -> None:
    one, two, key = Ledger(node("one")), Ledger(node("two")), made().spec.key()
    one.write(made())
    two.write(replace(made(), seconds={"total": 9.0}))  # the same numbers on another machine
    with pytest.warns(UserWarning, match="has other numbers for the same cell"):
        two.write(made(correct=3))
    for ledger in (one, two, Ledger(node("three"))):
        assert ledger.read(key) == made()
    assert len([name for name in Bucket(url).list("cells") if ".differs-" in name]) == 1
    assert not list((two.store / "unsent").glob("*"))


def test_of_two_nodes_that_write_at_the_same_time_one_is_first_and_both_tell_its_numbers(
    node: Callable[[str], Path],
) -> None:
    ledgers = [Ledger(node(f"n{number}")) for number in range(6)]
    with ThreadPoolExecutor(6) as pool, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        list(pool.map(lambda number: ledgers[number].write(made(correct=number + 1)), range(6)))
    key = made().spec.key()
    told = [ledger.read(key) for ledger in [*ledgers, Ledger(node("later"))]]
    assert told[0] is not None
    assert all(each == told[0] for each in told)
    beside = [list(ledger.store.glob("cells/*/*.differs.json")) for ledger in ledgers]
    assert sorted(map(len, beside)) == [0, 1, 1, 1, 1, 1]


def test_a_writer_that_is_killed_between_details_and_record_leaves_nothing_that_counts(
    node: Callable[[str], Path], url: str
) -> None:
    dying = """
        import os, signal
        from orchestrator.afar import Cells
        from trainers.bucket import Bucket
        class Dying(Bucket):
            def create(self, key, content):
                os.kill(os.getpid(), signal.SIGKILL)
        ledger = Ledger(Path(sys.argv[1]))
        ledger._afar = Cells(Dying(ledger._afar.bucket.url), ledger.store)
        ledger.write(made())
    """
    one, key = node("one"), made().spec.key()
    assert in_process(dying, one).returncode == -signal.SIGKILL, in_process(dying, one).stderr
    assert [name.rpartition(".")[2] for name in Bucket(url).list("cells")] == ["gz"]
    for ledger in (Ledger(one), Ledger(node("two"))):
        assert ledger.read(key) is None
        assert ledger.done([key]) == set()
        assert not ledger.stored()
    Ledger(one).send_kept()  # its node still has all of it
    assert Ledger(node("two")).read(key) == made()


def test_a_result_that_cannot_be_sent_counts_for_nobody_is_kept_and_goes_with_the_next(
    node: Callable[[str], Path], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.bucket import _files

    store = node("one")
    good = os.environ["AWS_ENDPOINT_URL"]
    _files.cache_clear()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    ledger = Ledger(store)
    assert ledger._afar is not None
    ledger._afar = replace(ledger._afar, bucket=Bucket(url, 0.3))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UserError, match=r"has not answered for 0\.3 s"):
            ledger.write(made())
    monkeypatch.setenv("AWS_ENDPOINT_URL", good)
    _files.cache_clear()
    again = Ledger(store)
    assert again.read(made().spec.key()) is None
    with again.lock("s"):  # a sweep begins
        assert again.read(made().spec.key()) == made()
    assert Ledger(node("two")).read(made().spec.key()) == made()


def test_damage_here_is_mended_from_the_bucket_and_damage_there_is_set_aside(
    node: Callable[[str], Path], url: str
) -> None:
    one, key, bucket = Ledger(node("one")), made().spec.key(), Bucket(url)
    one.write(made())
    one.path(key).write_bytes(one.path(key).read_bytes().replace(b"open", b"shut"))
    with pytest.warns(UserWarning, match="checksum does not fit"):
        assert one.read(key) == made()
    name = f"cells/{key[:2]}/{key}.json"
    bucket.put(name, (bucket.get(name) or b"").replace(b"open", b"shut"))
    two = Ledger(node("two"))
    with pytest.warns(UserWarning, match="checksum does not fit"):
        assert two.read(key) is None
    assert bucket.about(name) is None
    assert bucket.about(f"damaged/{key}.json") is not None
    two.write(made())
    assert Ledger(node("three")).read(key) == made()


def test_results_that_are_set_aside_are_missing_on_every_node_but_not_gone(
    node: Callable[[str], Path], url: str
) -> None:
    one, key = Ledger(node("one")), made().spec.key()
    one.write(made())
    Bucket(url).put(f"checkpoints/{key}/last.pt", b"half")
    Bucket(url).put("checkpoints/other/last.pt", b"half")
    assert Ledger(node("two")).set_aside([key, made(1).spec.key()]) == 1
    assert Ledger(node("three")).read(key) is None
    there = Bucket(url).list()
    assert sum(name.startswith("set_aside/") and key in name for name in there) == 2
    one.send_kept()  # as each slot does when it begins
    assert one.read(key) is None
    one.write(made(correct=3))  # anew
    one.send_kept()
    assert Ledger(node("four")).read(key) == made(correct=3)
    there = Bucket(url).list()
    assert [name for name in there if name.startswith("checkpoints/")] == ["checkpoints/other/last.pt"]


def test_looks_at_test_scores_are_counted_over_all_nodes(node: Callable[[str], Path]) -> None:
    one, two = Ledger(node("one")), Ledger(node("two"))
    assert [ledger.opened("s", ["k"]) for ledger in (one, two, one, two)] == [1, 2, 3, 4]
    assert openings.lines(one.store, "s") == openings.lines(two.store, "s")


# --- stages, checkpoints, speech


def test_stages_are_shared_the_first_stays_and_damage_is_found(node: Callable[[str], Path], url: str) -> None:
    one, two, key = node("one"), node("two"), SPEC.key()
    assert not stages.is_done(one, key)
    stages.write(one, SPEC, RESULT)
    assert stages.is_done(two, key)
    stages.write(two, SPEC, replace(RESULT, weights={"other": torch.ones(2)}))
    assert is_what_was_written(stages.read(two, key))
    assert stages.read(two, OTHER.key()) is None

    (weights,) = [name for name in Bucket(url).list("stages") if name.endswith(f"{_sha(one, key)}.safetensors")]
    Bucket(url).put(weights, b"torn")
    with pytest.warns(UserWarning, match="damaged and set aside"):
        assert stages.read(node("three"), key) is None
    assert not stages.is_done(node("four"), key)
    assert is_what_was_written(stages.read(one, key))

    stages.write(two, OTHER, RESULT)
    stages.set_aside(one, [OTHER.key()])
    assert not stages.is_done(one, OTHER.key())
    assert stages.is_done(two, OTHER.key())  # its own copy, until it hears of that
    Ledger(two).send_kept()
    assert stages.read(two, OTHER.key()) is None
    assert stages.read(node("three"), OTHER.key()) is None


def _sha(store: Path, key: str) -> str:
    told = json.loads((stages.folder_of(store, key) / "stage.json").read_text())
    return str(told["weights_sha256"])[:16]


def test_a_training_that_stopped_on_one_node_ends_on_another_with_the_same_bits(
    node: Callable[[str], Path], url: str
) -> None:
    cell = small_world.spec()
    whole, torn, resumed = (small_world.method(cell) for _ in range(3))
    at_once = train(whole, cell.training, 0, validate=lambda: 0.5)
    file = node("one") / "checkpoints" / cell.key() / "last.pt"
    with pytest.raises(Stopped):
        train(torn, cell.training, 0, validate=lambda: 0.5, checkpoint=file, stopped=StopAfter(6))
    there = node("two") / "checkpoints" / cell.key() / "last.pt"
    began: list[int] = []
    in_parts = train(
        resumed,
        cell.training,
        0,
        validate=lambda: 0.5,
        checkpoint=there,
        progress=lambda step, *_: began.append(step),
    )
    assert began[0] == 7
    assert in_parts.history == at_once.history
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name

    back: list[int] = []  # the first node, whose own checkpoint is older than the bucket's, by three epochs
    train(torn, cell.training, 0, validate=lambda: 0.5, checkpoint=file, progress=lambda step, *_: back.append(step))
    assert back == []
    checkpoints.forget(there.parent)
    assert not Bucket(url).list("checkpoints")


def test_a_checkpoint_that_cannot_be_sent_is_a_warning_and_the_training_ends(
    node: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers.bucket import _files

    cell = small_world.spec()
    file = node("one") / "checkpoints" / cell.key() / "last.pt"
    with pytest.raises(Stopped):
        train(small_world.method(cell), cell.training, 0, validate=lambda: 0.5, checkpoint=file, stopped=StopAfter(6))
    _files.cache_clear()
    monkeypatch.setattr(checkpoints, "PATIENCE_S", 0.2)

    def away(step: int, *_: object) -> None:
        if step == 7:
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
            _files.cache_clear()

    with pytest.warns(UserWarning, match="is on this node alone, training goes on"):
        run = train(small_world.method(cell), cell.training, 0, validate=lambda: 0.5, checkpoint=file, progress=away)
    assert run.step == 12
    _files.cache_clear()


@pytest.mark.slow
def test_prepared_speech_and_encoders_come_to_a_node_once_though_its_slots_ask_at_the_same_time(
    node: Callable[[str], Path], url: str, demo_store: Path, demo_ground: object
) -> None:
    assert demo_ground
    one = node("one")
    prepared = prepare(demo_store / "demo" / "data", ["demo_home", "demo_arda"], one)
    share(prepared)
    folder = stores.shared_folder(one, demo_store / "demo" / "encoder", "encoders/abc")
    assert folder == one / "encoders" / "abc"
    places = pickle.dumps([stores.portable(path) for path in (*prepared.paths, folder)])
    two = node("two")
    paths = [stores.arrived(place) for place in pickle.loads(places)]
    assert all(path.is_relative_to(two) for path in paths)
    script = "import sys; from pathlib import Path; from trainers.corpora.prepared import open_prepared\n"
    script += "print(open_prepared([Path(word) for word in sys.argv[1:]]).fingerprint)"
    words = [sys.executable, "-c", script, *map(str, paths[:2])]
    running = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True, cwd=HERE.parent) for _ in range(3)]
    assert {each.communicate()[0].strip() for each in running} == {prepared.fingerprint}
    assert not list((two / "prepared").glob(".*.partial"))
    assert stores.bring(paths[2])
    assert (paths[2] / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()

    audio = paths[0] / "audio.f32"
    audio.write_bytes(audio.read_bytes()[:-4])  # damaged on this node alone
    assert open_prepared(paths[:2]).fingerprint == prepared.fingerprint
    other = prepare(demo_store / "demo" / "data", ["demo_home"], node("three"))
    assert other.paths[0].name == prepared.paths[0].name
    Bucket(url).delete(f"prepared/{other.paths[0].name}/audio.f32")
    with pytest.raises(UserError, match="is damaged there"):
        stores.bring(node("four") / "prepared" / other.paths[0].name)


# --- who may write


def refusal(told: str) -> str:
    return f"held by {told}"


def test_of_two_who_want_a_store_the_second_is_told_who_has_it_and_gets_it_afterwards(
    node: Callable[[str], Path], url: str
) -> None:
    one, two = Ledger(node("one")), Ledger(node("two"))
    with one.lock("first"):
        with pytest.raises(UserError) as error, two.lock("second"):
            pass
        assert f"store '{url}' is held by sweep 'first' (process {os.getpid()} on " in str(error.value)
    with two.lock("second"):
        pass
    assert not Bucket(url).list()


def test_a_lock_whose_holder_is_silent_is_taken_over_by_one_and_one_that_lives_is_not(
    node: Callable[[str], Path], url: str
) -> None:
    holder, taken = node("dead"), []
    left = lease._Lease(Bucket(url), json.dumps({"who": "dead", "copy": "x", "token": "t"}).encode())
    assert Bucket(url).create(lease.LOCK, left.content)
    assert holder
    with pytest.raises(UserError, match="held by dead"), lease.held(node("early"), "early", refusal, stale_s=60):
        pass
    time.sleep(11.1)
    copies, gate = [node(f"n{number}") for number in range(4)], threading.Event()

    def take(copy: Path) -> None:
        try:
            with lease.held(copy, copy.parts[-3], refusal, beat_s=0.3, stale_s=10.0):
                taken.append(copy)
                gate.wait(120)
        except UserError:
            return

    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(take, copy) for copy in copies]
        time.sleep(11.5)  # it beats: nobody else gets it, though it has held it for longer than is stale
        late = node("late")
        with pytest.raises(UserError, match="held by n"), lease.held(late, "late", refusal, stale_s=10.0):
            pass
        gate.set()
        for each in running:
            each.result()
    assert len(taken) == 1
    assert Bucket(url).about(lease.LOCK) is None


def test_the_lock_of_a_process_that_died_on_this_node_is_taken_over_at_once(node: Callable[[str], Path]) -> None:
    one = node("one")
    dying = "import os, signal\nwith Ledger(Path(sys.argv[1])).lock('dies'): os.kill(os.getpid(), signal.SIGKILL)"
    assert in_process(dying, one).returncode == -signal.SIGKILL
    with pytest.raises(UserError, match="is held by sweep 'dies'"), Ledger(node("two")).lock("other"):
        pass
    with Ledger(one).lock("again"):
        pass


@pytest.mark.parametrize("to_ctrl_c", ["listening", "deaf"])
def test_a_holder_whose_store_was_taken_over_is_interrupted(
    node: Callable[[str], Path], url: str, to_ctrl_c: str
) -> None:
    """Also where it is a background job of a shell, which ignores SIGINT."""
    handler = "signal.SIG_IGN" if to_ctrl_c == "deaf" else "signal.default_int_handler"
    holding = f"""
        import signal, time
        from orchestrator import lease
        signal.signal(signal.SIGINT, {handler})
        with lease.held(Path(sys.argv[1]), "one", str, beat_s=0.2):
            print("held", flush=True)
            time.sleep(60)
    """
    prelude = f"import sys; sys.path.insert(0, {str(HERE.parent)!r})\nfrom pathlib import Path\n"
    command = [sys.executable, "-c", prelude + textwrap.dedent(holding), str(node("one"))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    deadline = time.monotonic() + 50
    while process.poll() is None and time.monotonic() < deadline:  # a beat that is on its way may come after the first
        Bucket(url).put(lease.LOCK, b"another's")
        time.sleep(0.1)
    told = process.communicate(timeout=5)[1]
    assert process.returncode == -signal.SIGTERM if to_ctrl_c == "deaf" else "KeyboardInterrupt" in told
    assert Bucket(url).get(lease.LOCK) == b"another's"


# --- preflight


def test_a_bucket_is_tried_and_left_as_it_was_and_one_that_is_not_there_is_refused(
    node: Callable[[str], Path], url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert try_store(node("one"), "try") == ""
    assert Bucket(url).list() == {}
    monkeypatch.setenv("FOLDWISE_CACHE", str(tmp_path / "x"))
    with pytest.raises(UserError, match=r"^store s3://not-there-at-all/x: there is no such bucket") as error:
        require_store(stores.located("s3://not-there-at-all/x"))
    assert "\n" not in str(error.value)


def test_a_server_that_lets_two_create_one_object_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto, behind a door that takes the condition out of every request: so do older servers of S3's kind."""
    from trainers.bucket import _files

    with serving(tmp_path, monkeypatch, FOLDWISE_TEST_IGNORES="If-None-Match"):
        _files.cache_clear()
        monkeypatch.setenv("FOLDWISE_CACHE", str(tmp_path / "x"))
        with pytest.raises(UserError, match=r"^store s3://lab/x lets .* ignores If-None-Match$") as error:
            require_store(stores.located(f"s3://{BUCKET}/x"))
        assert "\n" not in str(error.value)
    _files.cache_clear()


@pytest.mark.slow
def test_a_server_that_says_less_than_aws_s_of_who_was_first_still_lets_one_alone_create(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """412 without the condition that failed, and 409 where two came at once, which is tried again."""
    with serving(tmp_path, monkeypatch, FOLDWISE_TEST_TERSE="1"):
        bucket = Bucket("s3://lab/terse", patience_s=20.0)
        with pytest.warns(UserWarning, match="does not answer; waiting"):
            assert bucket.create("key", b"first")
        assert not bucket.create("key", b"second")
        assert bucket.get("key") == b"first"
        assert bucket.create("key", b"first")  # heard before, and the answer was lost
