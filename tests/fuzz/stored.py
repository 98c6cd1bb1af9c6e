"""Files of the store: results, stages, checkpoints, records of sweeps, bundles, models, and what commands remember."""

import gzip
import hashlib
import io
import json
import tarfile
import warnings
from dataclasses import asdict
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hypothesis import strategies as st

from orchestrator import bundle, compare, openings, predict, records, report
from orchestrator.asked import write as write_record
from orchestrator.ledger import Ledger
from orchestrator.unbundling import take
from tests.fuzz import damage
from tests.fuzz.judging import commanded
from tests.synthetic_results import hits, result, spec
from tests.synthetic_sweeps import asked, flat
from trainers import loop, model_files, stages
from trainers.audio.front_end import FrontEnd
from trainers.corpora.copies import Copy
from trainers.corpora.copies import _read as read_copies
from trainers.corpora.copies import _write as write_copies
from trainers.corpora.sources import _remembered
from trainers.predictor import Predictor

RESULT = result(spec(), hits(5, 6, 7, 8), {"urdu": hits(4, 4, 4, 4)})
KEY = RESULT.spec.key()


@cache
def cell() -> tuple[bytes, bytes]:
    """A record and its details."""
    with TemporaryDirectory() as home:
        ledger = Ledger(Path(home))
        ledger.write(RESULT)
        path = ledger.path(KEY)
        return path.read_bytes(), records.details_path(path).read_bytes()


def sealed(light: Any, details: Any) -> tuple[bytes, bytes]:
    """A record of whatever content, with the checksums that fit it."""
    packed = gzip.compress(damage.written(details), mtime=0)
    about = {"sha256": hashlib.sha256(packed).hexdigest(), "bytes": len(packed)}
    body = damage.written({"schema": 1, "key": KEY, "details": about, "result": light})[1:]
    return f'{{"sha256": "{hashlib.sha256(body).hexdigest()}",\n'.encode() + body, packed


def _light() -> Any:
    return json.loads(cell()[0])["result"]


def _heavy() -> Any:
    return json.loads(gzip.decompress(cell()[1]))


def results() -> st.SearchStrategy[tuple[bytes, bytes]]:
    """Damaged records, damaged details, and what is wrong under a sound checksum."""
    return st.one_of(
        damage.of(cell()[0]).map(lambda record: (record, cell()[1])),
        damage.of(cell()[1]).map(lambda details: (cell()[0], details)),
        damage.plain(_light()).map(lambda light: sealed(light, _heavy())),
        damage.plain(_heavy()).map(lambda heavy: sealed(_light(), heavy)),
        st.just((damage.DEEP.encode(), b"")),
    )


def load_result(given: tuple[bytes, bytes], folder: Path) -> str:
    """A result is as it was written, or set aside with a warning; what a checksum vouches for may be other numbers."""
    ledger = Ledger(folder)
    path = ledger.path(KEY)
    path.parent.mkdir(parents=True)
    for file, content in zip((path, records.details_path(path)), given, strict=True):
        file.write_bytes(content)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        ledger.glance(KEY)
        ledger.light(KEY) if path.exists() else None
        found = ledger.read(KEY) if path.exists() else None
    if found is None:
        assert told, "set aside in silence"
        assert not path.exists()
        assert list(path.parent.glob("*.damaged*"))
        return "set aside"
    if json.loads(given[0]) == json.loads(cell()[0]) and given[1] == cell()[1]:
        assert found == RESULT
    return "taken"


# --- stages and checkpoints

STAGE = stages.StageSpec("speakers", {"temperature": 0.07}, 3, FrontEnd(), "e", "d", 0)
PRODUCT = stages.StageResult({"w": torch.arange(6.0)}, {"loss": 1.0}, [{"step": 1.0}])


@cache
def stage() -> tuple[bytes, bytes]:
    with TemporaryDirectory() as home:
        stages.write(Path(home), STAGE, PRODUCT)
        folder = stages.folder_of(Path(home), STAGE.key())
        return (folder / "stage.json").read_bytes(), (folder / "weights.safetensors").read_bytes()


def stage_files() -> st.SearchStrategy[tuple[bytes, bytes]]:
    def vouched(content: bytes) -> tuple[bytes, bytes]:
        told = {**json.loads(stage()[0]), "weights_sha256": hashlib.sha256(content).hexdigest()}
        return damage.written(told), content

    return st.one_of(
        damage.of(stage()[0]).map(lambda told: (told, stage()[1])),
        damage.of(stage()[1]).map(lambda weights: (stage()[0], weights)),
        damage.of(stage()[1]).map(vouched),
        damage.plain(json.loads(stage()[0])).map(lambda told: (damage.written(told), stage()[1])),
        st.just((damage.DEEP.encode(), stage()[1])),
    )


def load_stage(given: tuple[bytes, bytes], folder: Path) -> str:
    """A stage has the weights that were written, or is set aside with a warning."""
    home = stages.folder_of(folder, STAGE.key())
    home.mkdir(parents=True)
    for name, content in zip(("stage.json", "weights.safetensors"), given, strict=True):
        (home / name).write_bytes(content)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = stages.read(folder, STAGE.key())
    if found is None:
        assert told
        assert not home.exists()
        return "set aside"
    if given[1] == stage()[1]:
        assert torch.equal(found.weights["w"], PRODUCT.weights["w"])
    return "taken"


@cache
def checkpoint() -> bytes:
    """As a training leaves it."""
    net = torch.nn.Linear(3, 2)
    net.learning_rates = lambda: ([net], [])
    optimiser = torch.optim.AdamW(net.parameters())
    with TemporaryDirectory() as home:
        loop._save(Path(home) / "last.pt", net, optimiser, loop.Run(step=3))
        return (Path(home) / "last.pt").read_bytes()


def checkpoints() -> st.SearchStrategy[bytes]:
    return damage.of(checkpoint())


def load_checkpoint(content: bytes, folder: Path) -> str:
    """A checkpoint is what was written, or set aside with a warning."""
    path = folder / "last.pt"
    path.write_bytes(content)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = loop._checkpointed(path)
    if found is None:
        assert told
        assert not path.exists()
        return "set aside"
    assert content == checkpoint(), "a damaged checkpoint was taken"
    return "taken"


# --- records of sweeps

GROUPS = {"tau=0.9": flat(0.9, 5, 4), "tau=0.99": flat(0.99, 6, 5)}
ASKED = asked(GROUPS)


@cache
def record() -> bytes:
    with TemporaryDirectory() as home:
        return write_record(Path(home), ASKED).read_bytes()


def sweep_records() -> st.SearchStrategy[bytes]:
    broken = damage.plain(json.loads(record())).map(damage.written)
    return st.one_of(damage.of(record()), broken, broken, st.just(damage.DEEP.encode()))


def look(content: bytes, folder: Path) -> str:
    """Whoever compares a sweep with such a record is answered: by the table, or in one line."""
    path = folder / "sweeps" / ASKED.sweep / f"{ASKED.digest}.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    ledger = Ledger(folder)
    for group in GROUPS.values():
        for one in group[:2]:
            ledger.write(one)
    store = ["--store", str(folder)]
    answers = {commanded(compare.main, [ASKED.sweep, "--format", form, *store]) for form in ("csv", "latex", "table")}
    if len(content) % 40 == 0:  # pictures take long
        answers.add(commanded(report.main, [ASKED.sweep, *store]))
    assert len(answers) == 1, answers
    return answers.pop()


# --- bundles


@cache
def bundled() -> bytes:
    with TemporaryDirectory() as home:
        store = Path(home) / "runs"
        ledger = Ledger(store)
        for group in GROUPS.values():
            for one in group:
                ledger.write(one)
        ledger.opened(ASKED.sweep, ASKED.keys)
        write_record(store, ASKED)
        return bundle.export(store, ASKED.sweep, Path(home) / "b.tar.gz").read_bytes()


@cache
def members() -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(bundled())) as archive:
        return {each.name: (archive.extractfile(each) or io.BytesIO()).read() for each in archive.getmembers()}


def repacked(name: str, content: bytes, renamed: str, kind: bytes) -> bytes:
    """The bundle with another content of a member, and a list that vouches for it."""
    files = {**members(), name: content}
    if renamed:
        files[renamed] = files.pop(name)
    about = {
        each: {"sha256": hashlib.sha256(text).hexdigest(), "bytes": len(text)}
        for each, text in files.items()
        if each != "bundle.json"
    }
    if name != "bundle.json":
        files["bundle.json"] = damage.written({**json.loads(members()["bundle.json"]), "files": about})
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w:gz") as archive:
        for each in sorted(files, key=lambda each: (each != "bundle.json", each)):
            told = tarfile.TarInfo(each)
            told.size, told.type = len(files[each]), kind if each == (renamed or name) else tarfile.REGTYPE
            archive.addfile(told, io.BytesIO(files[each]))
    return sink.getvalue()


def _member(name: str) -> st.SearchStrategy[bytes]:
    content = members()[name]
    return damage.plain(json.loads(content)).map(damage.written) if name.endswith(".json") else damage.of(content)


RENAMED = ("", "", "", "../x", "/x", "cells/x.json", "sweeps/../../x.json", "reports/0123456789ab/../../x")
TYPES = (tarfile.REGTYPE,) * 4 + (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE)


def bundles() -> st.SearchStrategy[bytes]:
    names = st.sampled_from(sorted(members()))
    inside = names.flatmap(
        lambda name: st.builds(
            repacked,
            st.just(name),
            st.one_of(_member(name), damage.of(members()[name])),
            st.sampled_from(RENAMED),
            st.sampled_from(TYPES),
        )
    )
    return st.one_of(damage.of(bundled()), inside)


def take_bundle(content: bytes, folder: Path) -> str:
    """A bundle that is refused leaves the store empty, and nothing is ever written beside it."""
    (folder / "b.tar.gz").write_bytes(content)
    store = folder / "runs"
    try:
        take(store, folder / "b.tar.gz")
        return "taken"
    except Exception:
        left = [path for path in store.rglob("*") if path.is_file() and path.name != "sweep.lock"]
        assert left == [], left
        raise
    finally:
        assert {path.name for path in folder.iterdir()} <= {"b.tar.gz", "runs"}


# --- models

TOLD: dict[str, Any] = {
    "spec": asdict(RESULT.spec),
    "encoder": {"config": {"model_type": "whisper", "d_model": 8}, "do_normalize": True},
    "emotions": ["angry", "happy", "neutral", "sad"],
}


@cache
def model() -> tuple[bytes, bytes]:
    with TemporaryDirectory() as home:
        folder = Path(home) / "m"
        model_files.write(folder, json.loads(json.dumps(TOLD)), {"head.w": torch.zeros(3)})
        return tuple((folder / name).read_bytes() for name in (model_files.TOLD, model_files.WEIGHTS))


def models() -> st.SearchStrategy[tuple[bytes, bytes]]:
    return st.one_of(
        damage.of(model()[0]).map(lambda told: (told, model()[1])),
        damage.plain(json.loads(model()[0])).map(lambda told: (damage.written(told), model()[1])),
        damage.of(model()[1]).map(
            lambda content: (
                damage.written({**json.loads(model()[0]), "weights_sha256": hashlib.sha256(content).hexdigest()}),
                content,
            )
        ),
        st.just((damage.DEEP.encode(), b"")),
    )


def ask_model(given: tuple[bytes, bytes], folder: Path) -> str:
    """No model is made of such files (they lack an encoder's weights), and the command says so in one line."""
    for name, content in zip((model_files.TOLD, model_files.WEIGHTS), given, strict=True):
        (folder / name).write_bytes(content)
    answer = commanded(predict.main, [str(folder), "no.wav", "--store", str(folder / "runs")])
    assert answer == "refused"
    Predictor(folder)
    return "taken"


# --- what commands remember

OPENED = b'{"sweep": "byol_tau", "at": "2026-11-21T10:00:00+00:00", "cells": "0123456789abcdef", "count": 8}\n'
COPIES = (Copy("a", "b", 1.2, 0.01), Copy("c", "d", 2.0, 0.1))


@cache
def remembered() -> bytes:
    with TemporaryDirectory() as home:
        write_copies(Path(home) / "c.json", "corpora", COPIES)
        return (Path(home) / "c.json").read_bytes()


def memories() -> st.SearchStrategy[tuple[str, bytes]]:
    one = json.loads(OPENED)
    return st.one_of(
        st.tuples(st.just("openings"), damage.of(OPENED * 3)),
        st.tuples(st.just("openings"), damage.plain({**one, "keys": ["a"]}).map(damage.written)),
        st.tuples(st.just("copies"), damage.of(remembered())),
        st.tuples(st.just("copies"), damage.plain(json.loads(remembered())).map(damage.written)),
        st.tuples(st.just("sources"), damage.of(b'{"/a/b.wav": [1, 2, 3, "0123"]}')),
    )


def remember(given: tuple[str, bytes], folder: Path) -> str:
    """Logs lose no more than the lines that are damaged; a list of copies is as it was written, or looked for anew."""
    kind, content = given
    path = openings.log_path(folder) if kind == "openings" else folder / "c.json"
    path.write_bytes(content)
    if kind == "openings":
        openings.covers(folder, "byol_tau", ["a"], "2026-01-01")
        before = openings.count(folder, "byol_tau")
        openings.note(folder, "byol_tau", ["a"], "2026-11-21T10:00:00+00:00")
        assert openings.count(folder, "byol_tau") == before + 1
    elif kind == "sources":
        assert isinstance(_remembered(path), dict)
    else:
        found = read_copies(path, "corpora")
        assert found in (None, COPIES), found
    return "taken"
