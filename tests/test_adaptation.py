"""CL's adaptation alone: what is told of unseen speakers and of emotions, before it and after, reckoned once more."""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from orchestrator.ground import Ground
from tests import small_world
from tests.small_world import Tones, whisper
from tests.staged_world import spec, speech, split, stage
from tests.test_stage_cells import spec as demo_spec
from tests.test_stage_cells import workspace
from tests.unheard import Unheard
from trainers import adaptation, cell
from trainers.corpora.utterance import Utterance
from trainers.encoders import encoder_of
from trainers.evaluation import Evaluation
from trainers.methods.configs import AdaptationConfig, FloorConfig
from trainers.result import Result
from trainers.spec import code_version
from trainers.speech import Speech
from trainers.split import Split
from trainers.stages import StageResult

CONFIG = AdaptationConfig(clips_per_speaker=2)


def other_speakers(heard: Speech, stage_speech: dict[str, tuple[str, ...]]) -> Evaluation:
    return Evaluation(heard, replace(split(cast(Tones, heard.prepared), CONFIG), stage=stage_speech))


def adapted(evaluation: Evaluation) -> tuple[Result, StageResult]:
    made = stage(CONFIG)
    with torch.no_grad():
        for parameter in made.online.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    left = StageResult(made.product().state_dict(), {"speakers": 4.0}, [{"step": 1.0}])
    return adaptation.run(spec(CONFIG), evaluation, whisper(), left), left


def embeddings(evaluation: Evaluation, ids: Sequence[str], weights: StageResult | None) -> np.ndarray:
    encoder = encoder_of(whisper(), evaluation.speech.frames)
    if weights:
        encoder.load_state_dict(weights.weights)
    with torch.no_grad():
        rows = [encoder.eval()(evaluation.speech.mels(evaluation.speech.numbers([name])))[0].double() for name in ids]
    return torch.nn.functional.normalize(torch.stack(rows), dim=1).numpy()


def by_counting(rows: np.ndarray, speakers: list[str]) -> float:
    """Half the sum of both errors at the threshold where they are closest: the pairs are counted one by one."""
    pairs = [(float(rows[i] @ rows[j]), speakers[i] == speakers[j]) for i in range(len(rows)) for j in range(i)]
    same, other = ([score for score, is_same in pairs if is_same == wanted] for wanted in (True, False))
    errors = []
    for threshold in sorted({score for score, _ in pairs}):
        rejected = sum(score < threshold for score in same) / len(same)
        accepted = sum(score >= threshold for score in other) / len(other)
        errors.append((abs(rejected - accepted), (rejected + accepted) / 2))
    return min(errors)[1]


def nearest(rows: np.ndarray, speakers: list[str]) -> float:
    """Every second clip of a speaker, by the nearest of the clips that are left."""
    seen: dict[str, int] = {}
    asked = []
    for speaker in speakers:
        seen[speaker] = seen.get(speaker, 0) + 1
        asked.append(seen[speaker] % 2 == 0)
    known = [place for place, is_asked in enumerate(asked) if not is_asked]
    right = [
        speakers[max(known, key=lambda other: rows[place] @ rows[other])] == speakers[place]
        for place, is_asked in enumerate(asked)
        if is_asked
    ]
    return sum(right) / len(right)


@pytest.mark.parametrize("when", ["before", "after"])
def test_speakers_that_were_not_heard_are_verified_and_identified(when: str) -> None:
    evaluation = other_speakers(speech(), split(Tones(), CONFIG).stage)
    result, left = adapted(evaluation)
    ids = evaluation.split.test["away"]
    speakers = [name.split("_")[0] for name in ids]
    assert len(set(speakers)) == 4
    rows = embeddings(evaluation, ids, left if when == "after" else None)
    n_same = 4 * math.comb(4, 2)
    assert result.facts[f"speaker_eer/{when}/away"] == pytest.approx(by_counting(rows, speakers), abs=1 / n_same)
    assert result.facts[f"speaker_knn/{when}/away"] == nearest(rows, speakers)
    assert result.facts["stage/speakers"] == 4


def test_speakers_that_the_adaptation_heard_are_left_out() -> None:
    heard = speech()
    plain = split(Tones(), CONFIG)
    two_of_four = tuple(name for name in plain.test["away"] if "s4" in name or "s5" in name)
    result, _ = adapted(other_speakers(heard, {"away": two_of_four[:3] + two_of_four[-1:]}))
    only_the_others, _ = adapted(
        Evaluation(heard, replace(plain, test={"away": tuple(n for n in plain.test["away"] if n not in two_of_four)}))
    )
    for figure in ("speaker_eer", "speaker_knn"):
        assert result.facts[f"{figure}/after/away"] == only_the_others.facts[f"{figure}/after/away"]


def test_where_all_speakers_were_heard_nothing_is_said_of_unseen_ones() -> None:
    """Folds with the same speakers on both sides."""
    result, _ = adapted(other_speakers(speech(), {"away": split(Tones(), CONFIG).test["away"][::2]}))
    assert math.isnan(result.facts["speaker_eer/after/away"])
    assert math.isnan(result.facts["speaker_knn/after/away"])
    assert not math.isnan(result.facts["speaker_eer/after/home"])


def test_a_huge_test_part_is_compared_by_some_of_its_clips_whose_names_decide() -> None:
    clips = [Utterance(f"c/{n:05d}.wav", "c", "l", f"c:{n % 100}", "", "sad", 1.0) for n in range(5000)]
    heard = speech(cast(Tones, Unheard(tuple(clips))))
    ids = tuple(clip.id for clip in clips)
    chosen = [
        adaptation._of_unseen_speakers(Evaluation(heard, Split((), {}, {}, {"l": order}, {}, {"l": ids[:3]})), "l")
        for order in (ids, ids[::-1])
    ]
    assert chosen[0] == chosen[1]
    assert len(set(chosen[0])) == adaptation.MOST_CLIPS
    assert not {name for name in chosen[0] if int(name[2:7]) % 100 in (0, 1, 2)}


def test_without_adaptation_after_is_before() -> None:
    evaluation = Evaluation(speech(), small_world.split(Tones()))
    result = adaptation.run(spec(AdaptationConfig(adapt_share=0.0)), evaluation, whisper(), None)
    assert result.facts["speaker_eer/after/away"] == result.facts["speaker_eer/before/away"]
    assert result.secondary["before"]["valid/hrl"] == result.valid["hrl"]
    assert result.history == []


@pytest.mark.slow
def test_what_is_told_before_the_adaptation_is_the_frozen_probe(demo_ground: Ground, tmp_path: Path) -> None:
    asked, place = demo_spec(demo_ground, CONFIG), workspace(demo_ground, tmp_path)
    result = cell.run(asked, place)
    unstaged = place.splits(asked).of(None, 0, FloorConfig()).fingerprint(place.prepared)
    floor = {"method": "frozen_probe", "config": FloorConfig(), "code_version": code_version("frozen_probe")}
    probe = cell.run(replace(asked, **floor, data_fingerprint=unstaged), place)
    assert result.secondary["before"]["valid/hrl"] == probe.valid["hrl"]
    assert {name: result.secondary["before"][f"test/{name}"] for name in ("demo-arda", "demo-bela", "demo-cyra")} == {
        name: probe.test[name] for name in ("demo-arda", "demo-bela", "demo-cyra")
    }
    assert result.valid["hrl"] != probe.valid["hrl"]
