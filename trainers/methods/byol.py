"""BYOL beside cross-entropy: (1 − λ) L_CE(θ) + λ L_BYOL(θ, ξ) (Gong et al. 2025 §2.3, Grill et al. 2020)."""

import copy

import torch
from torch import Tensor, nn

from trainers import ranks
from trainers.audio.draws import generator
from trainers.audio.spectrogram import byol_view, mixup_partners, supervised_view
from trainers.batches import Balanced, TwoSources
from trainers.encoders import Head, SpeechEncoder, frozen_copy, move_towards
from trainers.losses import byol_regression, cross_entropy
from trainers.methods.configs import ByolConfig
from trainers.moving import onto
from trainers.schedules import initial_share, loss_weight, matched_tau, mean_age, momentum
from trainers.speech import Speech


def projection_mlp(inputs: int, hidden: int, outputs: int) -> nn.Sequential:
    """Projector and predictor of Grill et al. 2020: linear, batch norm, ReLU, linear without bias."""
    return nn.Sequential(
        nn.Linear(inputs, hidden),
        nn.BatchNorm1d(hidden),
        nn.ReLU(),
        nn.Linear(hidden, outputs, bias=False),
    )


class Byol(nn.Module):
    """Online network θ (encoder, projector, predictor, head), target ξ (encoder, projector) and passive averages.

    Inference goes through the target's encoder and the head (§2.3), which is trained on the online encoder.
    `unlabelled`: None where λ = 0, which hears labelled speech alone.
    """

    def __init__(
        self,
        config: ByolConfig,
        encoder: SpeechEncoder,
        speech: Speech,
        labelled: Balanced,
        unlabelled: TwoSources | None,
        seed: int,
        steps: int,
    ) -> None:
        super().__init__()
        self.config, self.speech, self.seed, self.steps = config, speech, seed, steps
        self.labelled, self.unlabelled = labelled, unlabelled
        self.online = encoder
        self.head = Head(encoder.dimensions, config.dropout)
        self.projector = projection_mlp(encoder.dimensions, config.projector_hidden, config.projection)
        self.predictor = projection_mlp(config.projection, config.projector_hidden, config.projection)
        self.target = frozen_copy(self.online)
        self.target_projector = frozen_copy(self.projector)
        self.passive = nn.ModuleList(frozen_copy(self.online) for _ in config.passive_taus)

    def losses(self, step: int) -> dict[str, Tensor]:
        """`total` and its two parts; all views go through the encoder together."""
        labelled, labels = self._labelled_views(step)
        weight = self.loss_weight(step)
        pair = [] if self.unlabelled is None else self._unlabelled_views(step, self.unlabelled)
        embedded = ranks.embedded(self.online, torch.cat([labelled, *pair]))
        loss = cross_entropy(self.head(embedded[: len(labelled)]), labels)
        if not pair:
            return {"total": loss, "cross_entropy": loss}
        byol = self._byol(embedded[len(labelled) :], pair)
        return {"total": (1 - weight) * loss + weight * byol, "cross_entropy": loss, "byol": byol}

    def loss_weight(self, step: int) -> float:
        """λ at this step."""
        return loss_weight(self.config.lambda_start, self.config.lambda_end, step, self.steps)

    def tau(self, base: float, step: int) -> float:
        """The momentum applied after this step to an average of base momentum `base`."""
        start = matched_tau(base, self.steps) if self.config.tau_horizon == "matched" else base
        return momentum(start, step, self.steps, self.config.tau_schedule)

    def _labelled_views(self, step: int) -> tuple[Tensor, Tensor]:
        """(views · batch, 80, frames) and their labels."""
        numbers = self.labelled.draw(step)
        source = generator(self.seed, "supervised views", step)
        mel = self.speech.mels(numbers, torch.rand(len(numbers), generator=source))
        strength = self.config.supervised_strength
        augmented = self.config.views - self.config.clean_view
        views = [supervised_view(mel, strength=strength, generator=source) for _ in range(augmented)]
        if self.config.clean_view:
            views.insert(0, mel)
        labels = onto(self.speech.device, self.speech.labels(numbers))
        return torch.cat(views), labels.repeat(self.config.views)

    def _unlabelled_views(self, step: int, clips: TwoSources) -> list[Tensor]:
        """Two views of the step's unlabelled clips, each (batch, 80, frames)."""
        numbers = clips.draw(step)
        source = generator(self.seed, "byol views", step)
        mel = self.speech.mels(numbers, torch.rand(len(numbers), generator=source))
        return [self._byol_view(mel, clips, step, view, source) for view in range(2)]

    def _byol_view(self, mel: Tensor, clips: TwoSources, step: int, view: int, source: torch.Generator) -> Tensor:
        partners = mixup_partners(
            clips.draw,
            step,
            bank=self.config.mixup_bank,
            across=self.config.mixup_across,
            source=generator(self.seed, "mixup partners", step, view),
        )
        mixed_in = self.speech.mels(partners.clamp(min=0), torch.rand(len(partners), generator=source))
        return byol_view(mel, mixed_in, partners >= 0, strength=self.config.strength, generator=source)

    def _byol(self, online: Tensor, pair: list[Tensor]) -> Tensor:
        """Loss over both directions; `online` holds the (2 · batch, d) embeddings of the two views in turn."""
        first, second = online.chunk(2)
        predictions = [self.predictor(self._per_source(self.projector, y)) for y in (first, second)]
        with torch.no_grad():
            aimed = ranks.embedded(self.target, torch.cat(pair))
            targets = [self._per_source(self.target_projector, y) for y in aimed.chunk(2)]
        both = byol_regression(predictions[0], targets[1]) + byol_regression(predictions[1], targets[0])
        return both if self.config.direction_sum else both / 2

    def _per_source(self, projector: nn.Module, embeddings: Tensor) -> Tensor:
        """One projection of a view: batch statistics over both sources, or over each by itself."""
        parts = embeddings.chunk(2) if self.config.bn_per_source else (embeddings,)
        return torch.cat([projector(part) for part in parts])

    def after_step(self, step: int) -> dict[str, float]:
        """Move the target and the passive averages; gives λ and τ as they were applied."""
        tau = self.tau(self.config.tau, step)
        move_towards(self.target, self.online, tau)
        move_towards(self.target_projector, self.projector, tau)
        for base, average in zip(self.config.passive_taus, self.passive, strict=True):
            move_towards(average, self.online, self.tau(base, step))
        return {"lambda": self.loss_weight(step), "tau": tau}

    def learning_rates(self) -> tuple[list[nn.Module], list[nn.Module]]:
        """The modules that train at the encoder's rate and those at the head's."""
        return [self.online], [self.head, self.projector, self.predictor]

    def hear(self, numbers: Tensor, starts: Tensor | None = None) -> Tensor:
        """The clips as validation and test hear them: without augmentation."""
        return self.speech.mels(numbers, starts)

    def inference(self) -> tuple[nn.Module, nn.Module]:
        """Encoder and head that validation and test go through: the target's and the online one."""
        return self.target, self.head

    def others(self) -> dict[str, nn.Module]:
        """Other encoders worth scoring with the same head, by name."""
        passive = zip(self.config.passive_taus, self.passive, strict=True)
        return {"online": self.online, **{f"passive tau={tau:g}": average for tau, average in passive}}

    @torch.no_grad()
    def projected(self, embeddings: Tensor) -> Tensor:
        """The target's projections (n, projection) of its encoder's embeddings (n, d), as the loss sees them: batch
        norm takes the statistics of these clips, and the running ones stay as they are."""
        projector: nn.Module = copy.deepcopy(self.target_projector).train()
        found: Tensor = projector(embeddings)
        return found

    def facts(self, steps: int) -> dict[str, float]:
        """How much the target lags, and how often the target language's clips were heard."""
        taus = [self.tau(self.config.tau, step) for step in range(steps)]
        lag = {"target_initial_share": initial_share(taus), "target_mean_age": mean_age(taus)}
        passes = 0.0 if self.unlabelled is None else steps * self.unlabelled.half / len(self.unlabelled.low)
        return {"tau_start": taus[0], **lag, "passes_over_unlabelled": passes}
