"""Which corpora take part, and in which role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from trainers.audio.front_end import FrontEnd
from trainers.errors import UserError, unknown

TASKS = ("transfer", "within")


PAPERS_FRONT_END = FrontEnd(trim_db=None, rms_db=None)
"""No trimming and no levelling: none of the papers names any."""


@dataclass(frozen=True)
class Protocol:
    """The roles of the corpora, the front end, and settings that differ from the sweep's own.

    `task`: `transfer` from labelled high-resource speech to languages without labels, or `within`: each of `high` in
    turn is trained and tested on, with its labels. `high`: labelled corpora that are trained on. `low`: one corpus a
    target language, labels never trained on. `held_out`: labelled corpora that are only tested on. `adaptation`:
    speech without emotions, which stages and BYOL may hear.
    """

    name: str
    high: tuple[str, ...]
    low: tuple[str, ...]
    held_out: tuple[str, ...] = ()
    adaptation: tuple[str, ...] = ()
    task: str = "transfer"
    front_end: FrontEnd = field(default_factory=FrontEnd)
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""

    @property
    def is_demo(self) -> bool:
        """Whether it brings its own voices and encoder."""
        return self.name.startswith("demo")

    @property
    def corpora(self) -> tuple[str, ...]:
        return self.high + self.low + self.held_out + self.adaptation


DEMO_SETTINGS = {
    "steps": 100,
    "epoch_steps": 50,
    "views": 1,
    "batch_size": 8,
    "encoder_lr": 1e-3,
    "warmup_steps": 10,
    "projector_hidden": 256,
    "projection": 64,
    "clips_per_speaker": 2,
}
DEMO_NOTE = "DEMO: synthesised voices and a small random encoder. Its numbers say nothing about real emotions."
DEMO_FRONT_END = FrontEnd(length_s=1.2)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            "demo",
            high=("demo_home",),
            low=("demo_arda", "demo_bela", "demo_cyra"),
            front_end=DEMO_FRONT_END,
            settings=DEMO_SETTINGS,
            note=DEMO_NOTE,
        ),
        Protocol(
            "demo_within",
            high=("demo_home", "demo_arda"),
            low=(),
            task="within",
            front_end=DEMO_FRONT_END,
            settings=DEMO_SETTINGS | {"view_names": ("layers", "mel")},
            note=DEMO_NOTE,
        ),
        Protocol(
            "demo_corpora",
            high=("demo_home", "demo_arda", "demo_bela"),
            low=(),
            task="within",
            front_end=DEMO_FRONT_END,
            settings=DEMO_SETTINGS,
            note=DEMO_NOTE,
        ),
        Protocol(
            "demo_sources",
            high=("demo_home",),
            low=("demo_arda",),
            adaptation=("demo_talk",),
            front_end=DEMO_FRONT_END,
            settings=DEMO_SETTINGS,
            note=DEMO_NOTE,
        ),
        Protocol("open", high=("ravdess",), low=("urdu", "emodb")),
        Protocol("open_within", high=("ravdess", "urdu", "emodb"), low=(), task="within"),
        Protocol("open_texts", high=("emodb",), low=(), task="within"),
        Protocol(
            "xiang2024",
            high=("iemocap", "casia"),
            low=(),
            task="within",
            front_end=PAPERS_FRONT_END,
            settings={"batch_size": 32, "grad_clip": 1.0},
        ),
        Protocol("khaertdinov2024", high=("iemocap",), low=(), task="within", front_end=PAPERS_FRONT_END),
        Protocol(
            "gong2025",
            high=("msp_podcast", "iemocap"),
            low=("urdu", "emodb", "subesco"),
            held_out=("ravdess",),
            adaptation=("common_voice_de", "common_voice_ur", "common_voice_bn"),
            front_end=PAPERS_FRONT_END,
            settings={"adapt_on": "adaptation"},
        ),
    )
}


def own_protocol(
    task: str,
    high: Sequence[str],
    low: Sequence[str] = (),
    held_out: Sequence[str] = (),
    adaptation: Sequence[str] = (),
) -> Protocol:
    """A protocol of a user's own corpora, with the open protocol's front end.

    Its name tells all of it, so that whoever reads a cell's spec can make it again. UserError where a role is missing.
    """
    roles = {"high": high, "low": low, "held_out": held_out, "adaptation": adaptation}
    if not high or (task == "transfer") == (not low):
        needs = "--high and --low" if task == "transfer" else "--high alone"
        raise UserError(f"a sweep that goes {task} takes {needs}: corpora by name")
    told = [f"{role}={','.join(names)}" for role, names in roles.items() if names]
    return Protocol(" ".join([task, *told]), tuple(high), tuple(low), tuple(held_out), tuple(adaptation), task)


def protocol_named(name: str) -> Protocol:
    """The protocol of that name, or the user's own that it describes; UserError lists the choices."""
    task, _, told = name.partition(" ")
    if task in TASKS and told:
        roles = dict(role.split("=", 1) for role in told.split())
        return own_protocol(task, **{role: names.split(",") for role, names in roles.items()})
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]
