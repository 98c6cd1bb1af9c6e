"""What one cell hears: its clips by the part that they play."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace

from trainers.corpora.prepared import Prepared
from trainers.errors import UserError


@dataclass(frozen=True)
class Split:
    """What one cell hears, as utterance ids. Nothing of `valid` or `test` is in `labelled`, `unlabelled` or `stage`.

    `labelled`: clips whose emotions are trained on. `unlabelled`: the target language's clips, by language, whose
    labels are not looked at. `stage`: corpus -> clips that the cell's stage hears, by kind with or without their
    emotions. `valid`: selector -> clips; the first one chooses. `test`: language (of a corpus that is only tested on:
    the corpus's name) -> clips of this fold; within corpora those of every corpus, first of the one that is trained on.
    `whole`: language -> all its clips, where the cell trains on none of them. `copies`: clips that are in no part,
    since a clip that is tested holds the same recording.
    """

    labelled: tuple[str, ...]
    unlabelled: dict[str, tuple[str, ...]]
    valid: dict[str, tuple[str, ...]]
    test: dict[str, tuple[str, ...]]
    whole: dict[str, tuple[str, ...]]
    stage: dict[str, tuple[str, ...]] = field(default_factory=dict)
    copies: tuple[str, ...] = ()

    @property
    def selector(self) -> str:
        """The validation part that chooses: "hrl", or "target" within a corpus; UserError where no fold is left out."""
        if not self.valid:
            raise UserError("a training that leaves no fold out has nothing to choose by; use orchestrator.register")
        return next(iter(self.valid))

    @property
    def heard_by_stage(self) -> tuple[str, ...]:
        """All clips of the stage, in the order of their names."""
        return tuple(sorted(joined(self.stage.values())))

    def stage_fingerprint(self, prepared: Prepared) -> str:
        """Hash of every clip that the stage hears, of audio and labels; "" where there is none."""
        heard = [_all_facts(member, prepared) for member in self.heard_by_stage]
        return hashlib.sha256(json.dumps(heard).encode()).hexdigest() if heard else ""

    def fingerprint(self, prepared: Prepared) -> str:
        """Hash of who is in which part and of every clip's audio and label."""
        digest = hashlib.sha256()
        for part, members in self._parts():
            told = _all_facts if part.startswith("stage/") else _facts
            digest.update(json.dumps([part, [told(member, prepared) for member in members]]).encode())
        return digest.hexdigest()

    def thinned(self, clips: int) -> "Split":
        """The same training with at most so many clips in each part that is scored, evenly taken: for a rehearsal."""

        def few(parts: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
            return {name: ids[:: max(1, -(-len(ids) // clips))] for name, ids in parts.items()}

        return replace(self, valid=few(self.valid), test=few(self.test), whole=few(self.whole))

    def _parts(self) -> list[tuple[str, tuple[str, ...]]]:
        named = [("labelled", self.labelled)]
        for group in ("unlabelled", "stage", "valid", "test", "whole"):
            named += [(f"{group}/{name}", ids) for name, ids in sorted(getattr(self, group).items())]
        return named


def _facts(member: str, prepared: Prepared) -> list[str]:
    clip = prepared.utterances[prepared.index[member]]
    return [member, prepared.fingerprints[member], clip.emotion, clip.speaker, clip.gender]


def _all_facts(member: str, prepared: Prepared) -> list[str]:
    """What stages go by as well: they take turns by language, and by corpus and sentence they choose positives."""
    clip = prepared.utterances[prepared.index[member]]
    return [*_facts(member, prepared), clip.corpus, clip.language, clip.text]


def without_overlap(split: Split, fold: int, stage: str) -> Split:
    """The split itself; UserError where a clip that is scored is heard in training, or by its stage of this kind."""
    heard = {
        "trained on": {*split.labelled, *joined(split.unlabelled.values())},
        f"heard by the stage {stage!r}": set(split.heard_by_stage),
    }
    for group in ("valid", "test", "whole"):
        for name, ids in getattr(split, group).items():
            for how, clips in heard.items():
                if shared := clips & set(ids):
                    said = f"{len(shared)} clips of {group}/{name} in fold {fold} are {how} too, {min(shared)!r} first"
                    raise UserError(said)
    return split


def without_copies(split: Split, twins: Mapping[str, AbstractSet[str]]) -> Split:
    """The split without the clips of training, stage and validation of which a tested clip holds a copy.

    `twins`: clip -> the clips that hold a part of the same recording.
    """
    tested = {*joined(split.test.values()), *joined(split.whole.values())}
    copies = {other for clip in tested for other in twins.get(clip, ())} - tested

    def kept(ids: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(name for name in ids if name not in copies)

    heard = joined((split.labelled, *(ids for part in _HEARD for ids in getattr(split, part).values())))
    parts = {part: {name: kept(ids) for name, ids in getattr(split, part).items()} for part in _HEARD}
    left_out = tuple(sorted(copies.intersection(heard)))
    return replace(split, labelled=kept(split.labelled), **parts, copies=left_out) if left_out else split


_HEARD = ("unlabelled", "stage", "valid")


def joined(parts: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """All members of several parts."""
    return tuple(member for part in parts for member in part)
