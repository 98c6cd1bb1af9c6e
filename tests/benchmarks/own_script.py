"""A BYOL step against the script that one would write with transformers in an afternoon.

`python -m tests.benchmarks.own_script [--batch 4] [--rounds 3]`. The script: a DataLoader of recordings, each clip of
each view augmented by audiomentations, `WhisperFeatureExtractor` clip by clip as it comes (padded to 30 s), one pass of
transformers' encoder per view, Python loops over views, a deep copy as target and loops over its parameters. Both sides
begin with the same weights (Whisper tiny.en, or random ones of its shape) and hear as many clips and views, in turn;
the script trains Whisper's convolutions, too, which are frozen in ours. What counts is the median of the paired ratios.
On the CPU the seconds of this process are counted, with a GPU those of the clock.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from itertools import cycle
from statistics import median

import numpy as np
import torch
from audiomentations import AddGaussianSNR, Compose, Gain, TimeStretch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from transformers import WhisperFeatureExtractor

from tests.benchmarks import front_end
from tests.benchmarks.front_end import DEVICE, SECONDS, byol, timed_s, whisper
from trainers.audio.front_end import SAMPLE_RATE_HZ
from trainers.loop import _optimiser, _step
from trainers.methods.byol import projection_mlp

VIEWS = 3
"""Of each labelled clip, as in Gong et al. 2025; each unlabelled one has two."""

Clip = tuple[np.ndarray, int]


class Recordings(Dataset[Clip]):
    """Noise in place of speech, with emotions at random."""

    def __init__(self, clips: int) -> None:
        random = np.random.default_rng(0)
        self.waveforms = 0.05 * random.standard_normal((clips, SECONDS * SAMPLE_RATE_HZ)).astype(np.float32)
        self.labels = random.integers(0, 4, clips)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> Clip:
        return self.waveforms[place], int(self.labels[place])


class Script:
    """The afternoon's script, a step at a time."""

    def __init__(self, batch: int) -> None:
        self.extract = WhisperFeatureExtractor(feature_size=80)
        self.augment = Compose([Gain(p=0.5), AddGaussianSNR(p=0.5), TimeStretch(p=0.3, leave_length_unchanged=True)])
        self.encoder = whisper().to(DEVICE).train()
        width = self.encoder.config.d_model
        self.head = nn.Linear(width, 4).to(DEVICE)
        self.projector, self.predictor = (projection_mlp(size, 4096, 256).to(DEVICE) for size in (width, 256))
        self.online = nn.ModuleList([self.encoder, self.projector])
        self.target = copy.deepcopy(self.online)
        trained = [*self.online.parameters(), *self.predictor.parameters(), *self.head.parameters()]
        self.optimiser = torch.optim.AdamW([each for each in trained if each.requires_grad], lr=1e-5)
        self.labelled: Iterator[list[Tensor]] = cycle(DataLoader(Recordings(8 * batch), batch, shuffle=True))
        self.unlabelled: Iterator[list[Tensor]] = cycle(DataLoader(Recordings(8 * batch), batch, shuffle=True))

    def step(self) -> None:
        waveforms, labels = next(self.labelled)
        loss = torch.zeros((), device=DEVICE)
        for _ in range(VIEWS):
            loss = loss + functional.cross_entropy(self.head(self.embed(waveforms)), labels.to(DEVICE)) / VIEWS
        waveforms, _ = next(self.unlabelled)
        for _ in range(2):
            loss = loss + self.distance(waveforms)
        self.optimiser.zero_grad()
        loss.backward()
        self.optimiser.step()
        with torch.no_grad():
            for mine, slow in zip(self.online.parameters(), self.target.parameters(), strict=True):
                slow.mul_(0.99).add_(mine, alpha=0.01)

    def distance(self, waveforms: Tensor) -> Tensor:
        """One view predicted from another, each heard anew."""
        predicted = self.predictor(self.projector(self.embed(waveforms)))
        with torch.no_grad():
            aimed = self.target[1](self.embed(waveforms, self.target[0]))
        return 2 - 2 * functional.cosine_similarity(predicted, aimed).mean()

    def embed(self, waveforms: Tensor, encoder: nn.Module | None = None) -> Tensor:
        mels = [self.features(waveform) for waveform in waveforms.numpy()]
        heard = (encoder or self.encoder)(torch.cat(mels).to(DEVICE)).last_hidden_state
        embedded: Tensor = heard.mean(1)
        return embedded

    def features(self, waveform: np.ndarray) -> Tensor:
        changed = self.augment(waveform, sample_rate=SAMPLE_RATE_HZ)
        features: Tensor = self.extract(changed, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_features
        return features


def ours(batch: int) -> Callable[[], None]:
    """A step of our training loop; every clip of it is cut anew, so that no log-mel is kept."""
    front_end.BATCH = batch
    method, spec = byol("random")
    optimiser, steps = _optimiser(method, spec.training), iter(range(10_000))

    def step() -> None:
        _step(method, optimiser, spec.training, spec.seed, next(steps))

    return step


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.own_script", description=__doc__)
    parser.add_argument("--batch", type=int, default=64 if DEVICE.type == "cuda" else 4, help="labelled clips a step")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    script, step = Script(asked.batch), ours(asked.batch)
    pairs = [(timed_s(step), timed_s(script.step)) for _ in range(asked.rounds + 1)][1:]
    title = f"BYOL step, {asked.batch} + {asked.batch} clips of {SECONDS} s, Whisper tiny.en, on {DEVICE.type}"
    table = Table("side", "s a step", "clips/s", title=title)
    for name, seconds in zip(("foldwise", "own script"), map(median, zip(*pairs, strict=True)), strict=True):
        table.add_row(name, f"{seconds:.2f}", f"{2 * asked.batch / seconds:.2f}")
    table.add_section()
    table.add_row("ratio", "", f"{median(theirs / mine for mine, theirs in pairs):.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
