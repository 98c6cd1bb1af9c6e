"""`python -m tests.apart STORE [NAME …]`: trains on a device apart (`elsewhere`), in a process of its own.

A line of JSON for each sweep of the names: its short cell on the CPU and on the device, and in which of the result's
parts these differ; then one for each method's case: where the program waited for the device in its second step.
Attention is computed the same way on both, so the numbers must be the same to the bit.
"""

import json
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from orchestrator.ground import Ground, Places, find
from tests import elsewhere
from tests.staged_world import spec
from tests.test_every_sweep import short_cell, with_all_corpora
from tests.test_method_ranks import CASES
from trainers import cell
from trainers.cell import Workspace
from trainers.loop import _optimiser, _step
from trainers.methods.configs import BaselineConfig
from trainers.moving import onto

SWEEPS = (
    "byol_tau",
    "cl_stage1",
    "label_fraction",
    "supcon_margin",
    "text_invariance",
    "trainable_layers",
)
"""Between them all methods, all kinds of stages and heads, and a part of the encoder frozen."""


def placed(case: str, device: torch.device) -> nn.Module:
    """A method of the small world on this device."""
    made = CASES[case]()
    made.speech.device = device
    return made.to(device)


def second_step(case: str, device: torch.device) -> None:
    """The first one may still fetch what stays; the second is like all that follow."""
    made, training = placed(case, device), spec(BaselineConfig()).training
    optimiser = _optimiser(made, training)
    _step(made, optimiser, training, 0, 0)
    with elsewhere.counted() as waits:
        _step(made, optimiser, training, 0, 1)
    print(json.dumps({"case": case, "waits": waits}), flush=True)


def both(name: str, ground: Ground, store: Path, device: torch.device) -> None:
    asked, found = short_cell(name, ground), []
    for each in (torch.device("cpu"), device):
        place = Workspace(ground.prepared, ground.encoder_folder, store / each.type, each)
        place.store.mkdir(exist_ok=True)
        with sdpa_kernel([SDPBackend.MATH]):
            found.append(cell.run(asked, place).as_dict())
    one, other = found
    differs = [part for part in one if part not in ("seconds", "versions") and one[part] != other[part]]
    print(json.dumps({"sweep": name, "differs": differs, "on": other["versions"]["device"]}), flush=True)


def noticed(device: torch.device) -> None:
    """What the device is there to notice."""
    here, there = torch.rand(4), torch.rand(4).to(device)
    with elsewhere.counted() as waits:
        float(there[0])
        there[there > 0]
        there.cpu()
        here.to(device)
        onto(device, here)
    try:
        here + there
    except RuntimeError as error:
        print(json.dumps({"waits": waits, "mixed": str(error)}), flush=True)


def main(store: Path, names: list[str]) -> None:
    torch.set_num_threads(1)
    device = elsewhere.install()
    noticed(device)
    ground = with_all_corpora(find(Places(store, None, None, "demo"), lambda _: None), store)
    for name in names:
        both(name, ground, store, device)
    for case in CASES:
        second_step(case, device)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
