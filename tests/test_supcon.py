"""SupCon: which pairs attract, the losses of its own embeddings by loops, both stages' heads, and further emotions."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.small_world import Tones, whisper
from tests.staged_world import method, spec, speech, stage
from trainers.batches import EmotionBatches
from trainers.building import build_stage
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError
from trainers.loop import train
from trainers.losses import pair_masks
from trainers.methods.configs import MethodConfig, SupConConfig
from trainers.methods.supcon import EmotionContrast
from trainers.pooling import PooledEncoder
from trainers.split import Split
from trainers.stages import stage_training

CONFIG = SupConConfig(adapt_projection=6, temperature=0.3, margin_weight=0.0)


def contrast(config: MethodConfig = CONFIG, **training: object) -> EmotionContrast:
    made = stage(config, **training)
    assert isinstance(made, EmotionContrast)
    return made


class Further(Tones):
    """One more clip of each `home` speaker in fear; `text` is the speaker's number modulo 3."""

    def __post_init__(self) -> None:
        super().__post_init__()
        more = [Utterance(f"home/s{n}_fear.wav", "home", "home", f"home:{n}", "female", "fear", 0.5) for n in range(8)]
        told = (replace(clip, text=f"t{int(clip.speaker[-1]) % 3}") for clip in (*self.utterances, *more))
        self.utterances = tuple(told)
        self.index = {clip.id: number for number, clip in enumerate(self.utterances)}
        self.fingerprints = {clip.id: clip.id for clip in self.utterances}

    def samples(self, number: int) -> NDArray[np.float32]:
        """Fear is a clip of the others played backwards."""
        return super().samples(number) if number < 64 else super().samples(number - 64)[::-1].copy()


def with_fear(config: SupConConfig) -> EmotionContrast:
    prepared = Further()
    emotions = {clip.id: clip for clip in prepared.utterances}
    heard = {name: tuple(clip for clip in emotions if emotions[clip].language == name) for name in ("home", "away")}
    split = Split((), {}, {"hrl": ()}, {}, {}, heard)
    made = build_stage(spec(config, batch_size=16), split, speech(prepared), whisper())
    assert isinstance(made, EmotionContrast)
    return made


def told(made: EmotionContrast, step: int) -> list[tuple[str, str, str, int]]:
    """Emotion, corpus, sentence and clip of each embedding: two views of each clip."""
    numbers = made.batches.draw(step)[0].tolist()
    clips = [made.speech.prepared.utterances[number] for number in numbers]
    return [(clip.emotion, clip.corpus, clip.text, number) for clip, number in zip(clips, numbers, strict=True)] * 2


def attract(kind: str, i: int, j: int, rows: list[tuple[str, str, str, int]]) -> bool:
    """Whether embedding j is a positive of i, by the words of the configuration."""
    (emotion, corpus, text, clip), (other_emotion, other_corpus, other_text, other_clip) = rows[i], rows[j]
    if i == j or emotion != other_emotion or emotion not in EMOTIONS:
        return False
    own_view = clip == other_clip
    return {
        "any": True,
        "same-corpus": corpus == other_corpus,
        "cross-corpus": corpus != other_corpus or own_view,
        "other-text": (corpus, text) != (other_corpus, other_text),  # each corpus has a language of its own
    }[kind]


def embeddings(made: EmotionContrast, step: int) -> Tensor:
    """(2 · batch, d) of two augmented views."""
    numbers = made.batches.draw(step)[0]
    made.eval()
    with torch.no_grad():
        return torch.cat([made.online(made.augmentation.view(numbers, step, view)) for view in range(2)]).double()


def projected(made: EmotionContrast, y: Tensor) -> Tensor:
    with torch.no_grad():
        return made.projection(y.float()).double()


def cosines(z: Tensor) -> list[list[float]]:
    units = z / z.norm(dim=1, keepdim=True)
    return (units @ units.T).tolist()


def sup_con(z: Tensor, rows: list[tuple[str, str, str, int]], kind: str, temperature: float) -> float:
    """L_out, anchor by anchor; of one emotion only positives stand below, of others all."""
    similarity, losses = cosines(z), []
    for i in range(len(rows)):
        positives = [j for j in range(len(rows)) if attract(kind, i, j, rows)]
        below = [j for j in range(len(rows)) if rows[j][0] != rows[i][0]] + positives
        total = sum(math.exp(similarity[i][j] / temperature) for j in below)
        if positives:
            terms = [math.log(math.exp(similarity[i][j] / temperature) / total) for j in positives]
            losses.append(-sum(terms) / len(terms))
    return sum(losses) / len(losses)


KINDS = ("any", "same-corpus", "cross-corpus", "other-text")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("step", [0, 3])
def test_the_contrast_of_a_step_is_l_out_over_the_pairs_that_may_attract(kind: str, step: int) -> None:
    made = with_fear(replace(CONFIG, positives=kind))
    wanted = sup_con(projected(made, embeddings(made, step)), told(made, step), kind, 0.3)
    losses = made.losses(step)
    assert float(losses["total"].detach()) == pytest.approx(wanted, abs=1e-5)
    assert losses["contrast"] is losses["total"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_pairs_that_attract_are_those_of_the_words_and_those_of_two_emotions_repel(kind: str) -> None:
    """A further emotion repels all and attracts nothing, not even its own second view (METHODS FLAG 37)."""
    made = with_fear(replace(CONFIG, positives=kind))
    for step in range(4):
        numbers, emotions, corpora = made.batches.draw(step)
        labels, rows = emotions.repeat(2), told(made, step)
        assert sum(row[0] == "fear" for row in rows) == 2
        positive, negative = pair_masks(labels, made.allowed(numbers, labels, corpora.repeat(2)))
        places = range(len(rows))
        assert positive.tolist() == [[attract(kind, i, j, rows) for j in places] for i in places]
        assert negative.tolist() == [[rows[i][0] != rows[j][0] for j in places] for i in places]


def test_across_corpora_of_one_batch_every_anchor_has_its_own_view_and_the_other_corpus() -> None:
    """Two clips of each emotion and corpus, twice: 1 + 4 positives, 24 negatives."""
    facts = contrast(replace(CONFIG, positives="cross-corpus"), batch_size=16).facts(8)
    assert facts == {
        "embeddings": 32,
        "positives_mean": 5,
        "positives_min": 5,
        "negatives_mean": 24,
        "negatives_min": 24,
        "corpora": 2,
        "clips": 32,
        "passes": 4,
    }
    assert contrast(CONFIG, batch_size=16).facts(8)["positives_mean"] == 7


# --- the margin losses


def pairs(y: Tensor, rows: list[tuple[str, str, str, int]], margin: float) -> float:
    similarity, losses = cosines(y), []
    for i in range(len(rows)):
        for j in range(len(rows)):
            if attract("any", i, j, rows):
                losses.append(1 - similarity[i][j])
            elif rows[i][0] != rows[j][0]:
                losses.append(max(0.0, similarity[i][j] - margin))
    return sum(losses) / len(losses)


def triplets(y: Tensor, rows: list[tuple[str, str, str, int]], margin: float) -> float:
    similarity, every = cosines(y), range(len(rows))
    losses = [
        max(0.0, margin - similarity[i][j] + similarity[i][k])
        for i in every
        for j in every
        if attract("any", i, j, rows)
        for k in every
        if rows[k][0] != rows[i][0]
    ]
    return sum(losses) / len(losses)


def classes(y: Tensor, rows: list[tuple[str, str, str, int]], margin: float, weights: Tensor) -> float:
    """CosFace over the four emotions; a further one is no class that could be learned."""
    units, centres, losses = (
        torch.nn.functional.normalize(y, dim=1),
        torch.nn.functional.normalize(weights.double(), dim=1),
        [],
    )
    assert len(centres) == 4
    for unit, row in zip(units, rows, strict=True):
        if row[0] in EMOTIONS:
            own = EMOTIONS.index(row[0])
            scores = [30 * (float(unit @ centre) - margin * (place == own)) for place, centre in enumerate(centres)]
            losses.append(math.log(sum(math.exp(score) for score in scores)) - scores[own])
    return sum(losses) / len(losses)


@pytest.mark.parametrize("form", ["pairs", "triplets", "classes"])
def test_the_margin_loss_is_of_the_embeddings_themselves_and_added_with_its_weight(form: str) -> None:
    made = with_fear(replace(CONFIG, margin_form=form, margin_weight=0.5, margin=0.3))
    y, rows = embeddings(made, 2), told(made, 2)
    wanted = {
        "pairs": lambda: pairs(y, rows, 0.3),
        "triplets": lambda: triplets(y, rows, 0.3),
        "classes": lambda: classes(y, rows, 0.3, made.classes.weight.detach()),
    }[form]()
    losses = {name: float(loss.detach()) for name, loss in made.losses(2).items()}
    assert losses["margin"] == pytest.approx(wanted, abs=1e-5)
    assert losses["contrast"] == pytest.approx(sup_con(projected(made, y), rows, "any", 0.3), abs=1e-5)
    assert losses["total"] == pytest.approx(losses["contrast"] + 0.5 * losses["margin"], abs=1e-6)


def test_the_printed_form_draws_one_positive_for_each_anchor_and_others_at_each_step() -> None:
    """The mean over many draws of −log(e^s+ / (e^s+ + Σ e^s−)) is that over all positives."""
    made = with_fear(replace(CONFIG, contrast="info_nce"))
    numbers, emotions, corpora = made.batches.draw(0)
    labels, rows = emotions.repeat(2), told(made, 0)
    z = projected(made, embeddings(made, 0))
    similarity, wanted = cosines(z), []
    for i in range(len(rows)):
        positives = [j for j in range(len(rows)) if attract("any", i, j, rows)]
        below = sum(math.exp(similarity[i][k] / 0.3) for k in range(len(rows)) if rows[k][0] != rows[i][0])
        tops = [math.exp(similarity[i][j] / 0.3) for j in positives]
        if tops:
            wanted.append(sum(-math.log(top / (top + below)) for top in tops) / len(tops))
    allowed = made.allowed(numbers, labels, corpora.repeat(2))
    drawn = [float(made._contrast(z, labels, allowed, step)) for step in range(400)]
    assert len(set(drawn)) > 300
    assert sum(drawn) / len(drawn) == pytest.approx(sum(wanted) / len(wanted), abs=0.01)
    assert drawn[7] == float(made._contrast(z, labels, allowed, 7))


# --- what trains


@pytest.mark.parametrize("pooling", ["mean", "attention"])
@pytest.mark.parametrize("form", ["pairs", "classes"])
def test_encoder_pooling_projection_and_classes_train_and_convolutions_do_not(pooling: str, form: str) -> None:
    config = SupConConfig(adapt_projection=6, pooling=pooling, margin_form=form)
    made = contrast(config)
    before = {name: value.clone() for name, value in made.state_dict().items()}
    train(made, stage_training(spec(config)), 0, validate=None)
    moved = {name for name, value in made.state_dict().items() if not torch.equal(value, before[name])}
    frozen = {name for name in before if any(part in name for part in ("conv1", "conv2", "embed_positions"))}
    unused = {"classes.weight"} if form == "pairs" else set()
    assert set(before) - moved == frozen | unused


def test_emotions_are_told_apart_the_better_the_longer_it_is_trained() -> None:
    made = contrast(CONFIG, steps=40, batch_size=16)
    rows = train(made, stage_training(spec(CONFIG, steps=40, batch_size=16)), 0, validate=None).history
    assert rows[-1]["loss/total"] < rows[0]["loss/total"] - 0.3


# --- the second stage


def test_the_second_stage_takes_over_the_pooling_and_trains_the_head_alone_where_no_layer_trains() -> None:
    """METHODS FLAG 39: the classifier is fine-tuned on a frozen backbone."""
    config = SupConConfig(pooling="attention", trainable_layers=0)
    first, second = contrast(config), method(config)
    train(first, stage_training(spec(config)), 0, validate=None)
    second.online.load_state_dict(first.product().state_dict())
    assert isinstance(second.online, PooledEncoder)
    assert float(second.online.pool.weight.detach().abs().sum()) > 0
    before = {name: value.clone() for name, value in second.state_dict().items()}
    train(second, spec(config).training, 0, validate=None)
    moved = {name for name, value in second.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"online.pool.weight", *(name for name in before if name.startswith("head."))}


def test_the_projection_and_the_classes_are_left_behind() -> None:
    made = contrast(SupConConfig(margin_form="classes"))
    assert set(made.product().state_dict()) == set(method(SupConConfig()).online.state_dict())


def test_a_batch_needs_all_four_emotions_of_any_corpus() -> None:
    numbers = torch.arange(12)
    with pytest.raises(UserError, match="no labelled clip to contrast is neutral"):
        EmotionBatches(numbers, torch.tensor([0, 1, 3] * 4), torch.zeros(12), 8, 0)
