"""Whether a training is alive, by figures of its embeddings beside those of step 0.

A collapsed encoder gives every clip the same embedding: losses without negatives (BYOL's) then vanish although nothing
was learned (Grill et al. 2020 §3.2, Chen & He 2021 §4.1). No absolute figure tells it from health: an untouched Whisper
already has a mean cosine of .9 between clips (VALIDITY §7). `geometry.py` has the figures.
"""

from collections.abc import Mapping, Sequence

Row = Mapping[str, float]

SPACES = ("embedding", "projection")
"""What is looked at: an encoder's embeddings, and for BYOL their projections as its loss sees them."""

LOST = 0.1
"""Spread or rank below this share of step 0's is a collapse …"""

LEAST_RANK = 4.0
"""… and so is a rank below this."""

CHANCE_UAR = 0.30
"""A classifier of four classes at most this good has learned nothing (.25 is blind guessing)."""


class CollapsedError(Exception):
    """The embeddings of all clips became the same, twice in a row; training on would be in vain."""


def is_look(row: Row) -> bool:
    """Whether a row of a training's history has such figures."""
    return any(name.startswith("embedding/std/") for name in row)


def left(figure: str, start: Row, now: Row) -> dict[str, float]:
    """Corpus -> a figure (`embedding/std`) as a share of that at step 0; without corpora that were not measured."""
    names = [name for name in start if name.startswith(f"{figure}/") and name in now and start[name] > 0]
    return {name.removeprefix(f"{figure}/"): now[name] / start[name] for name in names}


def require_alive(start: Row, history: Sequence[Row]) -> None:
    """CollapsedError where the last two looks are both beyond doubt.

    That is: in every corpus the spread is below a tenth of step 0's, and where there is a classifier it does not even
    tell the training clips apart. A low rank alone stops nothing: four well separated emotions have a rank of four.
    """
    looks = [row for row in history if is_look(row)][-2:]
    if len(looks) < 2:
        return
    for space in SPACES:
        if all(_is_dead(space, start, row) for row in looks):
            raise CollapsedError(_told(space, start, looks))


def _is_dead(space: str, start: Row, row: Row) -> bool:
    spreads = left(f"{space}/std", start, row)
    return bool(spreads) and max(spreads.values()) < LOST and not row.get("train_uar", 0.0) > CHANCE_UAR


def _told(space: str, start: Row, looks: Sequence[Row]) -> str:
    steps = " and ".join(f"{row['step']:g}" for row in looks)
    shares = left(f"{space}/std", start, looks[-1])
    spreads = ", ".join(f"{share:.2g} ({corpus})" for corpus, share in shares.items())
    learned = f"; UAR of training clips {looks[-1]['train_uar']:.2f}" if "train_uar" in looks[-1] else ""
    return f"{space}s alike at steps {steps}, their spread as a share of step 0's {spreads}{learned}"
