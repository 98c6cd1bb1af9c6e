"""What happens to a waveform before its log-mel: trimming, level, and which seconds are heard (VALIDITY §2)."""

from dataclasses import dataclass

from trainers.errors import require

SAMPLE_RATE_HZ = 16_000


@dataclass(frozen=True)
class FrontEnd:
    """Settings of the front end; the same for every method of a protocol.

    `trim_db`: leading and trailing frames this far below the loudest are cut; None is off.
    `rms_db`: level that the clip is scaled to, in dB of full scale; None is off.
    `crop`: which part of a longer clip is heard: head, centre, or random (in training; centre in evaluation).
    `length_s`: what every clip is cut or zero-padded to.
    """

    trim_db: float | None = 40.0
    rms_db: float | None = -26.0
    crop: str = "head"
    length_s: float = 3.0

    def __post_init__(self) -> None:
        require(self.trim_db is None or self.trim_db > 0, "trim_db", self.trim_db, "above 0, or none")
        require(self.rms_db is None or self.rms_db < 0, "rms_db", self.rms_db, "below 0, or none")
        require(self.crop in ("head", "centre", "random"), "crop", self.crop, "head, centre or random")
        frames = self.length_s * 100
        whole = 0 < self.length_s <= 30 and abs(frames - round(frames)) < 1e-9 and round(frames) % 2 == 0
        require(whole, "length_s", self.length_s, "a multiple of 0.02 up to 30")

    @property
    def n_samples(self) -> int:
        return round(self.length_s * SAMPLE_RATE_HZ)
