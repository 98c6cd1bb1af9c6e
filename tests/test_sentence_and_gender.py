"""What makes an embedding deaf to the sentence, and what lets women and men weigh the same."""

from collections import defaultdict
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.small_world import FRONT_END, Tones, spec, split, whisper
from trainers.batches import EmotionBatches
from trainers.building import build
from trainers.encoders import SpeechEncoder
from trainers.errors import UserError
from trainers.methods.adversary import SentenceAdversary, reversed_gradient
from trainers.methods.baseline import Baseline, weights_by_gender
from trainers.methods.configs import BaselineConfig, SupConConfig
from trainers.methods.supcon import EmotionContrast
from trainers.speech import Speech

CPU = torch.device("cpu")


def telling(prepared: Tones) -> Tones:
    """The same clips, each saying one of three sentences."""
    clips = enumerate(prepared.utterances)
    prepared.utterances = tuple(replace(clip, text=f"s{number % 3}") for number, clip in clips)
    return prepared


def baseline(config: BaselineConfig, prepared: Tones) -> Baseline:
    method = build(spec(config), split(prepared), Speech(prepared, FRONT_END, CPU), whisper())
    assert isinstance(method, Baseline)
    return method


# --- the sentence


def test_a_reversed_gradient_is_the_gradient_times_minus_the_weight() -> None:
    values = torch.randn(3, 4, requires_grad=True)
    assert torch.equal(reversed_gradient(values, 0.3), values)
    (reversed_gradient(values, 0.3) * torch.arange(12.0).view(3, 4)).sum().backward()
    assert torch.allclose(values.grad, -0.3 * torch.arange(12.0).view(3, 4))


def test_the_adversary_learns_the_sentence_and_the_encoder_unlearns_it() -> None:
    """Against the same losses added up by hand: cross-entropy with the sentence's head, minus it for the encoder."""
    prepared = telling(Tones())
    speech, numbers = Speech(prepared, FRONT_END, CPU), torch.tensor([0, 1, 2, 4])
    adversary = SentenceAdversary(speech, torch.arange(16), 5, 0.7)
    embedded = torch.randn(4, 5, requires_grad=True)
    loss = adversary.loss(embedded, numbers)
    by_hand = functional.cross_entropy(adversary.head(embedded), numbers % 3)
    assert torch.allclose(loss, by_hand)
    of_head = adversary.head[0].weight
    found, wanted = (torch.autograd.grad(each, [embedded, of_head]) for each in (loss, by_hand))
    assert torch.allclose(found[0], -0.7 * wanted[0], atol=1e-7)
    assert torch.allclose(found[1], wanted[1])


def test_a_step_against_the_sentence_adds_its_loss_and_trains_its_head() -> None:
    prepared = telling(Tones())
    plain, against = (baseline(BaselineConfig(text=kind, dropout=0.0), prepared) for kind in ("none", "adversarial"))
    losses, without = against.losses(0), plain.losses(0)
    assert torch.allclose(losses["cross_entropy"], without["total"])
    assert torch.allclose(losses["total"], losses["cross_entropy"] + losses["sentence"])
    assert against.adversary in against.learning_rates()[1]


def test_clips_that_tell_no_sentence_or_one_alone_cannot_be_made_deaf_to_it() -> None:
    with pytest.raises(UserError, match=r"text=adversarial needs .*; of some here the sentence is not told"):
        baseline(BaselineConfig(text="adversarial"), Tones())
    one = Tones()
    one.utterances = tuple(replace(clip, text="s0") for clip in one.utterances)
    with pytest.raises(UserError, match=r"text=adversarial needs .*; here they say 1"):
        baseline(BaselineConfig(text="adversarial"), one)


def contrast(prepared: Tones) -> EmotionContrast:
    speech = Speech(prepared, FRONT_END, CPU)
    numbers = speech.numbers([clip.id for clip in prepared.utterances])
    corpora = speech.numbered(numbers, lambda clip: clip.corpus)
    batches = EmotionBatches(numbers, speech.emotions(numbers), corpora, 16, 0)
    return EmotionContrast(SupConConfig(positives="other-text"), SpeechEncoder(whisper(), 50), speech, batches, 0)


def test_positives_of_another_text_never_say_the_same_sentence() -> None:
    prepared = telling(Tones())
    method = contrast(prepared)
    numbers, emotions, corpora = method.batches.draw(0)
    allowed = method.allowed(numbers, emotions.repeat(2), corpora.repeat(2))
    assert allowed is not None
    clips = [prepared.utterances[number] for number in numbers.tolist()] * 2
    texts = [(clip.language, clip.text) for clip in clips]  # s0 of another language is another sentence
    assert allowed.tolist() == [[one != other for other in texts] for one in texts]
    with pytest.raises(UserError, match="positives=other-text needs the sentence of every clip; 'home/s0_angry"):
        contrast(Tones())


# --- gender


def test_both_genders_of_an_emotion_weigh_the_same_however_many_clips_they_have() -> None:
    prepared = Tones()
    prepared.utterances = tuple(
        replace(clip, gender="female" if number in (0, 5) else "male")
        for number, clip in enumerate(prepared.utterances)
    )
    speech = Speech(prepared, FRONT_END, CPU)
    pools = [torch.tensor([0, 4, 8, 12]), torch.tensor([1, 5]), torch.tensor([2, 6])]
    weights = weights_by_gender(pools, speech)
    sums: dict[tuple[int, str], float] = defaultdict(float)
    for place, pool in enumerate(pools):
        for number in pool.tolist():
            sums[place, prepared.utterances[number].gender] += weights[number]
    women = {(0, "female"): 2.0, (1, "female"): 1.0}
    assert sums == pytest.approx(women | {(0, "male"): 2.0, (1, "male"): 1.0, (2, "male"): 2.0})


def weighted(logits: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return (weights * nn.CrossEntropyLoss(reduction="none")(logits, labels)).mean()


def test_a_step_by_gender_is_the_cross_entropy_weighted_by_hand() -> None:
    method = baseline(BaselineConfig(class_weights="gender", dropout=0.0, views=2, augmentations=()), Tones())
    numbers = method.labelled.draw(0)
    assert method.weights is not None
    method.weights |= {number: 1 + place for place, number in enumerate(sorted(method.weights))}
    labels, weights = method.speech.labels(numbers), torch.tensor([method.weights[n] for n in numbers.tolist()])
    logits = method.head(method.online(method.augmentation.view(numbers, 0, 0)))
    assert torch.allclose(method.losses(0)["total"], weighted(logits, labels, weights), atol=1e-6)
