"""What a sweep stands on: protocol, prepared speech and encoder, found and checked before any resource is used."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from search_spaces import Sweep, called
from trainers import encoders
from trainers.corpora import CORPORA, demo
from trainers.corpora.manifest import is_manifest
from trainers.corpora.prepared import Prepared, prepare
from trainers.corpora.preparing import Room
from trainers.encoder_files import DEFAULT_ENCODER
from trainers.errors import UserError
from trainers.protocols import PROTOCOLS, Protocol, own_protocol, protocol_named


@dataclass(frozen=True)
class FoundEncoder:
    """Where a checkpoint lies, and what it holds."""

    folder: Path
    fingerprint: str


@dataclass(frozen=True)
class Ground:
    """Protocol, prepared corpora and encoder, with the places where slots find them.

    `encoders`: by what they are called, where the sweep is asked of several; the encoder of the fields is their first.
    `precision`: what cells compute in unless the user says otherwise; a sweep settles it by what it runs on
    (`fleet.precision_on`), before any key is made, so that it never mixes two.
    """

    protocol: Protocol
    prepared: Prepared
    encoder_folder: Path
    encoder_fingerprint: str
    precision: str = "fp32"
    encoders: Mapping[str, FoundEncoder] = field(default_factory=dict)

    def encoder(self, name: str) -> FoundEncoder:
        """The encoder that is called so; "" is the only one."""
        return self.encoders[name] if name else FoundEncoder(self.encoder_folder, self.encoder_fingerprint)


@dataclass(frozen=True)
class Places:
    """Where the user said things are; None means the built-in demo's, or the default."""

    store: Path
    data: Path | None
    encoder: str | None
    protocol: str
    languages: tuple[str, ...] = ()
    max_bad: int = 0
    encoders: tuple[str, ...] = ()


def find(places: Places, report: Callable[[str], None], room: Room = lambda *_: None) -> Ground:
    """Check protocol, corpora and encoder, prepare the audio where there is `room`; UserError names what is missing and
    what would do."""
    protocol = protocol_named(places.protocol)
    if protocol.is_demo:
        places = _demo(places, report)
    elif places.data is None:
        raise UserError(
            f"protocol {protocol.name} needs recordings: --data ROOT or $SER_DATA; without them leave out --protocol"
        )
    assert places.data is not None
    corpora = _corpora(protocol, places.data, places.languages)
    several = {} if protocol.is_demo else _found(places.encoders)
    first = next(iter(several.values()), None) or _one(places.encoder or DEFAULT_ENCODER)
    prepared = prepare(places.data, corpora, places.store, max_bad=places.max_bad, report=report, room=room)
    return Ground(protocol, prepared, first.folder, first.fingerprint, encoders=several)


def _found(names: Sequence[str]) -> dict[str, FoundEncoder]:
    found: dict[str, FoundEncoder] = {}
    for name in names:
        if called(name) in found:
            raise UserError(f"two encoders are called {called(name)}; a table could not tell them apart")
        found[called(name)] = _one(name)
    return found


def _one(name: str) -> FoundEncoder:
    folder = encoders.locate(name)
    return FoundEncoder(folder, encoders.fingerprint(folder))


def encoders_of(sweep: Sweep, asked: str | None) -> tuple[str, ...]:
    """The encoders of a sweep over several: the user's, separated by commas, else its own; nothing for other sweeps."""
    named = tuple(name.strip() for name in (asked or "").split(",") if name.strip())
    return (named or sweep.encoders) if sweep.encoders else ()


def _demo(places: Places, report: Callable[[str], None]) -> Places:
    if places.data or places.encoder:
        given = "--data" if places.data else "--encoder"
        raise UserError(
            f"protocol {places.protocol} brings its own voices and encoder; leave out {given} or choose another one"
        )
    home = places.store / "demo"
    try:
        if not (home / "encoder").exists():
            report("making the demo's voices and encoder")
        data, encoder = demo.write(home / "data"), demo.write_encoder(home / "encoder")
    except OSError as error:
        raise UserError(f"the demo cannot be written below {home}: {error.strerror or error}") from error
    return replace(places, data=data, encoder=str(encoder))


def _corpora(protocol: Protocol, root: Path, languages: tuple[str, ...]) -> tuple[str, ...]:
    """The corpora of the protocol that are needed; a target language that nobody asked for may be missing."""
    if not root.is_dir():
        raise UserError(f"data root {str(root)!r} is not a folder")
    absent = tuple(name for name in protocol.corpora if not _present(name, root))
    spared = {name for name in absent if name in protocol.low and languages and _language(name) not in languages}
    needed = [name for name in absent if name not in spared]
    if needed:
        raise UserError(_missing(protocol, root, needed))
    return tuple(name for name in protocol.corpora if name not in spared)


def _language(name: str) -> str | None:
    return CORPORA[name].language if name in CORPORA else None


def _present(name: str, root: Path) -> bool:
    """Whether a corpus lies there; one that is not known lies there if it has a manifest."""
    return (root / CORPORA[name].folder).is_dir() if name in CORPORA else is_manifest(root / name)


def _missing(protocol: Protocol, root: Path, needed: list[str]) -> str:
    said = ", ".join(_expected(name, root) for name in needed)
    runnable = [
        p.name
        for p in PROTOCOLS.values()
        if p.task == protocol.task and not p.is_demo and all(_present(name, root) for name in p.corpora)
    ]
    demos = [p.name for p in PROTOCOLS.values() if p.task == protocol.task and p.is_demo]
    low = [CORPORA[name].language for name in protocol.low if _present(name, root)]
    if low and all(name in protocol.low for name in needed):
        return f"protocol {protocol.name} lacks {said}; --languages {' '.join(low)} would run"
    return f"protocol {protocol.name} lacks {said}; nearest protocol that would run here: {(runnable or demos)[0]}"


def _expected(name: str, root: Path) -> str:
    if name not in CORPORA:
        return f"{name} (a corpus of your own: expected at {root / name}, with a manifest.csv)"
    return f"{name} (expected at {root / CORPORA[name].folder})"


def data_root(given: str | None, protocol: str | None) -> Path | None:
    """`--data`, else $SER_DATA unless the demo was asked for by name, as an absolute path; None is the demo."""
    demo_asked = protocol is not None and protocol_named(protocol).is_demo
    named = given or (None if demo_asked else os.environ.get("SER_DATA"))
    return Path(named).expanduser().resolve() if named else None


def protocol_of(sweep: Sweep, asked: str | None, data: Path | None, own: Mapping[str, Sequence[str]]) -> str:
    """The name of the protocol that was asked for, else the sweep's first: the demo's without data, a real one with.

    `own`: role -> corpora, where the user deals the roles. UserError: a protocol that this sweep is not for.
    """
    if any(own.values()):
        if asked:
            raise UserError(
                "--protocol deals the roles of the corpora, and so do --high, --low, --held-out, --adaptation"
            )
        task = "transfer" if own["low"] else "within"
        tasks = {protocol_named(name).task for name in sweep.protocols}
        return own_protocol(task if task in tasks else min(tasks), **own).name
    if asked is not None and protocol_named(asked).name not in sweep.protocols:
        raise UserError(f"this sweep is not for protocol {asked}, but for {', '.join(sweep.protocols)}")
    fitting = [name for name in sweep.protocols if protocol_named(name).is_demo == (data is None)]
    if not asked and not fitting:
        raise UserError(f"this sweep needs recordings (--data ROOT) for one of {', '.join(sweep.protocols)}")
    return asked or fitting[0]
