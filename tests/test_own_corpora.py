"""A user's own corpora by manifests: roles dealt on the command line, one cell trained, mistakes told in a line."""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import pytest

from orchestrator import sweep
from orchestrator.ground import Ground
from trainers import alone
from trainers.corpora import demo
from trainers.errors import UserError
from trainers.protocols import Protocol, own_protocol, protocol_named

SHORT = ["--steps", "50", "--batch-size", "8", "--set", "length_s=1", "projector_hidden=16", "projection=8"]


def with_manifest(recordings: Path, folder: Path, language: str) -> None:
    """A copy of one of the demo's corpora that only its manifest explains."""
    folder.mkdir(parents=True)
    rows = []
    for number, source in enumerate(sorted(recordings.rglob("*.wav"))):
        told = demo.parse(PurePosixPath(source.name))
        assert told is not None
        os.link(source, folder / f"{number}.wav")
        rows.append([f"{number}.wav", language, told.speaker, told.gender, told.emotion, told.text])
    with (folder / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "language", "speaker", "gender", "emotion", "text"], *rows])


@pytest.fixture(scope="module")
def root(demo_ground: Ground, tmp_path_factory: pytest.TempPathFactory, demo_store: Path) -> Path:  # noqa: ARG001
    """Two corpora of ours: `home` in english, `mine` in sindhi."""
    made = tmp_path_factory.mktemp("own")
    with_manifest(demo_store / "demo" / "data" / "demo_home", made / "home", "english")
    with_manifest(demo_store / "demo" / "data" / "demo_arda", made / "mine", "sindhi")
    return made


def asked(root: Path, demo_store: Path, store: Path, words: Iterable[str]) -> list[str]:
    encoder = str(demo_store / "demo" / "encoder")
    return ["byol_tau", "--data", str(root), "--encoder", encoder, "--store", str(store), *SHORT, *words]


@pytest.mark.slow
def test_corpora_with_manifests_are_planned_in_the_roles_they_were_given(
    root: Path, demo_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = asked(root, demo_store, tmp_path, ["--high", "home", "--low", "mine", "--dry-run"])
    assert sweep.main(words) == 0
    printed = capsys.readouterr().out
    assert "protocol transfer high=home low=mine: trains on home, transfers to sindhi" in printed
    assert "15 cells (3 configurations × 1 language × 5 folds × 1 seed): 0 done, 15 to run" in printed


@pytest.mark.slow
def test_a_cell_of_own_corpora_is_trained_by_its_spec_alone(
    root: Path, demo_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "spec.json"
    training = {"steps": 2, "epoch_steps": 2, "batch_size": 4}
    file.write_text(
        json.dumps(
            {
                "method": "baseline",
                "training": training,
                "front_end": {"length_s": 0.5},
                "protocol": "transfer high=home low=mine",
                "folds_by": "speaker+sentence",
                "target": None,
                "fold": 1,
                "seed": 0,
            }
        )
    )
    where = ["--data", str(root), "--encoder", str(demo_store / "demo" / "encoder"), "--store", str(tmp_path)]
    assert alone.main([str(file), *where]) == 0
    assert set(json.loads(capsys.readouterr().out)["test"]) == {"sindhi", "english"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["--high", "home", "--low", "yours"], "lacks yours (a corpus of your own: expected at "),
        (["--high", "home"], "a sweep that goes transfer takes --high and --low: corpora by name"),
        (
            ["--high", "home", "--low", "mine", "--protocol", "open"],
            "--protocol deals the roles of the corpora, and so",
        ),
        (["--high", "home", "--low", "mine", "mine"], "has two tests of the name 'sindhi'"),
    ],
)
def test_a_role_that_cannot_be_filled_is_told_in_one_line(
    root: Path,
    demo_store: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    line: str,
) -> None:
    assert sweep.main(asked(root, demo_store, tmp_path, [*words, "--dry-run"])) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


def test_the_name_of_an_own_protocol_tells_all_of_it() -> None:
    made = own_protocol("transfer", ["ravdess", "home"], ["mine"], ["subesco"], ["common_voice_de"])
    assert protocol_named(made.name) == made
    assert made == Protocol(
        "transfer high=ravdess,home low=mine held_out=subesco adaptation=common_voice_de",
        ("ravdess", "home"),
        ("mine",),
        ("subesco",),
        ("common_voice_de",),
    )
    with pytest.raises(UserError, match="a sweep that goes within takes --high alone: corpora by name"):
        own_protocol("within", ["home"], ["mine"])
