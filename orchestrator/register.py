"""From a finished sweep to a model that somebody can use.

    python -m orchestrator.register NAME [--language urdu] [--configuration CONFIG] [--data ROOT] [--store runs]

Takes the configuration that validation chose (no test score is looked at), trains it once more on all speech
(`trainers.refit`) and registers it in MLflow. The same training is registered once; what was interrupted goes on.
"""

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import search_spaces
from orchestrator import arguments, ground, registry
from orchestrator.asked import Asked, named
from orchestrator.command_line import Parser, add_store
from orchestrator.ground import Ground, Places
from orchestrator.ledger import Ledger
from orchestrator.tracking import default_uri
from orchestrator.tracking.tracker import _beside as artifacts_beside
from orchestrator.winner import Chosen, chosen
from trainers import model_files, stores
from trainers.cell import Workspace
from trainers.errors import UserError
from trainers.health import CollapsedError
from trainers.loop import Stopped
from trainers.refit import refit, refit_of
from trainers.spec import CellSpec

TELL_EVERY_S = 10.0


def main(words: Sequence[str] | None = None) -> int:
    """0: registered; 1: the training failed, or MLflow; 2: bad input, told in one line; 130: interrupted."""
    try:
        _main(_parser().parse_args(words))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (CollapsedError, FloatingPointError) as error:
        print(f"error: the training failed: {error}", file=sys.stderr)
        return 1
    except _NotRegisteredError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, Stopped):
        print("interrupted; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    return 0


class _NotRegisteredError(Exception):
    """MLflow did not take a model; the text is one line."""


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m orchestrator.register",
        description="Train the configuration that validation chose on all speech, and register it as a model.",
    )
    parser.add_argument("name", metavar="NAME", help="a sweep that was run; NAME/DIGEST an earlier one of it")
    parser.add_argument("--language", help="of methods that hear a target: the model of this one (default: each one)")
    parser.add_argument("--configuration", metavar="CONFIG", help="another one than validation chose")
    parser.add_argument("--name", dest="model", metavar="MODEL", help="default: foldwise-NAME[-LANGUAGE]")
    parser.add_argument("--data", metavar="ROOT", help="folder of the corpora (default: where the sweep had them)")
    parser.add_argument("--encoder", metavar="DIR_OR_NAME", help="checkpoint (default: where the sweep had it)")
    add_store(parser)
    parser.add_argument("--tracking-uri", help="MLflow server or database (default: sqlite in the store)")
    return parser


@dataclass(frozen=True)
class _Making:
    """One model on its way."""

    asked: Asked
    choice: Chosen
    spec: CellSpec
    name: str


def _main(words: argparse.Namespace) -> None:
    store = words.store.expanduser().resolve()
    asked, ledger = named(store, words.name)[0], Ledger(store)
    choices = chosen(asked, ledger, words.language, words.configuration)
    if words.model and len(choices) > 1:
        raise UserError(f"--name names one model; {asked.sweep} has {len(choices)}, so add --language")
    print(_told(asked, choices))
    stood = _stood(asked, words.data, words.encoder, store)
    uri = words.tracking_uri or default_uri(store)
    for choice in choices:
        found = ledger.light(choice.cell)
        if found is None:
            raise UserError(f"the record of cell {choice.cell[:12]} is damaged; run {asked.sweep} again")
        workspace = _workspace(found.spec, stood, store)
        name = words.model or _name(asked.sweep, choice.language)
        making = _Making(asked, choice, refit_of(found.spec, workspace), name)
        folder = refit(making.spec, workspace, progress=_progress(making))
        stores.send(folder)
        _register(uri, making, folder)


def _told(asked: Asked, choices: Sequence[Chosen]) -> str:
    lines = []
    for choice in choices:
        score = f"validation UAR {100 * choice.score.mean:.1f} % over {choice.score.n} folds" if choice.score else ""
        how = f"chosen on validation ({asked.selector}) among {choice.among}" if choice.among else "as asked"
        where = f" for {choice.language}" if choice.language else ""
        lines.append(", ".join(part for part in (f"{asked.sweep}{where}: {choice.configuration}", how, score) if part))
    return "\n".join(lines)


def _stood(asked: Asked, data: str | None, encoder: str | None, store: Path) -> Ground:
    """Protocol, speech and encoder of the sweep, where its own command line had them unless the user says otherwise."""
    words = arguments.parse(shlex.split(asked.command)[3:])
    sweep = search_spaces.load(words.name)
    root = ground.data_root(data or words.data, asked.protocol)
    several = (encoder,) if encoder and sweep.encoders else ground.encoders_of(sweep, words.encoder)
    places = Places(
        store, root, encoder or words.encoder, asked.protocol, tuple(words.languages), words.max_bad, several
    )
    try:
        return ground.find(places, lambda line: print(line, file=sys.stderr))
    except UserError as error:
        raise UserError(f"{error} (the sweep was run as: {asked.command}; --data and --encoder say where)") from error


def _workspace(spec: CellSpec, stood: Ground, store: Path) -> Workspace:
    found = [one.folder for one in stood.encoders.values() if one.fingerprint == spec.encoder_fingerprint]
    return Workspace(stood.prepared, found[0] if found else stood.encoder_folder, store)


def _name(sweep: str, language: str | None) -> str:
    return "-".join(part for part in ("foldwise", sweep, language) if part)


def _progress(making: _Making) -> Callable[[int, int, str], None]:
    """A line now and then."""
    said = [time.monotonic()]

    def tell(step: int, steps: int, phase: str) -> None:
        if time.monotonic() - said[0] > TELL_EVERY_S or step == steps:
            said[0] = time.monotonic()
            print(f"{making.name}: {phase} {step}/{steps}", file=sys.stderr)

    return tell


def _register(uri: str, making: _Making, folder: Path) -> None:
    entry = registry.Entry(
        name=making.name,
        sweep=making.asked.sweep,
        refit=making.spec.key(),
        folder=folder,
        settings={"protocol": making.spec.protocol, "method": making.spec.method, **making.spec.settings()},
        tags=_tags(making),
        description=_description(making, folder),
    )
    try:
        version, new = registry.register(uri, artifacts_beside(uri), entry)
    except Exception as error:  # MLflow's, the database's, the network's
        reason = str(error).partition("\n")[0][:300] or type(error).__name__
        raise _NotRegisteredError(
            f"MLflow at {uri} did not take {making.name}: {reason}; the model lies in {folder}, and the same command "
            "registers it"
        ) from error
    done = "registered" if new else "is registered already:"
    print(f"{making.name} {done} as version {version}; weights: {folder}")


def _tags(making: _Making) -> dict[str, str]:
    choice, asked = making.choice, making.asked
    score = {"valid_uar": f"{choice.score.mean:.4f}", "valid_folds": str(choice.score.n)} if choice.score else {}
    return {
        "sweep": asked.sweep,
        "record": asked.digest,
        "configuration": choice.configuration,
        "language": choice.language or "all",
        "cell": choice.cell,
        "chosen_on": asked.selector if choice.among else "named",
        "protocol": asked.protocol,
        "licence": registry.LICENCE,
        **score,
    }


def _description(making: _Making, folder: Path) -> str:
    """What somebody must know who finds the model alone."""
    choice, asked = making.choice, making.asked
    heard = model_files.described(folder)["heard"]
    counts = {part: ", ".join(f"{name} {count}" for name, count in own.items()) for part, own in heard.items() if own}
    told = "; ".join(f"{part} {own}" for part, own in counts.items())
    return "\n\n".join(
        part
        for part in (
            f"{choice.configuration} of sweep {asked.sweep}, trained on all speech of protocol {asked.protocol} for "
            f"{making.spec.training.steps} steps (last weights). Clips heard: {told}.",
            asked.note,
            "Clips that the sweep was validated and tested on are among these, so they are no test of this model. Its "
            "probabilities are not calibrated.",
            registry.LICENCE,
            f"`{asked.command}`",
        )
        if part
    )


if __name__ == "__main__":
    sys.exit(main())
