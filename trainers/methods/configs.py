"""The settings of each method, and nothing but settings, so that planning a sweep loads no network.

`TASKS`: what a method can be asked ("transfer" to languages without labels, or "within" a corpus with labels).
`STAGE`: the kind of stage that its training begins with, "" for none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Any, ClassVar

from trainers.errors import UserError, require
from trainers.settings import require_types

WAVEFORM_KINDS = ("speed", "stretch", "gain", "noise", "polarity", "pitch")
POSITIVES = ("any", "same-corpus", "cross-corpus", "other-text")
MEL_KINDS = ("mask", "vtlp")
UNLABELLED_ON = ("target", "low", "adaptation", "adaptation-matched")
ADAPT_ON = ("adaptation", "adaptation-matched", "low", "target", "high", "low+high")
PAPERS_KINDS = ("speed", "stretch", "gain", "noise", "polarity", "mask")
"""The six augmentations of Gong et al. 2025 §2.1; pitch and vtlp are ours, for the question of gender."""


@dataclass(frozen=True)
class BaselineConfig:
    """Supervised training on labelled speech alone (Gong et al. 2025 §3.2), tested zero-shot or within its corpus.

    `views`: augmented views per labelled clip. `strength` scales every waveform augmentation (0 is none, 1 the
    paper's). `augmentations`: which kinds are on; the paper's six by default. `dropout`: of the head; 0.1 is our
    default, the paper gives no value. `pooling`: `mean` over time (the paper's), `sounding`, the mean without the zeros
    that fill a short clip, or `attention` (Safari et al. 2020).
    `trainable_layers`: how many of the last transformer layers train; none is all of them (the paper's).
    `class_weights`: emotions weigh the same in every batch; "gender" makes women and men weigh the same within each
    emotion too (ours), "none" does not. `text`: "adversarial" makes the embedding useless for telling which sentence
    was said (Ganin & Lempitsky 2015; ours), by a loss of weight `text_weight`.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("transfer", "within")
    STAGE: ClassVar[str] = ""

    views: int = 1
    strength: float = 1.0
    augmentations: tuple[str, ...] = PAPERS_KINDS
    dropout: float = 0.1
    pooling: str = "mean"
    trainable_layers: int | None = None
    class_weights: str = "none"
    text: str = "none"
    text_weight: float = 0.1

    def __post_init__(self) -> None:
        require_types(self)
        require(self.views >= 1, "views", self.views, "at least 1")
        require(0 <= self.strength <= 1.5, "strength", self.strength, "between 0 and 1.5")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")
        for kind in self.augmentations:
            _require_one_of("augmentations", kind, WAVEFORM_KINDS + MEL_KINDS)
        _require_one_of("pooling", self.pooling, ("mean", "sounding", "attention"))
        layers = self.trainable_layers
        require(layers is None or layers >= 0, "trainable_layers", layers, "at least 0, or none for all")
        _require_one_of("class_weights", self.class_weights, ("none", "gender"))
        _require_one_of("text", self.text, ("none", "adversarial"))
        require(self.text_weight > 0, "text_weight", self.text_weight, "above 0")


@dataclass(frozen=True)
class ClConfig(BaselineConfig):
    """Speaker-contrastive adaptation, then supervised training as the baseline's (Gong et al. 2025 §2.2).

    `temperature`: of the contrastive loss; 0.07 is our default, the paper gives none. `denominator`: "negatives" as
    eq. 1 is printed, or "negatives+positive", NT-Xent as it is usually computed. `adapt_share`: steps of the
    adaptation as a share of the cell's steps (0: none); the paper stops early. `clips_per_speaker`: 4 in the paper;
    a batch has batch_size / clips_per_speaker speakers (16 in the paper's 64), each clip clean and augmented.
    `adapt_on`: whose speech is adapted to: `adaptation` (the protocol's adaptation corpora, Common Voice in the paper),
    `low` (training clips of all low-resource languages), `target` (of the tested one), `adaptation-matched` (as many
    clips as `target`, of the adaptation corpora in its language), `high`, or `low+high`. `adapt_cap`: at most so many
    clips of each language (0: all), whole speakers but for the last. `balance`: speakers drawn uniformly (the paper's
    reading), alternating by `language`, or by `gender`. `adapt_strength`: of the augmented view. `adapt_projection`:
    width of a projection head that is dropped afterwards; 0 is none, as in the paper. `permuted_speakers`: speaker
    labels shuffled among clips, a control of ours.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("transfer",)
    STAGE: ClassVar[str] = "speakers"

    temperature: float = 0.07
    denominator: str = "negatives"
    adapt_share: float = 1.0
    clips_per_speaker: int = 4
    adapt_on: str = "low"
    adapt_cap: int = 0
    balance: str = "uniform"
    adapt_strength: float = 1.0
    adapt_projection: int = 0
    permuted_speakers: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_stage(self)
        _require_one_of("denominator", self.denominator, ("negatives", "negatives+positive"))
        require(self.clips_per_speaker >= 2, "clips_per_speaker", self.clips_per_speaker, "at least 2")
        _require_one_of("adapt_on", self.adapt_on, ADAPT_ON)
        require(self.adapt_cap >= 0, "adapt_cap", self.adapt_cap, "at least 0 (0 is all)")
        _require_one_of("balance", self.balance, ("uniform", "language", "gender"))


@dataclass(frozen=True)
class AdaptationConfig(ClConfig):
    """CL's adaptation alone: speaker verification on unseen speakers and a frozen emotion probe, before and after."""


@dataclass(frozen=True)
class SupConConfig(BaselineConfig):
    """Supervised contrastive learning of emotion across corpora, then a classifier (Xiang 2024; Khosla et al. 2020).

    Of the paper only a summary was at hand: all values are our defaults. `temperature` 0.07. `contrast`: "sup_con" is
    L_out with all positives, "info_nce" the printed form with one sampled positive. `margin`, `margin_form`,
    `margin_weight`: the cosine margin loss beside it: over `pairs` (y = 1: 1 − cos, else max(0, cos − margin)),
    `triplets`, or `classes` (CosFace); weight 0 leaves it out. `positives`: clips of the same emotion from `any`
    corpus, the `same-corpus`, only `cross-corpus`, or `other-text` (clips of another sentence alone; ours).
    `adapt_share`: steps of this stage as a share of the cell's.
    `adapt_corpora`: how many corpora it hears, the target's own first (0: all). `adapt_strength`: of both its views.
    `adapt_projection`: width of a projection head that is dropped afterwards (Khosla et al. 2020 have 128).
    """

    STAGE: ClassVar[str] = "emotions"

    temperature: float = 0.07
    contrast: str = "sup_con"
    margin: float = 0.2
    margin_form: str = "pairs"
    margin_weight: float = 1.0
    positives: str = "any"
    adapt_share: float = 1.0
    adapt_corpora: int = 0
    adapt_strength: float = 1.0
    adapt_projection: int = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        _require_stage(self)
        _require_one_of("contrast", self.contrast, ("sup_con", "info_nce"))
        require(-1 <= self.margin <= 1, "margin", self.margin, "between -1 and 1")
        _require_one_of("margin_form", self.margin_form, ("pairs", "triplets", "classes"))
        require(self.margin_weight >= 0, "margin_weight", self.margin_weight, "at least 0")
        _require_one_of("positives", self.positives, POSITIVES)
        require(self.adapt_corpora >= 0, "adapt_corpora", self.adapt_corpora, "at least 0 (0 is all)")


@dataclass(frozen=True)
class PairwiseConfig:
    """Contrastive learning of several views of a clip, then a classifier with few labels (Khaertdinov et al. 2024).

    Of the paper only abstract and captions were at hand: all values are our defaults (METHODS §7). `view_names`: of
    `layers` (frozen encoder's states, weighted), `mel` and `egemaps` (88 functionals). `temperature` 0.1.
    `intra_view`: negatives from the own view too. `classify`: the view whose encoder is fine-tuned, or `all`, side by
    side. `freeze_encoder`: train the classifier alone. `adapt_share`: pre-training steps as a share of the cell's; 0 is
    the twin that is trained from scratch. `annotations`: pre-train on clips of the four emotions (`target`), on clips
    with `other` annotations, or on `both`. `dropout`: of the classifier. How many labels it sees is `label_fraction`.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("within",)
    STAGE: ClassVar[str] = "views"

    view_names: tuple[str, ...] = ("layers", "mel", "egemaps")
    temperature: float = 0.1
    intra_view: bool = False
    classify: str = "layers"
    freeze_encoder: bool = False
    adapt_share: float = 1.0
    annotations: str = "target"
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require_types(self)
        _require_stage(self)
        for name in self.view_names:
            _require_one_of("view_names", name, ("layers", "mel", "egemaps"))
        distinct = len(set(self.view_names)) == len(self.view_names) >= 2
        require(distinct, "view_names", self.view_names, "at least two of layers, mel, egemaps, each once")
        _require_one_of("classify", self.classify, (*self.view_names, "all"))
        _require_one_of("annotations", self.annotations, ("target", "other", "both"))
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")

    @property
    def classified(self) -> tuple[str, ...]:
        """The views whose encoders the classifier stands on."""
        return self.view_names if self.classify == "all" else (self.classify,)


@dataclass(frozen=True)
class ByolConfig:
    """BYOL beside cross-entropy (Gong et al. 2025 §2.3): (1 − λ) L_CE + λ L_BYOL.

    `tau`: base momentum of the target network. `tau_schedule`: cosine to 1 (Grill et al. 2020) or constant; the
    paper names neither. `tau_horizon`: matched rescales tau to the K = 5000 steps that it was meant for,
    1 − (1 − tau)·5000/K, where K is smaller; paper takes it as it is. `lambda_start`, `lambda_end`: λ goes from one
    to the other linearly over all K steps (0.8 to 0.2 in the paper); equal ends keep it fixed.
    `direction_sum`: sum over the two directions of the loss (the original's) or their mean.
    `projector_hidden`, `projection`: widths of projector and predictor (the original's 4096 and 256).
    `views`: supervised views per labelled clip (3). `strength`, `supervised_strength`: of the augmentation of the
    BYOL views and of the supervised views ("reduced" in the paper; half is our default).
    `mixup_bank`: how many past clips mixup draws from. `mixup_across`: mix the languages or keep each to itself.
    `passive_taus`: momenta of averages that are kept for comparison and that nothing learns from.
    `clean_view`: the first supervised view is the clip itself ("three views" may mean that; default three augmented).
    `sources`: `halves` of every batch without labels are high- and low-resource speech (our default), or the whole
    batch is `either`, drawn anew each step. `unlabelled_on`: which speech is heard without labels: `target`, the target
    language's training clips (the paper's), `low`, those of all low-resource languages (one training for all of them),
    `adaptation`, the protocol's adaptation corpora of the target language (Common Voice; the paper's ablation), or
    `adaptation-matched`, as many clips of these as `target` has (ours).
    `unlabelled_cap`: at most so many of those clips (0: all), whole clips in an order that only their names decide.
    """

    TASKS: ClassVar[tuple[str, ...]] = ("transfer",)
    STAGE: ClassVar[str] = ""

    tau: float = 0.996
    tau_schedule: str = "cosine"
    tau_horizon: str = "matched"
    lambda_start: float = 0.8
    lambda_end: float = 0.2
    direction_sum: bool = True
    projector_hidden: int = 4096
    projection: int = 256
    views: int = 3
    strength: float = 1.0
    supervised_strength: float = 0.5
    mixup_bank: int = 2048
    mixup_across: bool = True
    bn_per_source: bool = False
    dropout: float = 0.1
    passive_taus: tuple[float, ...] = (0.99, 0.996, 0.999)
    clean_view: bool = False
    sources: str = "halves"
    unlabelled_on: str = "target"
    unlabelled_cap: int = 0

    def __post_init__(self) -> None:
        require_types(self)
        require(0 <= self.tau <= 1, "tau", self.tau, "between 0 and 1")
        require(self.tau_schedule in ("cosine", "constant"), "tau_schedule", self.tau_schedule, "cosine or constant")
        require(self.tau_horizon in ("matched", "paper"), "tau_horizon", self.tau_horizon, "matched or paper")
        for name in ("lambda_start", "lambda_end"):
            require(0 <= getattr(self, name) <= 1, name, getattr(self, name), "between 0 and 1")
        for name in ("projector_hidden", "projection", "views"):
            require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        require(self.mixup_bank >= 0, "mixup_bank", self.mixup_bank, "at least 0 (0 is no mixup)")
        for name in ("strength", "supervised_strength"):
            require(0 <= getattr(self, name) <= 1.5, name, getattr(self, name), "between 0 and 1.5")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")
        _require_one_of("unlabelled_on", self.unlabelled_on, UNLABELLED_ON)
        _require_one_of("sources", self.sources, ("halves", "either"))
        fits = self.sources == "halves" or (self.mixup_across and not self.bn_per_source)
        require(fits, "sources", self.sources, "halves with bn_per_source or without mixup_across")
        require(self.unlabelled_cap >= 0, "unlabelled_cap", self.unlabelled_cap, "at least 0 (0 is all)")
        in_range = all(0 <= tau <= 1 for tau in self.passive_taus)
        require(in_range, "passive_taus", self.passive_taus, "a list of numbers between 0 and 1")

    @property
    def supervised_only(self) -> bool:
        """λ = 0 throughout: nothing unlabelled is heard."""
        return self.lambda_start == self.lambda_end == 0


@dataclass(frozen=True)
class FloorConfig:
    """A floor has no settings of its own: it is what a method must beat to have learned something (VALIDITY §2)."""

    TASKS: ClassVar[tuple[str, ...]] = ("transfer", "within")
    STAGE: ClassVar[str] = ""


Staged = ClConfig | SupConConfig | PairwiseConfig
MethodConfig = BaselineConfig | ByolConfig | PairwiseConfig | FloorConfig

FLOORS = ("nuisance_only", "frozen_probe", "own_statistics")

CONFIGS: dict[str, type[MethodConfig]] = {
    "baseline": BaselineConfig,
    "byol": ByolConfig,
    "cl": ClConfig,
    "adaptation": AdaptationConfig,
    "supcon": SupConConfig,
    "pairwise": PairwiseConfig,
    **dict.fromkeys(FLOORS, FloorConfig),
}


def method_of(config: MethodConfig) -> str:
    """The method whose settings these are; UserError for a floor, which has none."""
    for method, kind in CONFIGS.items():
        if type(config) is kind and method not in FLOORS:
            return method
    raise UserError(f"a {type(config).__name__} names no method")


def require_packages(config: MethodConfig) -> None:
    """UserError where a method needs a package that is not installed; to be asked before anything is trained."""
    if not isinstance(config, PairwiseConfig) or "egemaps" not in config.view_names:
        return
    from trainers.audio import egemaps  # torch comes with it

    try:
        egemaps.require_installed()
    except UserError as error:
        raise UserError(f"{error}, or leave this view out: --set view_names=layers,mel") from error


def hears_target(config: MethodConfig) -> bool:
    """Whether a method that transfers hears the target language's speech, and so trains anew for each language."""
    if isinstance(config, ByolConfig):
        return not config.supervised_only and config.unlabelled_on != "low"
    return isinstance(config, ClConfig) and has_stage(config) and config.adapt_on in ("target", "adaptation-matched")


def hears_low(config: MethodConfig) -> bool:
    """Whether a method hears the training speech of all low-resource languages, whichever is tested."""
    if isinstance(config, ByolConfig):
        return not config.supervised_only and config.unlabelled_on == "low"
    return isinstance(config, ClConfig) and has_stage(config) and config.adapt_on in ("low", "low+high")


def has_stage(config: MethodConfig) -> bool:
    """Whether the training begins with a stage that other cells may share."""
    return isinstance(config, ClConfig | SupConConfig | PairwiseConfig) and config.adapt_share > 0


def hearing(config: MethodConfig) -> tuple[object, ...]:
    """What in a config decides whose speech a cell hears; configs alike in this share their splits."""
    names = (
        "supervised_only",
        "unlabelled_on",
        "unlabelled_cap",
        "adapt_on",
        "adapt_cap",
        "adapt_corpora",
        "annotations",
    )
    return (type(config), has_stage(config), *(getattr(config, name, None) for name in names))


OF_THE_STAGE = (
    *("temperature", "denominator", "clips_per_speaker", "balance", "permuted_speakers", "augmentations", "pooling"),
    *("adapt_strength", "adapt_projection", "contrast", "margin", "margin_form", "margin_weight", "positives"),
    *("view_names", "intra_view"),
)
"""Settings that a stage depends on, beside its steps; whose speech it hears is told by its fingerprint."""


def stage_settings(config: MethodConfig) -> dict[str, Any]:
    """The settings of a config that its stage depends on, by name."""
    return {field.name: getattr(config, field.name) for field in fields(config) if field.name in OF_THE_STAGE}


def _require_one_of(name: str, value: object, choices: Iterable[str]) -> None:
    require(value in tuple(choices), name, value, f"one of {', '.join(choices)}")


def _require_stage(config: ClConfig | SupConConfig | PairwiseConfig) -> None:
    require(config.temperature > 0, "temperature", config.temperature, "above 0")
    require(0 <= config.adapt_share <= 10, "adapt_share", config.adapt_share, "between 0 and 10 times the cell's steps")
    if not isinstance(config, PairwiseConfig):
        require(0 <= config.adapt_strength <= 1.5, "adapt_strength", config.adapt_strength, "between 0 and 1.5")
        require(config.adapt_projection >= 0, "adapt_projection", config.adapt_projection, "at least 0 (0 is none)")
