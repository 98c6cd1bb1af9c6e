"""The log of looks at test scores says truly what was opened, in the form of today and in the older one."""

import json
from pathlib import Path

from orchestrator import openings
from orchestrator.ledger import Ledger

KEYS = [f"{number:064x}" for number in range(15_000)]


def test_a_look_at_fifteen_thousand_cells_takes_a_short_line(tmp_path: Path) -> None:
    assert Ledger(tmp_path).opened("a", KEYS) == 1
    assert openings.log_path(tmp_path).stat().st_size < 200
    assert openings.covers(tmp_path, "a", KEYS, since="")
    assert not openings.covers(tmp_path, "a", [*KEYS, "f" * 64], since="")
    assert not openings.covers(tmp_path, "a", KEYS[1:], since="")
    assert not openings.covers(tmp_path, "b", KEYS, since="")


def test_lines_of_the_older_form_cover_the_cells_that_they_name(tmp_path: Path) -> None:
    line = json.dumps({"sweep": "a", "at": "2026-11-21T10:00:00+00:00", "keys": KEYS[:3]})
    openings.log_path(tmp_path).write_text(line + "\n")
    assert openings.covers(tmp_path, "a", KEYS[:3], since="2026-11-21T10:00:00+00:00")
    assert openings.covers(tmp_path, "a", KEYS[1:2], since="")
    assert not openings.covers(tmp_path, "a", KEYS[:4], since="")
    assert Ledger(tmp_path).opened("a", KEYS[:4]) == 2
    assert openings.covers(tmp_path, "a", KEYS[:4], since="")


def test_what_was_opened_before_a_sweep_was_asked_anew_is_not_open_for_it(tmp_path: Path) -> None:
    line = json.dumps({"sweep": "a", "at": "2026-11-21T10:00:00+01:00", "keys": KEYS[:3]})
    openings.log_path(tmp_path).write_text(line + "\n")
    assert openings.covers(tmp_path, "a", KEYS[:3], since="2026-11-21T09:00:00+00:00")
    assert not openings.covers(tmp_path, "a", KEYS[:3], since="2026-11-21T09:00:01+00:00")


def test_a_ledger_that_tells_again_what_was_opened_counts_no_look(tmp_path: Path) -> None:
    assert Ledger(tmp_path).opened("a", KEYS) == 1
    assert Ledger(tmp_path, counts=False).opened("a", KEYS) == 1
    assert Ledger(tmp_path, counts=False).opened("b", KEYS) == 0
    assert Ledger(tmp_path).opened("a", KEYS) == 2


def test_merging_another_log_adds_each_of_its_looks_once(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for store in (here, there):
        store.mkdir()
    line = json.dumps({"sweep": "a", "at": "2026-11-21T10:00:00+00:00", "cells": "x", "count": 1})
    openings.log_path(here).write_text(line + "\n" + '{"sweep": "a", "at')  # a crash cut this line short
    openings.log_path(there).write_text(f"{line}\n{line}\n{line.replace('10:', '11:')}\n")
    assert openings.merge(here, "a", openings.lines(there, "a")) == 2
    assert openings.merge(here, "a", openings.lines(there, "a")) == 0
    assert openings.count(here, "a") == 3
