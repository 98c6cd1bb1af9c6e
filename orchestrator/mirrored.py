"""What of a result MLflow is told, as plain names and numbers. Nothing here knows MLflow."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any, NamedTuple

from orchestrator.answers.rows import MEASURES, Mean, Measures, Row
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError
from trainers.protocols import protocol_named
from trainers.result import Result, Scores
from trainers.scores import Score
from trainers.spec import CellSpec

Numbers = dict[str, float]

Point = tuple[int, str, float]
"""Step, name, value."""

FORBIDDEN = re.compile(r"[^\w\-. :/]")
"""What a name in MLflow must not have."""


def named(name: str) -> str:
    """A name that MLflow accepts: `passive tau=0.99` becomes `passive tau_0.99`."""
    return FORBIDDEN.sub("_", name)


def plain(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings as MLflow's parameters: text, one line each."""
    return {named(name): "none" if value is None else str(value) for name, value in settings.items()}


def title(name: str) -> str:
    """What a configuration's run is called: by what it differs in, in the papers' letters (`tau=0.99` is `τ=0.99`)."""
    return LETTERS.sub(lambda found: GREEK[found[1]], name)


GREEK = {"tau": "τ", "lambda": "λ", "alpha": "α"}
LETTERS = re.compile(r"(?<![A-Za-z0-9_])(tau|lambda|alpha)(?=[_=])")


def settings(spec: CellSpec, values: Mapping[str, Any]) -> dict[str, Any]:
    """All that the cells of a configuration share, flat; `values`: of its point, of which the encoder is no setting."""
    shared = {"protocol": spec.protocol, "folds_by": spec.folds_by, "method": spec.method}
    made_by = {"encoder_fingerprint": spec.encoder_fingerprint[:SHORT], "code_version": spec.code_version}
    return {**shared, **spec.settings(), **made_by, **{k: v for k, v in values.items() if k == "encoder"}}


SHORT = 12
"""Hex digits of a fingerprint that tell it from others."""


def cell_params(result: Result) -> dict[str, str]:
    """Every setting of a cell and its place."""
    spec = result.spec
    place = {"target": spec.target, "fold": spec.fold, "seed": spec.seed}
    return plain({**settings(spec, {}), **place, "data_fingerprint": spec.data_fingerprint[:SHORT]})


def cell_tags(result: Result, configuration: str) -> dict[str, str]:
    """What cells are searched by in MLflow, and what they ran on."""
    spec = result.spec
    place = {"language": spec.target or "all", "fold": str(spec.fold), "seed": str(spec.seed), "method": spec.method}
    versions = {named(f"version/{name}"): value for name, value in result.versions.items()}
    return {"level": "cell", "cell": spec.key(), "name": configuration, **place, **versions}


def cell_title(result: Result) -> str:
    return f"{result.spec.target or 'all'} fold={result.spec.fold} seed={result.spec.seed}"


def configuration_tags(sweep: str, name: str, params: Mapping[str, str]) -> dict[str, str]:
    """What configurations are searched by in MLflow."""
    own = {tag: params[tag] for tag in ("method", "protocol", "encoder") if tag in params}
    return {"level": "configuration", "sweep": sweep, "name": name, **own}


class Dataset(NamedTuple):
    """Speech that a cell heard: `digest` of the clips and of how its folds part them. `context`: training or test."""

    name: str
    digest: str
    source: dict[str, str]
    context: str


def datasets(result: Result) -> list[Dataset]:
    """What a cell was trained and tested on. The source says how to put the same together again, on any machine."""
    spec = result.spec
    heard = {f"{corpora} training": "training" for corpora in _trained_on(spec)}
    if spec.target and spec.target not in _trained_on(spec):
        heard |= {f"{spec.target} unlabelled": "training"}
    heard |= {f"{language} test": "test" for language in sorted(result.test)}
    place = {"target": str(spec.target), "fold": str(spec.fold), "seed": str(spec.seed)}
    source = {"protocol": spec.protocol, "folds_by": spec.folds_by, **place}
    return [Dataset(name, spec.data_fingerprint[:DIGEST], source, context) for name, context in heard.items()]


DIGEST = 32
"""Of a dataset's digest MLflow keeps up to 36 characters."""


def _trained_on(spec: CellSpec) -> list[str]:
    """The labelled speech of a cell's training: a language within which it is also tested, else the corpora."""
    try:
        protocol = protocol_named(spec.protocol)
    except UserError:  # another version's
        return [spec.protocol]
    return [str(spec.target)] if protocol.task == "within" else ["+".join(protocol.high)]


def digest(name: str, settings: Mapping[str, str]) -> str:
    """What a configuration's run is found again by: its name and all of its settings."""
    return hashlib.sha256(json.dumps([name, settings], sort_keys=True).encode()).hexdigest()


def validation(result: Result) -> Numbers:
    """All that may be seen while a sweep runs: validation scores, facts and seconds; nothing of `test` or `whole`."""
    facts = {named(name): value for name, value in result.facts.items()}
    seconds = {named(f"seconds/{name}"): value for name, value in result.seconds.items()}
    return {**_scored("valid", result.valid), **_secondary(result, "valid"), **facts, **seconds}


def curves(result: Result) -> Iterator[Point]:
    """The history, point by point."""
    for number, row in enumerate(result.history):
        step = int(row.get("step", number))
        yield from ((step, named(name), value) for name, value in row.items() if name != "step")


def sealed(result: Result) -> Numbers:
    """The scores that stay sealed until the sweep's end."""
    whole = {**_scored("whole", result.whole), **_secondary(result, "whole")}
    return {**_scored("test", result.test), **_secondary(result, "test"), **whole}


def valid_means(row: Row) -> Numbers:
    """`valid_uar_mean`, `_sd`, `_n` of a configuration and of each language, and how many of its cells are done.

    The number by which configurations are chosen comes first: MLflow's plots begin with the first.
    """
    whole = {"valid_uar": row.valid} if row.valid else {}
    means = whole | {f"valid/{name}/uar": mean for name, mean in row.valid_by_language.items()}
    counts = {"work/cells_done": float(row.done), "work/cells_planned": float(row.planned)}
    return {name: value for of, mean in means.items() for name, value in _mean(of, mean).items()} | counts


def sealed_means(row: Row) -> Numbers:
    """`test/<language>/uar_mean`, `_sd`, `_n` and so on of every complete language, and of `macro`."""
    places: dict[str, Measures] = {**row.test, **({"macro": row.macro} if row.macro else {})}
    return {
        name: value
        for place, measures in places.items()
        for measure in MEASURES
        for name, value in _mean(f"test/{place}/{measure}", getattr(measures, measure)).items()
    }


def confusion_text(score: Score) -> str:
    """Counts under the names of the classes; rows are the truth, columns the prediction."""
    head = "truth \\ predicted".ljust(18) + "".join(emotion.rjust(9) for emotion in EMOTIONS)
    rows = zip(EMOTIONS, score.confusion, strict=True)
    lines = [emotion.ljust(18) + "".join(str(count).rjust(9) for count in counts) for emotion, counts in rows]
    return "\n".join([head, *lines]) + "\n"


def _mean(name: str, mean: Mean) -> Numbers:
    values = {f"{name}_mean": mean.mean, f"{name}_sd": mean.sd, f"{name}_n": float(mean.n)}
    return {key: value for key, value in values.items() if not isnan(value)}


def _secondary(result: Result, group: str) -> Numbers:
    """`valid/hrl/online/uar` and so on: the same parts through other evaluators."""
    return {
        named(f"{part}/{evaluator}/{measure}"): getattr(score, measure)
        for evaluator, parts in result.secondary.items()
        for part, score in parts.items()
        for measure in MEASURES
        if part.startswith(f"{group}/") and not isnan(getattr(score, measure))
    }


def _scored(group: str, scores: Scores) -> Numbers:
    every = {f"{group}/{part}/{name}": value for part, score in scores.items() for name, value in _score(score)}
    return {named(name): value for name, value in every.items() if not isnan(value)}


def _score(score: Score) -> Iterator[tuple[str, float]]:
    yield from ((name, getattr(score, name)) for name in MEASURES)
    yield "n", float(score.n)
    yield from ((f"recall_{emotion}", value) for emotion, value in score.recall.items())
    yield from ((f"accuracy_{gender}", value) for gender, value in score.accuracy_by_gender.items())
