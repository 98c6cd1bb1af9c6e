"""What people type: settings, command lines, files of sweeps."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hypothesis import strategies as st

import search_spaces
from orchestrator import arguments, audit, bundle, compare, predict, replay, report, sweep
from tests.fuzz.judging import commanded
from tests.synthetic_results import spec
from trainers.audio.front_end import FrontEnd
from trainers.methods.configs import CONFIGS, FLOORS
from trainers.spec import CellSpec, Training

NAMES = sorted({name for kind in CONFIGS.values() for name in spec().settings()} | {"temperature", "tau", "x", ""})
VALUES = (
    *("0", "1", "-1", "0.5", "nan", "inf", "1e999", "-0.0", "1e-400", "true", "None", "none", "[]", "()", "(1, 2)"),
    *("[1, [2]]", "{}", "{[]: 1}", "{1: 2}", "'a'", "a,b", "gain,noise", "", "=", "1 if", "__import__('os')", "1_000"),
    *("0x" + "f" * 5000, "9" * 5000, "(" * 300, "-" * 30000 + "1", "[" * 3000, "\x00", "\ud800", "1j", "b'x'", "..."),
    *("9" * 400, "1" + "0" * 20, "6", "4", "128", "cosine", "attention", "layers,mel", "low", "0.9,0.99", "(0.9, nan)"),
)
values = st.one_of(st.sampled_from(VALUES), st.text(max_size=12), st.floats().map(str), st.integers().map(str))
GOOD = (("steps", "6"), ("batch_size", "128"), ("encoder_lr", "1e-4"), ("length_s", "2.0"), ("trim_db", "none"))
pairs = st.one_of(st.tuples(st.sampled_from(NAMES), values), st.sampled_from(GOOD), st.sampled_from(GOOD))
settings = st.lists(pairs, min_size=1, max_size=3)

METHODS = [method for method in CONFIGS if method not in FLOORS]


def configure(given: tuple[str, list[tuple[str, str]]], _folder: Path) -> str:
    """A setting is refused, or the cell that has it tells it, has a key, and comes back from its JSON."""
    method, told = given
    words = ["byol_tau", "--set", *(f"{name}={value}" for name, value in told)]
    asked = arguments.settings(arguments.parse([*words[:1], *(f"--set={each}" for each in words[2:])]))
    kind = CONFIGS[method]
    plain = CellSpec(method, kind(), Training(), FrontEnd(), "open", "speaker", None, 0, 0, "e", "d")
    made = plain.configured(asked)
    assert CellSpec.from_dict(made.as_dict()).key() == made.key()
    assert all(name in made.settings() for name in asked)
    return "taken"


configured = st.tuples(st.sampled_from(METHODS), settings)


# --- command lines

COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "sweep": sweep.main,
    "compare": compare.main,
    "audit": audit.main,
    "report": report.main,
    "predict": predict.main,
    "replay": replay.main,
    "bundle": bundle.main,
}
SWEEPS = (
    "byol_tau",
    "joint",
    "methods",
    "head",
    "supcon_corpora",
    "byol_tua",
    "../x",
    "",
    "a/b/c",
    "byol_tau/0",
    "x" * 5000,
)
OPTIONS = {
    "sweep": (
        *("--data", "--encoder", "--protocol", "--high", "--low", "--held-out", "--adaptation", "--folds-by"),
        *(
            "--languages",
            "--folds",
            "--seeds",
            "--search",
            "--samples",
            "--max-bad",
            "--steps",
            "--batch-size",
            "--set",
        ),
        *("--gpus-per-cell", "--slots", "--select-on", "--objective", "--race", "--no-race", "--race-alpha"),
        *("--repeats", "--until-ci", "--price-per-gpu-hour", "--budget-gpu-hours", "--no-canary", "--list", "--help"),
    ),
    "compare": ("--format", "--reference", "--against", "--help"),
    "audit": ("--splits", "--data"),
    "report": ("--reference",),
    "predict": ("--format",),
    "replay": ("--encoder",),
    "bundle": ("export", "import"),
}
WORDS = (
    *(
        "demo",
        "demo_within",
        "open",
        "gong2025",
        "transfer x",
        "transfer high=a low=b",
        "transfer x=y",
        "within",
        "hrl",
    ),
    *("demo-arda", "demo_home", "urdu", "speaker", "random", "grid", "tpe", "random", "mean", "worst", "target", "csv"),
    *("html", "latex", "0", "1", "4", "-1", "nan", "inf", "1e9", "99999999999999999999", "2.5", "tau=0.5", "steps=4"),
    *(
        "/",
        "/etc/passwd",
        "/dev/null",
        ".",
        "no/such",
        "x" * 5000,
        "\x00",
        "é\u202e",
        "\udcff",
        "~",
        "~nobody/x",
        "-",
        "--",
        "=",
    ),
)
words = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=6)), max_size=3)
KNOWN = [["byol_tau"], ["baseline"], ["joint"]]
taken = st.sampled_from(
    [
        *(
            ("--folds", ["0", "1"]),
            ("--steps", ["4"]),
            ("--set", ["tau_horizon=paper"]),
            ("--languages", ["demo-arda"]),
        ),
        *(("--slots", ["2"]), ("--seeds", ["7"]), ("--protocol", ["demo"]), ("--repeats", ["2"]), ("--race", [])),
    ]
)
lines = st.sampled_from(["sweep", "sweep", "sweep", *sorted(COMMANDS)]).flatmap(
    lambda name: st.tuples(
        st.just(name),
        st.one_of(
            st.sampled_from([["byol_tau"], ["baseline"], ["joint"]]), st.lists(st.sampled_from(SWEEPS), max_size=2)
        ),
        st.lists(st.one_of(taken, st.tuples(st.sampled_from(OPTIONS[name]), words)), max_size=3),
    )
)


def command(store: Path) -> Callable[[tuple[str, list[str], list[tuple[str, list[str]]]], Path], str]:
    """Runs command lines in a store that has the demo prepared; a sweep is only planned."""

    def run(given: tuple[str, list[str], list[tuple[str, list[str]]]], folder: Path) -> str:
        name, first, options = given
        dry = ["--dry-run"] if name == "sweep" else []
        typed = [*first, *(word for option, more in options for word in (option, *more))]
        own = ["--store", str(store if name == "sweep" else folder / "runs")]
        with _elsewhere(folder):
            return commanded(COMMANDS[name], [*own, *dry, *typed] if name != "bundle" else [*typed, *own])

    return run


@contextmanager
def _elsewhere(folder: Path) -> Iterator[None]:
    """What a command writes into the folder where one stands is thrown away, and no hub is asked."""
    before, kept = Path.cwd(), {name: os.environ.get(name) for name in ("SER_DATA", "HF_HUB_OFFLINE")}
    os.chdir(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.pop("SER_DATA", None)
    try:
        yield
    finally:
        os.chdir(before)
        for name, value in kept.items():
            os.environ.pop(name, None) if value is None else os.environ.__setitem__(name, value)


# --- files of sweeps

PARTS = (
    *("ByolConfig()", "BaselineConfig()", "ClConfig(temperature=0.1)", "ByolConfig(tau=nan)", "ByolConfig(views=2.5)"),
    *(
        "BaselineConfig(augmentations='gain')",
        "SupConConfig()",
        "None",
        "3",
        "FloorConfig()",
        "ByolConfig(projection=True)",
    ),
)
AXES = (
    *("{}", "{'tau': tune.grid_search([0.99, 0.999])}", "{'tau': [0.9]}", "{'tau': tune.grid_search([])}", "{'x': 3}"),
    *("{'tau': tune.grid_search([2])}", "{'tau, strength': tune.grid_search([(0.9, 1), (0.99,)])}", "{'tau': None}"),
    *("{'tau': tune.uniform(0.9, 0.99)}", "{'steps': tune.loguniform(10, 100)}", "{3: tune.grid_search([1])}", "[]"),
    *("{'tau': tune.grid_search(5)}", "{'strength': tune.grid_search(['a'])}", "{'tau': tune.grid_search([0.9, 0.9])}"),
)
MORE = (
    *("", "samples=0", "samples=3", "seeds=(0, 1)", "seeds=3", "seeds=('a',)", "seeds=(0.5,)", "protocols=('demo',)"),
    *(
        "protocols=()",
        "protocols=('nope',)",
        "folds_by='x'",
        "reference={'tau': 0.9}",
        "reference={'y': 1}",
        "shows=('x',)",
    ),
    *("training=Training(steps=nan)", "training=Training(steps=5)", "encoders=('a', 'a')", "shows=3", "x=1", "axes={}"),
    *(
        "arms={'a': ByolConfig(), 'b': BaselineConfig()}",
        "reference=3",
        "training=None",
        "at_random=True",
        "protocols='demo'",
    ),
)
HEAD = """from math import nan
from ray import tune
from search_spaces import Sweep
from trainers.methods.configs import *
from trainers.spec import Training
"""


def _source(config: str, axes: str, more: list[str], junk: str) -> str:
    fields = ["question='?'", f"config={config}", f"axes={axes}", *(each for each in more if each)]
    return f"{HEAD}{junk}\nSWEEP = Sweep({', '.join(fields)})\n"


JUNK = (
    "",
    "",
    "",
    "",
    "1/0",
    "raise SystemExit(3)",
    "import nothing_such",
    "x = (",
    "SWEEP = 3\nSweep = dict",
    "'\x00'",
)
modules = st.builds(
    _source,
    st.one_of(st.just(PARTS[0]), st.sampled_from(PARTS)),
    st.one_of(st.just(AXES[1]), st.sampled_from(AXES)),
    st.one_of(st.just([]), st.lists(st.sampled_from(MORE), max_size=2, unique=True)),
    st.one_of(st.just(""), st.sampled_from(JUNK)),
)


def plan_module(store: Path) -> Callable[[str, Path], str]:
    """Plans a sweep of somebody's own file."""
    numbers = iter(range(10**9))

    def run(source: str, folder: Path) -> str:
        name = f"fuzzed_{os.getpid()}_{next(numbers)}"
        (folder / f"{name}.py").write_text(source)
        search_spaces.__path__.append(str(folder))
        try:
            return commanded(sweep.main, [name, "--store", str(store), "--dry-run", "--protocol", "demo"])
        finally:
            search_spaces.__path__.remove(str(folder))

    return run
