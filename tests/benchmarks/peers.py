"""A training step against the same step put together from the peer libraries' parts.

`python -m tests.benchmarks.peers [--batch 8] [--rounds 7]`: BYOL and NT-Xent of lightly, SupCon of
pytorch-metric-learning. Both sides hear the same views of the same clips (ours make them, for both) and train the same
encoder with AdamW; the peers' side encodes each view by itself and moves its target as the libraries' own examples do.
Both sides in turn, median of the paired ratios: above 1 ours is quicker. On the CPU the seconds of this process are
counted, with a GPU those of the clock.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from statistics import median

import torch
from lightly.loss import NegativeCosineSimilarity, NTXentLoss
from lightly.models.modules import BYOLPredictionHead, BYOLProjectionHead
from lightly.models.utils import deactivate_requires_grad, update_momentum
from pytorch_metric_learning.losses import SupConLoss
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional

from tests import small_world, staged_world
from tests.benchmarks.front_end import DEVICE, PRECISION, SECONDS, Noise, timed_s, whisper
from trainers.audio.draws import numpy_generator
from trainers.audio.front_end import FrontEnd
from trainers.building import Staged, build, build_stage
from trainers.loop import _optimiser, _step
from trainers.methods.byol import Byol
from trainers.methods.cl import SpeakerContrast
from trainers.methods.configs import ByolConfig, ClConfig, MethodConfig, SupConConfig
from trainers.methods.supcon import EmotionContrast
from trainers.spec import CellSpec
from trainers.speech import Speech

Step = Callable[[], object]


class LightlyByol(nn.Module):
    """BYOL beside cross-entropy, of lightly's heads, loss and momentum update."""

    def __init__(self, like: Byol) -> None:
        super().__init__()
        width, hidden, outputs = like.online.dimensions, like.config.projector_hidden, like.config.projection
        self.like = [like]  # for its views alone
        self.backbone, self.head = copy.deepcopy(like.online), copy.deepcopy(like.head)
        self.projection = BYOLProjectionHead(width, hidden, outputs)
        self.prediction = BYOLPredictionHead(outputs, hidden, outputs)
        self.slow_backbone, self.slow_projection = copy.deepcopy(self.backbone), copy.deepcopy(self.projection)
        deactivate_requires_grad(self.slow_backbone)
        deactivate_requires_grad(self.slow_projection)
        self.criterion = NegativeCosineSimilarity()

    def loss(self, step: int) -> Tensor:
        like = self.like[0]
        update_momentum(self.backbone, self.slow_backbone, m=0.99)
        update_momentum(self.projection, self.slow_projection, m=0.99)
        labelled, labels = like._labelled_views(step)
        parts = zip(labelled.chunk(like.config.views), labels.chunk(like.config.views), strict=True)
        loss = sum(functional.cross_entropy(self.head(self.backbone(view)), own) for view, own in parts)
        assert like.unlabelled is not None
        first, second = like._unlabelled_views(step, like.unlabelled)
        told = [self.prediction(self.projection(self.backbone(view))) for view in (first, second)]
        with torch.no_grad():
            aimed = [self.slow_projection(self.slow_backbone(view)) for view in (first, second)]
        both = self.criterion(told[0], aimed[1]) + self.criterion(told[1], aimed[0])
        return loss / like.config.views + 0.5 * both


class LightlyNtXent(nn.Module):
    """The clean and the augmented view of each clip attract; lightly knows no speakers."""

    def __init__(self, like: SpeakerContrast) -> None:
        super().__init__()
        self.like = [like]
        self.backbone, self.criterion = copy.deepcopy(like.online), NTXentLoss(temperature=like.config.temperature)

    def loss(self, step: int) -> Tensor:
        like = self.like[0]
        numbers, _ = like.batches.draw(step)
        clean = like.speech.heard(like.online.hears, numbers, like.batches.starts(step))
        first, second = self.backbone(clean), self.backbone(like.augmentation.view(numbers, step, 0))
        loss: Tensor = self.criterion(first, second)
        return loss


class PmlSupCon(nn.Module):
    """Views of one emotion attract, by pytorch-metric-learning."""

    def __init__(self, like: EmotionContrast) -> None:
        super().__init__()
        self.like = [like]
        self.backbone, self.projection = copy.deepcopy(like.online), copy.deepcopy(like.projection)
        self.criterion = SupConLoss(temperature=like.config.temperature)

    def loss(self, step: int) -> Tensor:
        like = self.like[0]
        numbers, emotions, _ = like.batches.draw(step)
        views = [self.backbone(like.augmentation.view(numbers, step, view)) for view in range(2)]
        loss: Tensor = self.criterion(self.projection(torch.cat(views)), emotions.repeat(2).to(views[0].device))
        return loss


def theirs(peer: nn.Module) -> Step:
    """A step as the libraries' examples have it."""
    peer.to(DEVICE).train()
    optimiser = torch.optim.AdamW([each for each in peer.parameters() if each.requires_grad], lr=1e-5)
    steps = count()

    def step() -> None:
        loss = peer.loss(next(steps))
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()

    return step


def ours(method: Byol | Staged, spec: CellSpec) -> Step:
    """A step of our training loop."""
    optimiser, steps = _optimiser(method, spec.training), count()
    return lambda: _step(method, optimiser, spec.training, spec.seed, next(steps))


def speech(front_end: FrontEnd) -> tuple[small_world.Tones, Speech]:
    tones = small_world.Tones()
    audio = 0.05 * numpy_generator(0, "audio").standard_normal((len(tones.utterances), 52_000), "float32")
    return tones, Speech(Noise(tones.utterances, tones.index, audio), front_end, DEVICE)


def pairs(batch: int) -> Iterator[tuple[str, Step, Step]]:
    """What is compared: our step and theirs. BYOL without passive averages, which nobody else keeps."""
    front_end = FrontEnd(crop="random", length_s=SECONDS)
    tones, heard = speech(front_end)

    def asked(config: MethodConfig) -> CellSpec:
        return replace(
            staged_world.spec(config, batch_size=batch, steps=1000, precision=PRECISION), front_end=front_end
        )

    spec = asked(ByolConfig(tau_horizon="paper", passive_taus=()))
    byol = build(spec, small_world.split(tones), heard, whisper())
    assert isinstance(byol, Byol)
    yield "BYOL, lightly", ours(byol, spec), theirs(LightlyByol(byol))
    each = min(4, max(2, batch // 4))  # the tones have four speakers of four clips
    contrasts = {f"NT-Xent, lightly, {4 * each} clips": ClConfig(clips_per_speaker=each), "SupCon, pml": SupConConfig()}
    for name, config in contrasts.items():
        spec = asked(config)
        stage = build_stage(spec, staged_world.split(tones, config), heard, whisper())
        peer = LightlyNtXent(stage) if isinstance(stage, SpeakerContrast) else PmlSupCon(_contrast(stage))
        yield name, ours(stage, spec), theirs(peer)


def _contrast(stage: Staged) -> EmotionContrast:
    assert isinstance(stage, EmotionContrast)
    return stage


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.peers", description=__doc__)
    parser.add_argument("--batch", type=int, default=64 if DEVICE.type == "cuda" else 8, help="clips of each source")
    parser.add_argument("--rounds", type=int, default=7)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    title = f"A step against the peers', batch {asked.batch}, {SECONDS} s clips, Whisper tiny.en, on {DEVICE.type}"
    table = Table("step", "s, ours", "s, theirs", "ratio", "lowest", "highest", title=title)
    for name, mine, peer in pairs(asked.batch):
        found = [(timed_s(mine), timed_s(peer)) for _ in range(asked.rounds + 1)][1:]
        ratios = [other / own for own, other in found]
        own_s, other_s = (median(side) for side in zip(*found, strict=True))
        table.add_row(
            name,
            f"{own_s:.2f}",
            f"{other_s:.2f}",
            *(f"{each:.2f}" for each in (median(ratios), min(ratios), max(ratios))),
        )
    Console().print(table)


if __name__ == "__main__":
    main()
