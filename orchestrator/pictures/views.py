"""What augmentation does to one utterance, as Gong et al. 2025, Fig. 2, show it: the clip, and views of it that each
configuration's settings draw."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from orchestrator.pictures.chapter import Chapter, Group
from orchestrator.pictures.drawing import Picture, picture, slug
from orchestrator.pictures.material import FEW, Material
from trainers.spec import CellSpec

if TYPE_CHECKING:
    from torch import Tensor

    from trainers.speech import Speech

READ = (
    "Log-mel spectrograms of one test clip: as it is after the front end, and views as this configuration's settings "
    "draw them in training. Time runs to the right, frequency upwards; brighter is louder, on the same scale in all "
    "pictures of a row. Views are drawn anew for every clip and step, so these are examples; an encoder of waveforms "
    "hears them without masks and stretched bands.",
)

VIEWS = 2
Mel = NDArray[np.float32]
Views = list[tuple[str, Mel]]
"""What each is called, and its (80, frames)."""


def chapter(material: Material) -> Chapter:
    title = "Augmented views of one utterance"
    specs = {name: spec for name in material.few[:FEW] if (spec := _spec(material, name))}
    clip = _clip(material)
    if not specs or not clip:
        return Chapter(title, ("No result names a test clip, so this is left out.",))
    folders = folders_with(material.ledger.store, clip)
    if not folders:
        return Chapter(title, ("The prepared audio does not lie in this store any more, so this is left out.",))
    drawn = {name: list(views_of(folders, clip, spec)) for name, spec in specs.items()}
    groups = []
    for names in _alike({name: views for name, views in drawn.items() if len(views) > 1}):
        pictures = tuple(_pictures(material, names[0], clip, drawn[names[0]]))
        groups.append(Group(f"{', '.join(names)} ({specs[names[0]].method}), {clip}", pictures))
    if not groups:
        return Chapter(title, ("None of these configurations augments what it hears, so there is nothing to show.",))
    return Chapter(title, READ, tuple(groups))


def _alike(drawn: dict[str, Views]) -> list[list[str]]:
    """The configurations, those together that draw the same views."""
    groups: list[list[str]] = []
    for name, views in drawn.items():
        same = next((each for each in groups if _equal(drawn[each[0]], views)), None)
        if same is None:
            groups.append([name])
        else:
            same.append(name)
    return groups


def _equal(views: Views, others: Views) -> bool:
    if [what for what, _ in views] != [what for what, _ in others]:
        return False
    return all(np.array_equal(mel, other) for (_, mel), (_, other) in zip(views, others, strict=True))


def _spec(material: Material, name: str) -> CellSpec | None:
    return next((result.spec for result in material.whole(name).values()), None)


def _clip(material: Material) -> str:
    """The first test clip of the first language, by name; "" where results name none."""
    part = f"test/{material.languages[0]}"
    found = material.whole(material.few[0]) if material.few else {}
    return min((row["id"] for one in found.values() for row in one.predictions if row["part"] == part), default="")


def folders_with(store: Path, clip: str) -> list[Path]:
    """The prepared corpus that has this clip, the newest where it was prepared more than once; [] where none has."""
    from trainers.corpora.parts import DamagedError, open_part

    found = []
    for manifest in (store / "prepared").glob("*/manifest.parquet"):
        try:
            part = open_part(manifest.parent)
        except DamagedError:
            continue
        if any(one.id == clip for one in part.utterances):
            found.append(manifest)
    newest = sorted(found, key=lambda path: (path.stat().st_mtime_ns, path))[-1:]
    return [path.parent for path in newest]


def views_of(folders: list[Path], clip: str, spec: CellSpec) -> Iterator[tuple[str, Mel]]:
    """What a view is called, and its (80, frames); first the clip as it is. Draws are those of step 0 of the cell's
    seed, with the front end and the settings of its spec."""
    import torch

    from trainers.corpora.prepared import open_prepared
    from trainers.methods.configs import ByolConfig
    from trainers.speech import Speech

    speech = Speech(open_prepared(folders), spec.front_end, torch.device("cpu"))
    numbers = speech.numbers([clip])
    yield "as it is", _plain(speech.mels(numbers))
    if isinstance(spec.config, ByolConfig):
        yield from _byol_views(speech, numbers, spec)
    else:
        yield from _waveform_views(speech, numbers, spec)


def _byol_views(speech: "Speech", numbers: "Tensor", spec: CellSpec) -> Iterator[tuple[str, Mel]]:
    """Supervised views, and views of BYOL's loss, which mix another clip in where λ is not 0 all along."""
    import torch

    from trainers.audio.draws import generator
    from trainers.audio.spectrogram import byol_view, supervised_view

    config: Any = spec.config
    mel = speech.mels(numbers)
    source = generator(spec.seed, "supervised views", 0)
    for number in range(min(VIEWS, config.views)):
        view = supervised_view(mel, strength=config.supervised_strength, generator=source)
        yield f"supervised view {number + 1}", _plain(view)
    if config.lambda_start or config.lambda_end:
        other = speech.mels(torch.tensor([(int(numbers[0]) + 1) % len(speech.prepared.utterances)]))
        source = generator(spec.seed, "byol views", 0)
        for number in range(VIEWS):
            view = byol_view(mel, other, torch.tensor([True]), strength=config.strength, generator=source)
            yield f"BYOL view {number + 1}, mixed with another clip", _plain(view)


def _waveform_views(speech: "Speech", numbers: "Tensor", spec: CellSpec) -> Iterator[tuple[str, Mel]]:
    """Views of supervised training, and of the stage before it where that augments by itself."""
    from trainers.augmenting import Augmentation

    kinds = getattr(spec.config, "augmentations", ())
    for called, strength in _strengths(spec.config).items():
        drawn = Augmentation(speech, "mel", kinds, strength, spec.seed)
        for view in range(VIEWS if kinds else 0):
            yield f"{called} view {view + 1}", _plain(drawn.view(numbers, 0, view))


def _strengths(config: Any) -> dict[str, float]:
    """What views are for -> how strong they are; those of no strength are none."""
    supervised, stage = getattr(config, "strength", 0.0), getattr(config, "adapt_strength", 0.0)
    if supervised == stage:
        told = {"first and second stage's": supervised}
    else:
        told = {"supervised": supervised, f"first stage's ({config.STAGE})": stage}
    return {what: strength for what, strength in told.items() if strength}


def _plain(mel: "Tensor") -> Mel:
    return np.asarray(mel[0].cpu().numpy(), np.float32)


def _pictures(material: Material, name: str, clip: str, views: Views) -> Iterator[Picture]:
    low, high = (float(pick(mel)) for pick, (_, mel) in ((np.min, views[0]), (np.max, views[0])))
    for place, (what, mel) in enumerate(views):
        draw: Callable[[Axes], None] = partial(_draw, mel=mel, low=low, high=high)
        alt = f"Log-mel spectrogram of {clip}, {what}, as {name} draws it: {mel.shape[1] / 100:g} s, 80 bands."
        file = slug(f"views-{material.number(name)}-{place}")
        yield picture(file, what, alt, draw, height_in=1.5)


def _draw(axes: Axes, mel: Mel, low: float, high: float) -> None:
    extent = (0.0, mel.shape[1] / 100, 0.0, float(mel.shape[0]))
    style: dict[str, Any] = {"cmap": "cividis", "vmin": low, "vmax": high, "interpolation": "none"}
    axes.imshow(mel, origin="lower", aspect="auto", extent=extent, **style)
    axes.set_xlabel("s")
    axes.set_ylabel("mel band")
