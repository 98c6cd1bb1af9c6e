"""The plan as cells for the board, behind the stages and canaries that they need, and what of it is done."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from orchestrator.answer import Answer
from orchestrator.board import Cell
from orchestrator.timings import heard_s
from orchestrator.work import NO_SCORE
from trainers import stages
from trainers.spec import CellSpec

CANARY = "canary"


def cells_of(answer: Answer) -> list[Cell]:
    """The plan for the board; a block is one seed's fold, over all languages and configurations.

    A stage stands before the first cell that needs it, unless it is done or all of its cells are. Cells have a cost
    only where nothing races: a race is judged by whole blocks, in their order; within a block the longest come first.
    """
    races, blocks = answer.contest is not None, answer.plan.blocks
    stages = {cell.key: key for key, cell in answer.missing_stages.items()}
    found: list[Cell] = []
    for cell in sorted(answer.plan.cells, key=lambda cell: _place(cell.spec, blocks)) if races else answer.plan.cells:
        spec = cell.spec
        if cell.key in stages:
            found.append(Cell(stages[cell.key], None, -1, None, {"stage_of": spec.as_dict()}, role="stage", cost=inf))
        needs = (cell.stage,) if cell.stage else ()
        block = blocks[spec.seed, spec.fold]
        cost = 0.0 if races else heard_s(spec)
        found.append(Cell(cell.key, cell.configuration, block, spec.target, spec.as_dict(), needs, cost=cost))
    floors = [Cell(cell.key, None, cell.spec.fold, None, cell.spec.as_dict()) for cell in answer.plan.floors]
    return found + floors


def _place(spec: CellSpec, blocks: Mapping[tuple[int, int], int]) -> tuple[int, float]:
    return blocks[spec.seed, spec.fold], -heard_s(spec)


def with_canaries(cells: Sequence[Cell], known: Mapping[str, Any]) -> list[Cell]:
    """The cells behind a short rehearsal of each kind (method and encoder) of which nothing is done yet.

    All of a kind need its canary, so that a fault that they share is found in seconds and said once.
    """
    kinds = {cell.key: _kind(cell) for cell in cells if cell.configuration is not None or cell.role}
    alive = {kinds[key] for key in known if key in kinds}
    canaries: dict[str, Cell] = {}
    behind = []
    for cell in cells:
        kind = kinds.get(cell.key, "")
        if kind and kind not in alive:
            payload = {"canary_of": cell.payload.get("stage_of", cell.payload)}
            canary = canaries.setdefault(kind, Cell(kind, None, -1, None, payload, role=CANARY, cost=inf))
            cell = replace(cell, needs=(*cell.needs, canary.key))
        behind.append(cell)
    return [*canaries.values(), *behind]


def _kind(cell: Cell) -> str:
    spec = cell.payload.get("stage_of", cell.payload)
    return f"canary of {spec['method']} on encoder {spec['encoder_fingerprint'][:8]}"


def known_of(answer: Answer) -> dict[str, Mapping[str, Any]]:
    """The finished cells with what the board may know of them."""
    selector = answer.selector
    seen = answer.ledger.glances(cell.key for cell in answer.plan.cells + answer.plan.floors)
    known: dict[str, Mapping[str, Any]] = {
        key: {
            "valid_uar": glance.valid.get(selector, float("nan")),
            "seconds": glance.seconds.get("total", 0.0),
        }
        for key, glance in seen.items()
    }
    store = answer.ledger.store
    return known | {key: NO_SCORE for key in answer.plan.stages if stages.is_done(store, key)}
