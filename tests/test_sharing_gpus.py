"""How many cells share a GPU, by what like cells took of its memory; every number here is worked out by hand."""

from collections.abc import Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

import search_spaces
from orchestrator.bill import Sharing, sharing
from orchestrator.costs import Demand, demand
from orchestrator.fleet import MOST_CELLS, Fleet, fit, smallest_gpu
from orchestrator.ground import Ground
from orchestrator.ledger import Ledger
from orchestrator.packing import need_of
from orchestrator.plan import Plan, Request, plan
from orchestrator.records import Glance
from orchestrator.sweep import main
from orchestrator.timings import Memories, Taken, Timing, timed
from tests.local_ray import started
from tests.synthetic_results import baseline_spec, floor_spec, hits, result, spec
from tests.unheard import ground
from trainers import stages
from trainers.methods.configs import AdaptationConfig, ClConfig
from trainers.profiling import CONTEXT_BYTES, FREE_SHARE
from trainers.spec import CellSpec

GB = 10**9
CL = replace(baseline_spec(), method="cl", config=ClConfig())


def took(of: CellSpec, gigabytes: float, gpus: float = 1.0) -> Timing:
    return Timing(of, 1.0, 1.0, 1.0, "cuda", "NVIDIA L4", gpus, int(gigabytes * GB), 24 * GB)


def expected(known: Sequence[Timing], of: CellSpec, staged: bool = False) -> tuple[str, float, int] | None:
    """By which rule, GB, and by how many cells."""
    found = Memories(known).expects(of, staged)
    return (found.by, round(found.memory_bytes / GB, 9), found.count) if found else None


# --- what a cell takes


def test_a_result_tells_the_memory_that_its_cell_took_and_an_older_one_none() -> None:
    where = {"device": "cuda", "processor": "NVIDIA L4", "gpus": "1"}
    told = timed(spec(), Glance({}, {}, {**where, "gpu_memory_bytes": "3000000000", "gpu_bytes": "24000000000"}))
    assert (told.memory_bytes, told.gpu_bytes) == (3 * GB, 24 * GB)
    assert (timed(spec(), Glance({}, {}, where)).memory_bytes, timed(spec(), Glance({}, {}, where)).gpu_bytes) == (0, 0)


def test_the_most_that_like_cells_took_is_expected_and_not_their_mean() -> None:
    known = [took(spec(fold=0), 3.0), took(spec(fold=1), 4.0), took(spec(seed=1), 2.0)]
    assert expected(known, spec(fold=4)) == ("same", 4.0, 3)


def test_the_closest_rule_tells() -> None:
    here, elsewhere = took(spec(target="urdu"), 3.0), took(spec(target="german"), 5.0)
    assert expected([here, elsewhere], spec(target="urdu", fold=3)) == ("same", 3.0, 1)
    assert expected([here, elsewhere], spec(target="bengali")) == ("alike", 5.0, 2)


def test_a_step_of_more_speech_takes_as_many_times_as_much_and_one_of_less_no_less() -> None:
    known = [took(spec().configured({"batch_size": 64, "length_s": 2.0}), 3.0)]
    assert expected(known, spec().configured({"batch_size": 128, "length_s": 3.0})) == ("akin", 9.0, 1)  # 2 · 1.5
    assert expected(known, spec().configured({"batch_size": 16, "length_s": 2.0})) == ("akin", 3.0, 1)
    assert expected(known, spec().configured({"batch_size": 64, "length_s": 2.0, "steps": 99})) == ("same", 3.0, 1)


def test_numbers_of_twice_the_length_take_twice_as_much_and_of_half_the_length_no_less() -> None:
    short, long = (spec().configured({"precision": name}) for name in ("bf16", "fp32"))
    assert expected([took(short, 3.0)], long) == ("akin", 6.0, 1)
    assert expected([took(long, 3.0)], short) == ("akin", 3.0, 1)


def test_the_least_bound_holds_where_several_sizes_were_seen() -> None:
    """Of batches of 64 (3 GB) and 256 (10 GB), one of 128 takes at most 2 · 3 GB, and one of 512 at most 2 · 10 GB."""
    known = [took(spec().configured({"batch_size": size}), gb) for size, gb in ((64, 3.0), (256, 10.0))]
    assert expected(known, spec().configured({"batch_size": 128})) == ("akin", 6.0, 2)
    assert expected(known, spec().configured({"batch_size": 512})) == ("akin", 20.0, 2)
    assert expected(known, spec().configured({"batch_size": 32})) == ("akin", 3.0, 2)


@pytest.mark.parametrize("setting", [{"clean_view": True}, {"views": 5}, {"passive_taus": (0.9,)}])
def test_cells_that_hold_other_weights_or_whose_steps_differ_tell_nothing(setting: dict[str, Any]) -> None:
    assert expected([took(spec(), 3.0)], spec().configured(setting)) is None


def test_neither_another_method_nor_another_encoder_nor_a_cell_of_several_gpus_nor_an_old_result_tells() -> None:
    others = [baseline_spec(), replace(spec(), encoder_fingerprint="f" * 64)]
    known = [*(took(other, 3.0) for other in others), took(spec(), 3.0, gpus=2.0), took(spec(), 0.0)]
    assert expected(known, spec()) is None


def test_a_stage_counts_where_a_step_of_it_hears_more_than_one_of_its_cell() -> None:
    """A stage of CL hears each clip twice, the training after it once."""
    assert expected([took(CL, 3.0)], CL) == ("same", 3.0, 1)
    assert expected([took(CL, 3.0)], CL, staged=True) == ("same", 6.0, 1)
    four = CL.configured({"views": 4})
    assert expected([took(four, 3.0)], four, staged=True) == ("same", 3.0, 1)


def test_what_trains_nothing_tells_of_its_like_and_of_no_stage() -> None:
    floor = floor_spec("frozen_probe")
    assert expected([took(floor, 1.0)], floor_spec("frozen_probe", fold=2)) == ("same", 1.0, 1)
    adaptation = replace(CL, method="adaptation", config=AdaptationConfig())
    assert expected([took(adaptation, 1.0)], adaptation, staged=True) is None


# --- what a plan takes


def planned(name: str = "byol_tau", **asked: Any) -> Plan:
    return plan(name, search_spaces.load(name), ground(), Request(**asked))


def finish(ledger: Ledger, specs: Sequence[CellSpec], gigabytes: float, **versions: str) -> None:
    for each in specs:
        made = result(each, hits(7, 6, 5, 4), {"urdu": hits(8, 8, 8, 8)})
        about = {"device": "cuda", "processor": "NVIDIA L4", "gpus": "1", "gpu_bytes": str(24 * GB)}
        about |= {"gpu_memory_bytes": str(int(gigabytes * GB)), **versions}
        ledger.write(replace(made, seconds={"total": 30.0, "training": 20.0}, versions=about))


def test_the_most_demanding_of_the_cells_that_are_to_run_decides(tmp_path: Path) -> None:
    tau, ledger = planned(), Ledger(tmp_path)
    of_languages = {name: [cell.spec for cell in tau.cells if cell.spec.target == name] for name in tau.languages}
    for specs, gigabytes in zip(of_languages.values(), (3.0, 5.0, 4.0), strict=True):
        finish(ledger, specs[:2], gigabytes)
    finish(ledger, [tau.floors[0].spec], 0.5, processor="NVIDIA A10G", gpu_bytes=str(23 * GB))
    found = demand(tau, ledger)
    assert found == Demand(45 + 15 - 7, Taken(5 * GB, "same", 2), (), {"NVIDIA L4": 24 * GB, "NVIDIA A10G": 23 * GB})
    finish(ledger, of_languages[tau.languages[1]], 5.0)
    assert demand(tau, ledger).taken == Taken(4 * GB, "same", 2)


def test_what_is_done_demands_nothing(tmp_path: Path) -> None:
    small, ledger = planned("baseline", folds=(0,)), Ledger(tmp_path)
    finish(ledger, [cell.spec for cell in small.cells + small.floors], 3.0)
    assert demand(small, ledger) == Demand(0)
    assert demand(small, ledger, every=True) == Demand(4, Taken(3 * GB, "same", 1), (), {"NVIDIA L4": 24 * GB})


def test_one_method_of_which_nothing_is_known_leaves_all_unknown_but_a_floor_does_not(tmp_path: Path) -> None:
    methods, ledger = planned("methods", folds=(0, 1)), Ledger(tmp_path)
    of_first = [cell.spec for cell in methods.cells if cell.spec.fold == 0]
    assert {each.method for each in of_first} == {"baseline", "byol", "cl", "supcon"}
    finish(ledger, [each for each in of_first if each.method in ("baseline", "byol")], 3.0)
    assert (demand(methods, ledger).taken, demand(methods, ledger).unknown) == (None, ("cl", "supcon"))
    finish(ledger, [each for each in of_first if each.method == "cl"], 1.0)
    finish(ledger, [each for each in of_first if each.method == "supcon"], 1.2)
    found = demand(methods, ledger)
    assert found.unknown == ()
    assert found.taken is not None
    assert found.taken.memory_bytes == 3 * GB


def test_results_of_other_sweeps_are_asked_where_this_one_has_none(tmp_path: Path) -> None:
    tau, ledger = planned(), Ledger(tmp_path)
    finish(ledger, [cell.spec for cell in planned("byol_tau", settings={"steps": 50}).cells[:3]], 3.0)
    found = demand(tau, ledger).taken
    assert found is not None
    assert found.memory_bytes == 3 * GB


def test_a_stage_that_is_to_be_computed_decides_until_it_is_there(tmp_path: Path) -> None:
    cl, ledger = planned("cl_temperature", folds=(0, 1)), Ledger(tmp_path)
    finish(ledger, [cell.spec for cell in cl.cells[: len(cl.cells) // 2]], 3.0)
    views = cl.cells[0].spec.settings()["views"]
    assert views == 1
    assert demand(cl, ledger).taken == Taken(6 * GB, "same", 5)
    for key in cl.stages:
        folder = stages.folder_of(ledger.store, key)
        folder.mkdir(parents=True)
        (folder / "stage.json").touch()
    assert demand(cl, ledger).taken == Taken(3 * GB, "same", 5)
    assert demand(cl, ledger, every=True).taken == Taken(6 * GB, "same", 5)


# --- how many share a GPU


def of(gigabytes: float, cells: int = 100, **gpus: int) -> Demand:
    return Demand(cells, Taken(gigabytes * GB - CONTEXT_BYTES, "same", 3), (), gpus or {"NVIDIA L4": 24 * GB})


ONE = Fleet({"NVIDIA L4": 1}, 32, cpus_a_gpu=32, gpu_bytes=24 * GB)
"""A GPU of which .9 · 24 = 21.6 GB may be filled."""


@pytest.mark.parametrize(
    ("gigabytes", "cells", "share"),
    [
        *[(30.0, 1, 1.0), (21.7, 1, 1.0), (11.0, 1, 1.0), (10.7, 2, 0.5), (7.1, 3, 0.3333), (5.5, 3, 0.3333)],
        *[(5.3, 4, 0.25), (3.5, 6, 0.1666), (3.0, 7, 0.1428), (2.6, 8, 0.125), (1.0, 8, 0.125)],
    ],
)
def test_as_many_cells_share_a_gpu_as_fill_nine_tenths_of_it(gigabytes: float, cells: int, share: float) -> None:
    """`gigabytes` with the context's part."""
    assert FREE_SHARE == 0.9
    found = fit(ONE, of(gigabytes))
    assert found is not None
    assert found.cells == cells
    chosen = sharing("auto", ONE, of(gigabytes)).gpus_per_cell
    assert chosen == share
    assert need_of(share).gpus == share


def test_no_gpu_gets_more_cells_than_it_has_cpus_or_than_there_are_to_run() -> None:
    assert bound(replace(ONE, cpus_a_gpu=3), 1.0) == (3, "CPUs")
    assert bound(replace(ONE, cpus_a_gpu=0), 1.0) == (1, "CPUs")
    assert bound(replace(ONE, cpus_a_gpu=None), 1.0) == (MOST_CELLS, "most")
    four = Fleet({"L4": 4}, 128, cpus_a_gpu=32)
    assert [bound(four, 1.0, at_once)[0] for at_once in (1, 4, 5, 8, 9, 31, 1000)] == [1, 1, 2, 2, 3, 8, 8]
    assert bound(four, 11.0, 1000) == (1, "memory")
    to_come = Fleet({}, 0, to_come=16, cpus_a_gpu=9)  # the fewest nodes are asked for
    assert bound(to_come, 1.0, 45) == (8, "most")


def bound(fleet: Fleet, gigabytes: float, at_once: float = inf) -> tuple[int, str]:
    found = fit(fleet, of(gigabytes), at_once)
    assert found is not None
    return found.cells, found.bound


def test_the_smallest_gpu_is_this_machine_s_or_the_smallest_of_the_kinds_that_a_cluster_has() -> None:
    seen = {"NVIDIA L4": 24 * GB, "NVIDIA L40S": 48 * GB, "NVIDIA A100-SXM4-40GB": 40 * GB, "NVIDIA A100-SXM4-80GB": 80}
    assert smallest_gpu(ONE, {"NVIDIA T4": 16 * GB}) == 24 * GB
    assert smallest_gpu(Fleet({"L40S": 2}), seen) == 48 * GB
    assert smallest_gpu(Fleet({"L4": 2, "L40S": 2}), seen) == 24 * GB
    assert smallest_gpu(Fleet({"A100": 8}), seen) == 80  # of two that were seen under this name
    assert smallest_gpu(Fleet({"H100": 8, "L4": 1}), seen) == 0
    assert smallest_gpu(Fleet({"L40S": 1}, to_come=3), {"NVIDIA L4": 24 * GB, "NVIDIA L40S": 48 * GB}) == 24 * GB
    assert smallest_gpu(Fleet({"GPU": 3, "L40S": 1}), {"NVIDIA L4": 24 * GB, "NVIDIA L40S": 48 * GB}) == 24 * GB
    assert smallest_gpu(Fleet({"GPU": 3}), {}) == 0


# --- what is told


def test_what_was_chosen_is_told_with_its_reason() -> None:
    demanding = Demand(90, Taken(4.7 * GB, "alike", 12), (), {"NVIDIA L4": 24 * GB})
    assert sharing("auto", ONE, demanding) == Sharing(
        0.25,
        "packed: one GPU is to hold 4 such cells (--gpus-per-cell 0.25): one takes up to 4.7 GB of 24 GB, "
        "by 12 cells with as much work in a step",
    )
    small = sharing("auto", ONE, of(1.0)).told
    assert small.endswith("like these, of other values or folds; its memory would hold more, but nobody tried that")
    assert sharing("auto", replace(ONE, cpus_a_gpu=2), of(1.0)).told.endswith("but each is to have a CPU")
    assert sharing("auto", ONE, of(1.0), at_once=2).told.endswith("but so few are to run at a time")


def test_a_whole_gpu_is_chosen_where_nothing_is_known_and_told_why() -> None:
    no_cell = Demand(90, None, ("byol", "cl"), {})
    assert sharing("auto", ONE, no_cell) == Sharing(
        1.0,
        "packed: a whole GPU for each cell; "
        "what byol or cl cells take of its memory is known once some have run on one",
    )
    no_gpu = sharing("auto", Fleet({"H100": 8}, 64), of(1.0))
    assert no_gpu == Sharing(
        1.0, "packed: a whole GPU for each cell; how much memory each H100 has is known once cells have run on it"
    )
    assert sharing("auto", ONE, Demand(0)) == Sharing(1.0, "packed: a whole GPU for each cell; nothing is to run")
    assert sharing("auto", Fleet({}, 16), Demand(0)) == Sharing(
        None, "packed: no GPU is here or may come, so cells run on CPU cores"
    )


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (None, "one GPU holds 4 such cells (--gpus-per-cell 0.25): one takes up to 4.7 GB of 24 GB, by 3 cells "),
        (1.0, "one GPU holds 4 such cells (--gpus-per-cell 0.25): "),
        (0.5, "one GPU holds 4 such cells (--gpus-per-cell 0.25): "),
        (0.25, ""),
        (0.125, ""),
        (2.0, ""),
    ],
)
def test_what_was_asked_stays_and_a_larger_share_than_needed_is_told(asked: float | None, hint: str) -> None:
    found = sharing(asked, ONE, of(5.3))
    assert found.gpus_per_cell == asked
    assert found.told.startswith(hint)
    assert bool(found.told) == bool(hint)


def test_nothing_is_told_to_who_did_not_ask_where_nothing_is_known_or_there_is_no_gpu() -> None:
    assert sharing(None, ONE, Demand(9, None, ("byol",))) == Sharing(None)
    assert sharing(None, Fleet({}, 16), of(1.0)) == Sharing(None)
    assert sharing(1.0, ONE, of(30.0)) == Sharing(1.0)


@pytest.mark.slow
def test_a_sweep_that_leaves_it_to_the_ledger_plans_as_many_slots_on_each_gpu(
    demo_store: Path,
    demo_ground: Ground,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Of two GPUs that Ray counts; cells of 4.7 GB, which go four times into 21.6 GB."""
    tau = plan("byol_tau", search_spaces.load("byol_tau"), demo_ground, Request(settings={"steps": 60}))
    store = copytree(demo_store, tmp_path / "store")
    finish(Ledger(store), [cell.spec for cell in tau.cells[:6]], 4.7)
    words = ["byol_tau", "--steps", "60", "--store", str(store), "--dry-run"]

    def said(*more: str) -> str:
        assert main([*words, *more]) == 0
        return " ".join(capfd.readouterr().out.split())

    with started(cpus=16, gpus=2):
        monkeypatch.setenv("RAY_ADDRESS", "that which this process is connected to")
        assert "on 8 slots of 0.25 GPUs" in (auto := said("--gpus-per-cell", "auto"))
        assert "packed: one GPU is to hold 4 such cells (--gpus-per-cell 0.25): one takes up to 4.7 GB of 24 GB" in auto
        assert "on 2 slots of 1 GPU" in (alone := said())
        assert "one GPU holds 4 such cells (--gpus-per-cell 0.25)" in alone
        assert "such cells" not in said("--gpus-per-cell", "0.25")
