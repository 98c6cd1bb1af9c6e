"""The settings of each method, and nothing but settings, so that planning a sweep loads no network."""

from dataclasses import dataclass

from trainers.errors import require


@dataclass(frozen=True)
class BaselineConfig:
    """Supervised training on the high-resource language, tested zero-shot (Gong et al. 2025 §3.2).

    `views`: augmented views per labelled clip. `strength` scales every waveform augmentation (0 is none, 1 the
    paper's). `dropout`: of the head; 0.1 is our default, the paper gives no value.
    """

    views: int = 1
    strength: float = 1.0
    dropout: float = 0.1

    def __post_init__(self) -> None:
        require(self.views >= 1, "views", self.views, "at least 1")
        require(0 <= self.strength <= 1.5, "strength", self.strength, "between 0 and 1.5")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "at least 0 and below 1")


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
    """

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

    def __post_init__(self) -> None:
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
        in_range = all(0 <= tau <= 1 for tau in self.passive_taus)
        require(in_range, "passive_taus", self.passive_taus, "a list of numbers between 0 and 1")

    @property
    def supervised_only(self) -> bool:
        """λ = 0 throughout: nothing unlabelled is heard."""
        return self.lambda_start == self.lambda_end == 0


@dataclass(frozen=True)
class FloorConfig:
    """A floor has no settings of its own: it is what a method must beat to have learned something (VALIDITY §2)."""


MethodConfig = BaselineConfig | ByolConfig | FloorConfig

FLOORS = ("nuisance_only", "frozen_probe", "own_statistics")


def hears_target(config: MethodConfig) -> bool:
    """Whether a method hears the target language's unlabelled speech, and so trains anew for each language."""
    return isinstance(config, ByolConfig) and not config.supervised_only


CONFIGS: dict[str, type[BaselineConfig] | type[ByolConfig] | type[FloorConfig]] = {
    "baseline": BaselineConfig,
    "byol": ByolConfig,
    **dict.fromkeys(FLOORS, FloorConfig),
}
