"""The small world with stages: the first clips of both languages, as CL, its adaptation and SupCon hear them."""

from dataclasses import replace

import torch
from torch import nn

from tests import small_world
from tests.small_world import FRONT_END, Tones
from trainers.building import Staged, Trained, build, build_stage
from trainers.methods.configs import ClConfig, MethodConfig, method_of
from trainers.spec import CellSpec, Training
from trainers.speech import Speech
from trainers.split import Split


def spec(config: MethodConfig, seed: int = 0, **training: object) -> CellSpec:
    """A cell of 12 steps in batches of 8."""
    asked = {"steps": 12, "epoch_steps": 4, "batch_size": 8, "encoder_lr": 1e-3, "warmup_steps": 2, **training}
    method = method_of(config)
    return CellSpec(method, config, Training(**asked), FRONT_END, "demo", "speaker", "away", 0, seed, "e", "d")


def split(prepared: Tones, config: MethodConfig) -> Split:
    """Speaker contrast hears 16 clips of four speakers of one language; emotion contrast the labelled ones too."""
    plain = small_world.split(prepared)
    away = plain.unlabelled["away"]
    heard = {"away": away} if isinstance(config, ClConfig) else {"away": away, "home": plain.labelled}
    return replace(plain, stage=heard)


def speech(prepared: Tones | None = None) -> Speech:
    return Speech(prepared or Tones(), FRONT_END, torch.device("cpu"))


def stage(config: MethodConfig, backbone: nn.Module | None = None, seed: int = 0, **training: object) -> Staged:
    heard, asked = speech(), spec(config, seed, **training)
    return build_stage(asked, split(heard.prepared, config), heard, backbone or small_world.whisper())


def method(config: MethodConfig, backbone: nn.Module | None = None, seed: int = 0, **training: object) -> Trained:
    heard, asked = speech(), spec(config, seed, **training)
    return build(asked, split(heard.prepared, config), heard, backbone or small_world.whisper())
