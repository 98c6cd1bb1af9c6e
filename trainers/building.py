"""From a cell's spec to the modules that train: encoder, first stage, method."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from trainers.audio.draws import generator, stable_seed
from trainers.batches import Balanced, EmotionBatches, SpeakerBatches, TwoSources, fraction
from trainers.corpora.utterance import Utterance
from trainers.encoders import Encoder, SpeechEncoder, encoder_of
from trainers.errors import UserError, require
from trainers.methods.baseline import Baseline
from trainers.methods.byol import Byol
from trainers.methods.cl import SpeakerContrast
from trainers.methods.configs import (
    BaselineConfig,
    ByolConfig,
    ClConfig,
    PairwiseConfig,
    SupConConfig,
    has_stage,
    require_packages,
)
from trainers.methods.pairwise import ClipBatches, PairwiseClassifier, ViewContrast
from trainers.methods.supcon import EmotionContrast
from trainers.methods.view_inputs import ViewInputs, inputs_of
from trainers.methods.views import Views
from trainers.pooling import PooledEncoder, pooled
from trainers.spec import CellSpec
from trainers.speech import Speech
from trainers.split import Split

Trained = Baseline | Byol | PairwiseClassifier
Staged = SpeakerContrast | EmotionContrast | ViewContrast

GROUPS: dict[str, Callable[[Utterance], str]] = {
    "uniform": lambda _clip: "",
    "language": lambda clip: clip.language,
    "gender": lambda clip: clip.gender,
}
"""By what CL's speakers take turns."""


def build(spec: CellSpec, split: Split, speech: Speech, backbone: nn.Module) -> Trained:
    """The method of a spec with its initial weights, on the speech's device."""
    if isinstance(spec.config, PairwiseConfig):
        return _pairwise(spec, spec.config, split, speech, backbone).to(speech.device)
    torch.manual_seed(stable_seed(spec.seed, "initial weights"))
    encoder = encoder_for(spec, speech.frames, backbone, getattr(spec.config, "trainable_layers", None))
    everything = speech.numbers(split.labelled)
    numbers = fraction(everything, speech.labels(everything), spec.training.label_fraction)
    corpora = speech.numbered(numbers, lambda clip: clip.corpus) if spec.training.corpus_mix == "even" else None
    labelled = Balanced(numbers, speech.labels(numbers), spec.training.batch_size, spec.seed, corpora)
    match spec.config:
        case BaselineConfig():
            return Baseline(spec.config, encoder, speech, labelled, spec.seed).to(speech.device)
        case ByolConfig():
            if not isinstance(encoder, SpeechEncoder):
                raise UserError("byol changes log-mels, so its encoder must be a Whisper")
            low = speech.numbers([clip for clips in split.unlabelled.values() for clip in clips])
            either = spec.config.sources == "either"
            pairs = TwoSources(numbers, low, spec.training.batch_size, spec.seed, either=either)
            heard = None if spec.config.supervised_only else pairs
            method = Byol(spec.config, encoder, speech, labelled, heard, spec.seed, spec.training.steps)
            return method.to(speech.device)
    raise UserError(f"method {spec.method!r} does not train")


def build_stage(spec: CellSpec, split: Split, speech: Speech, backbone: nn.Module) -> Staged:
    """The stage that a cell's training begins with; its whole transformer trains, whatever the cell's own part does.

    Its random streams are named by the stage's seed alone, so that every cell that shares it would compute the same.
    """
    numbers = speech.numbers(split.heard_by_stage)
    if isinstance(spec.config, PairwiseConfig):
        views, inputs = _views(spec, spec.config, numbers, speech, backbone)
        clips = ClipBatches(numbers, spec.training.batch_size, spec.seed)
        valid = speech.numbers(split.valid[split.selector] if split.valid else split.heard_by_stage)
        return ViewContrast(spec.config, views, inputs, clips, valid).to(speech.device)
    torch.manual_seed(stable_seed(spec.seed, "stage weights"))
    encoder = encoder_for(spec, speech.frames, backbone, None)
    match spec.config:
        case ClConfig():
            batches = _speaker_batches(spec.config, numbers, speech, spec.training.batch_size, spec.seed)
            return SpeakerContrast(spec.config, encoder, speech, batches, spec.seed).to(speech.device)
        case SupConConfig():
            labels, corpora = speech.emotions(numbers), speech.numbered(numbers, lambda clip: clip.corpus)
            contrasted = EmotionBatches(numbers, labels, corpora, spec.training.batch_size, spec.seed)
            return EmotionContrast(spec.config, encoder, speech, contrasted, spec.seed).to(speech.device)
    raise UserError(f"method {spec.method!r} has no stage")


def _pairwise(
    spec: CellSpec, config: PairwiseConfig, split: Split, speech: Speech, backbone: nn.Module
) -> PairwiseClassifier:
    """Where there is a stage, its weights are loaded afterwards, the z-scores of its clips among them."""
    everything = speech.numbers(split.labelled)
    scored = everything if "egemaps" in config.classified and not has_stage(config) else everything[:0]
    views, inputs = _views(spec, config, scored, speech, backbone)
    numbers = fraction(everything, speech.labels(everything), spec.training.label_fraction)
    labelled = Balanced(numbers, speech.labels(numbers), spec.training.batch_size, spec.seed)
    return PairwiseClassifier(config, views, inputs, speech, labelled)


def _views(
    spec: CellSpec, config: PairwiseConfig, scored: Tensor, speech: Speech, backbone: nn.Module
) -> tuple[Views, ViewInputs]:
    """The views' networks with initial weights, the same for the stage and for the twin without one.

    `scored`: the clips whose functionals eGeMAPS statistics are z-scored by; without any they stay as they are made.
    """
    require_packages(config)
    rule = "head, centre or random: the views of a clip are computed once, of one window"
    require(speech.front_end.crop != "chunks", "crop", speech.front_end.crop, rule)
    inputs = inputs_of(speech, backbone, bf16=spec.training.precision == "bf16")
    functionals = inputs.of("egemaps", scored) if len(scored) and "egemaps" in config.view_names else None
    torch.manual_seed(stable_seed(spec.seed, "view weights"))
    return Views(config.view_names, inputs.layers, inputs.encoder.dimensions, functionals), inputs


def encoder_for(
    spec: CellSpec, frames: int, backbone: nn.Module, trainable_layers: int | None
) -> Encoder | PooledEncoder:
    """A copy of the backbone, pooled as the spec says, for windows of so many frames of 10 ms."""
    bf16 = spec.training.precision == "bf16"
    encoder = encoder_of(backbone, frames, bf16=bf16, trainable_layers=trainable_layers)
    return pooled(encoder, getattr(spec.config, "pooling", "mean"))


def _speaker_batches(config: ClConfig, numbers: Tensor, speech: Speech, batch_size: int, seed: int) -> SpeakerBatches:
    speakers = speech.numbered(numbers, lambda clip: clip.speaker)
    if config.permuted_speakers:
        speakers = speakers[torch.randperm(len(speakers), generator=generator(seed, "permuted speakers"))]
    groups = speech.numbered(numbers, GROUPS[config.balance])
    return SpeakerBatches(numbers, speakers, groups, batch_size, config.clips_per_speaker, seed)
