"""Which configuration of a finished sweep is made a model: chosen by validation alone; no test score is read here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orchestrator.answers.means import NAN, Mean
from orchestrator.answers.rows import Candidate, Place, places_of
from orchestrator.answers.rows import _valid as mean_over_folds
from orchestrator.asked import Asked
from orchestrator.ledger import Ledger
from trainers.errors import UserError, unknown

Uars = Mapping[str, float]
"""Key of each cell that is done -> its validation UAR."""


@dataclass(frozen=True)
class Chosen:
    """A model to be made: of a configuration, for the language that it hears (None: one model serves all).

    `cell`: key of a cell whose settings it takes. `score`: the configuration's validation UAR, None where it has none.
    `among`: how many complete configurations it was chosen among; 0 where it was named.
    """

    configuration: str
    language: str | None
    cell: str
    score: Mean | None
    among: int


def chosen(asked: Asked, ledger: Ledger, language: str | None, configuration: str | None) -> list[Chosen]:
    """The models of a sweep: one for each language where the method hears or is trained on it, else one.

    The winner is the complete configuration of the highest mean validation UAR, as the sweep's own answer has it; where
    labels of other languages choose (`--select-on other-languages`), each language has its own. `configuration` names
    another one. UserError: a language or configuration that is not there, none that is complete.
    """
    if language is not None and language not in asked.languages:
        raise unknown(f"language of {asked.sweep}", language, asked.languages)
    seen = ledger.glances(asked.keys)
    uars = {key: glance.valid.get(asked.selector, NAN) for key, glance in seen.items()}
    if configuration is not None:
        return _models(asked, _named(asked, configuration), uars, language, among=0)
    complete = [one for one in asked.configurations if uars.keys() >= set(one.cells.values())]
    if asked.selector != "other-languages":
        return _models(asked, _best(asked, complete, uars, None), uars, language, among=len(complete))
    own = {name: _best(asked, complete, uars, name) for name in ([language] if language else asked.languages)}
    return [model for name, one in own.items() for model in _models(asked, one, uars, name, among=len(complete))]


def _named(asked: Asked, name: str) -> Candidate:
    for one in asked.configurations:
        if one.name == name:
            return one
    raise unknown(f"configuration of {asked.sweep}", name, [one.name for one in asked.configurations])


def _best(asked: Asked, complete: Sequence[Candidate], uars: Uars, language: str | None) -> Candidate:
    """The first of the highest score."""
    scores = [(one, score.mean) for one in complete if (score := _score(asked, one, uars, language))]
    if not scores:
        raise UserError(f"no configuration of {asked.sweep} is complete and validated; run the sweep to its end")
    return max(scores, key=lambda entry: entry[1])[0]


def _score(asked: Asked, one: Candidate, uars: Uars, language: str | None) -> Mean | None:
    """Over all places, as the sweep's objective has it, or over those of a language."""
    places = places_of(one, language) if language else list(one.cells)
    known = {place: uars.get(one.cells[place], NAN) for place in places}
    return mean_over_folds(places, known, "mean" if language else asked.objective)


def _models(asked: Asked, one: Candidate, uars: Uars, language: str | None, *, among: int) -> list[Chosen]:
    """Of one configuration, for one language or all."""
    own = asked.selector == "other-languages"
    targets = dict.fromkeys(target for target, _, _ in one.cells if language in (None, target) or target is None)
    return [
        Chosen(
            one.name,
            target,
            _first_done(asked, one, uars, target),
            _score(asked, one, uars, target if own else None),
            among,
        )
        for target in targets
    ]


def _first_done(asked: Asked, one: Candidate, uars: Uars, target: str | None) -> str:
    """Key of the cell of the first seed and fold: of all seeds the first is trained again."""
    own: list[tuple[Place, str]] = [(place, key) for place, key in one.cells.items() if place[0] == target]
    done = [(place[2], place[1], key) for place, key in own if key in uars]
    if not done:
        raise UserError(f"no cell of {one.name} is done{f' for {target}' if target else ''}; run {asked.sweep} first")
    return min(done)[2]
