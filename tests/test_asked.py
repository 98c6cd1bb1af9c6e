"""What a sweep was asked is found again, whole, by its name, and runs of one name are told apart."""

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from orchestrator.answers.rows import Candidate
from orchestrator.asked import Asked, named, read, sweeps, write
from tests.synthetic_results import floor_spec
from tests.synthetic_sweeps import asked, varied
from trainers.errors import UserError

GROUPS = {"a": varied(0.9, [4, 5, 4, 5, 4]), "b": varied(0.99, [8, 9, 8, 8, 8])}


def full() -> Asked:
    """A record of which no field is empty."""
    floor = Candidate("own_statistics", {(None, 0, 0): floor_spec("own_statistics").key()}, method="own_statistics")
    plain = asked(GROUPS, floors=(floor,), note="a note", shows=("stability",), shared_speakers=("urdu",))
    values = {"tau": 0.9, "augmentations": ("noise", "gain"), "trainable_layers": None}
    first = replace(plain.configurations[0], values=values, method="BYOL")
    return replace(
        plain,
        configurations=(first, *plain.configurations[1:]),
        conditions={"encoder": "tiny.en"},
        longest_s={"urdu": 3.0},
        dropped={"b": "dropped after 2 of 5 blocks"},
        failed={"0" * 64: "nan: the loss is nan"},
        versions={"torch": "2.11"},
    )


def test_a_record_is_read_as_it_was_written(tmp_path: Path) -> None:
    one = full()
    assert not [each.name for each in fields(one) if not getattr(one, each.name)], "every field has something to lose"
    path = write(tmp_path, one)
    assert path == tmp_path / "sweeps" / "byol_tau" / f"{one.digest}.json"
    assert read(path) == one
    assert named(tmp_path, "byol_tau") == [one]
    assert sweeps(tmp_path) == ["byol_tau"]


def test_a_record_that_was_written_before_versions_were_told_is_read(tmp_path: Path) -> None:
    one = replace(full(), versions={})
    path = write(tmp_path, one)
    path.write_text(path.read_text().replace(',"versions":{}', ""))
    assert "versions" not in path.read_text()
    assert read(path) == one


def test_the_digest_is_that_of_the_cells_whoever_asks_for_them_and_when() -> None:
    one = full()
    again = replace(one, command="another", at="later", commit="", dropped={}, failed={})
    assert again.digest == one.digest
    assert replace(one, configurations=one.configurations[:1]).digest != one.digest
    assert replace(one, floors=()).digest != one.digest


def test_the_newest_record_of_a_name_comes_first_and_each_has_its_digest(tmp_path: Path) -> None:
    old, new = full(), replace(asked(GROUPS), command="… --steps 50", at="2026-11-22T10:00:00+00:00", floors=())
    for one in (new, old):
        write(tmp_path, one)
    assert named(tmp_path, "byol_tau") == [new, old]
    assert named(tmp_path, f"byol_tau/{old.digest[:5]}") == [old]
    asked_again = replace(old, at="2026-11-23T10:00:00+00:00")
    write(tmp_path, asked_again)
    assert named(tmp_path, "byol_tau") == [asked_again, new]


def test_a_record_that_its_own_command_has_outgrown_goes(tmp_path: Path) -> None:
    """A search that adds configurations writes several records; only the last of them says all."""
    first = asked({"a": GROUPS["a"]})
    others = [replace(first, command="another command"), asked({"b": GROUPS["b"]})]
    for one in (first, asked(GROUPS)):
        write(tmp_path, one)
    assert [one.digest for one in named(tmp_path, "byol_tau")] == [asked(GROUPS).digest]
    for one in others:
        write(tmp_path, one)
    write(tmp_path, asked(GROUPS))
    assert {one.digest for one in named(tmp_path, "byol_tau")} == {asked(GROUPS).digest, others[0].digest}


def test_an_unknown_name_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^no results of 'byol_tau' in store '.*'; there are: none$"):
        named(tmp_path, "byol_tau")
    one = full()
    write(tmp_path, one)
    write(tmp_path, replace(one, sweep="byol_lambda"))
    with pytest.raises(UserError, match=r"no results of 'byol_tua' .*; there are: byol_lambda, byol_tau$"):
        named(tmp_path, "byol_tua")
    with pytest.raises(UserError, match=rf"no results of 'byol_tau/fff' .*; there are: byol_tau/{one.digest}$"):
        named(tmp_path, "byol_tau/fff")
    for outside in ("..", "../..", "", "/etc"):
        with pytest.raises(UserError, match="no results of"):
            named(tmp_path, outside)


@pytest.mark.parametrize("content", [b"", b"torn", b"[]", b'{"schema": 1}', b"\xff"])
def test_a_damaged_record_is_told_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, full())
    path.write_bytes(content)
    with pytest.raises(UserError, match="is no record of a sweep: ") as caught:
        named(tmp_path, "byol_tau")
    assert "\n" not in str(caught.value)


def test_a_record_with_half_a_character_is_told_in_one_line(tmp_path: Path) -> None:
    path = write(tmp_path, full())
    path.write_text(json.dumps(json.loads(path.read_text()) | {"at": "\ud800"}))
    with pytest.raises(UserError, match="is no record of a sweep: UnicodeEncodeError ") as caught:
        named(tmp_path, "byol_tau")
    str(caught.value).encode()


def test_a_record_of_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    path = write(tmp_path, full())
    path.write_text(path.read_text().replace('"schema":1', '"schema":2'))
    with pytest.raises(UserError, match="newer version"):
        read(path)


def test_a_store_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "sweeps").write_text("a file where a folder should be")
    with pytest.raises(UserError, match="cannot write "):
        write(tmp_path, full())
