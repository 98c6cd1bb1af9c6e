"""What a method hears beside its labelled clips: BYOL the unlabelled speech, a stage that of its kind."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from trainers.errors import UserError, unknown
from trainers.methods.configs import ByolConfig, ClConfig, MethodConfig, PairwiseConfig, SupConConfig, has_stage
from trainers.split import Split

if TYPE_CHECKING:
    from trainers.splits import Splits


def unlabelled_speech(
    splits: "Splits", target: str | None, fold: int, config: MethodConfig
) -> dict[str, tuple[str, ...]]:
    """What BYOL hears of the target language, or of all of them, without labels; nothing for other methods."""
    if not isinstance(config, ByolConfig) or config.supervised_only:
        return {}
    if config.unlabelled_on == "low":
        return {name: _capped(splits.unlabelled(name, fold), config.unlabelled_cap) for name in splits.low}
    if target is None:
        return {}
    if config.unlabelled_on == "target":
        return {target: _capped(splits.unlabelled(target, fold), config.unlabelled_cap)}
    spoken = _adaptation_in(splits, target)
    matched = len(splits.unlabelled(target, fold)) if config.unlabelled_on == "adaptation-matched" else 0
    return {name: _capped(_capped(clips, matched), config.unlabelled_cap) for name, clips in spoken.items()}


def _adaptation_in(splits: "Splits", language: str) -> dict[str, tuple[str, ...]]:
    """The adaptation corpora in a language; UserError where there is none."""
    spoken = {name: clips for name, clips in splits.adaptation.items() if splits.language_of[name] == language}
    if not spoken:
        raise UserError(f"protocol {splits.protocol.name} has no adaptation corpus in {language}")
    return spoken


def stage_speech(
    splits: "Splits", target: str | None, fold: int, config: MethodConfig, split: Split
) -> dict[str, tuple[str, ...]]:
    """What the stage of a cell hears, by language or corpus; nothing where the training has no stage."""
    if not has_stage(config):
        return {}
    if isinstance(config, ClConfig):
        heard = _speakers_speech(splits, target, fold, config.adapt_on, split)
        return {name: _of_few_speakers(clips, config.adapt_cap, splits.speakers) for name, clips in heard.items()}
    if isinstance(config, SupConConfig):
        return _emotional_speech(splits, target, fold, config, split)
    assert isinstance(config, PairwiseConfig)
    assert target is not None
    return _viewed_speech(splits, target, fold, config.annotations, split)


def _speakers_speech(
    splits: "Splits", target: str | None, fold: int, kind: str, split: Split
) -> dict[str, tuple[str, ...]]:
    if kind == "adaptation":
        if not splits.adaptation:
            name = splits.protocol.name
            raise UserError(
                f"protocol {name} has no adaptation corpora; adapt_on must be low, target, high or low+high"
            )
        return splits.adaptation
    if kind in ("target", "adaptation-matched") and target is None:
        raise unknown("language", "none", splits.languages)
    if kind == "adaptation-matched" and target:
        enough = len(splits.unlabelled(target, fold))
        spoken = _adaptation_in(splits, target)
        return {name: _of_few_speakers(clips, enough, splits.speakers) for name, clips in spoken.items()}
    chosen = (target,) if kind == "target" and target else splits.languages if kind in ("low", "low+high") else ()
    low = {name: splits.unlabelled(name, fold) for name in chosen}
    return {**low, "high": split.labelled} if kind in ("high", "low+high") else low


def _emotional_speech(
    splits: "Splits", target: str | None, fold: int, config: SupConConfig, split: Split
) -> dict[str, tuple[str, ...]]:
    """The labelled clips of a transfer; within corpora the training folds of the first `adapt_corpora`, with clips
    of further emotions, which are negatives only."""
    if target is None:
        return {"high": split.labelled}
    names = [target, *(name for name in splits.languages if name != target)]
    chosen = names[: config.adapt_corpora or len(names)]
    return {name: (*splits.own_train(name, fold), *splits.further(name, fold)) for name in chosen}


def _viewed_speech(
    splits: "Splits", target: str, fold: int, annotations: str, split: Split
) -> dict[str, tuple[str, ...]]:
    own = split.labelled if annotations in ("target", "both") else ()
    other = splits.further(target, fold) if annotations in ("other", "both") else ()
    if not own and not other:
        raise UserError(f"annotations is {annotations!r}; {target} has no clips of other emotions")
    return {target: (*own, *other)}


def _capped(clips: Sequence[str], cap: int) -> tuple[str, ...]:
    """At most `cap` clips (0: all), in an order that only their names decide."""
    return _first(clips, cap, _digest)


def _of_few_speakers(clips: Sequence[str], cap: int, speakers: Mapping[str, str]) -> tuple[str, ...]:
    """The same, but whole speakers, the last one's clips cut off: a contrast of speakers needs several of each."""
    return _first(clips, cap, lambda name: (_digest(speakers[name]), _digest(name)))


def _first(clips: Sequence[str], cap: int, key: Callable[[str], Any]) -> tuple[str, ...]:
    if not cap or len(clips) <= cap:
        return tuple(clips)
    return tuple(sorted(sorted(clips, key=key)[:cap]))


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
