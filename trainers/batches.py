"""Which clips a step trains on: pure functions of (seed, step), so that a resumed run draws the same."""

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from trainers.audio.draws import generator
from trainers.corpora.utterance import EMOTIONS
from trainers.errors import UserError


def distinct(pool: Tensor, count: int, source: torch.Generator) -> Tensor:
    """`count` members of `pool`, distinct as long as the pool has that many, else each as often as any other."""
    rounds = -(-count // len(pool))
    drawn = [pool[torch.randperm(len(pool), generator=source)] for _ in range(rounds)]
    return torch.cat(drawn)[:count]


def fraction(numbers: Tensor, labels: Tensor, share: float) -> Tensor:
    """The given share of each label's clips, at least one, in their order: always the same ones, and those of a
    smaller share are among those of a larger one."""
    if share == 1:
        return numbers
    kept = []
    for label in labels.unique():
        own = (labels == label).nonzero().flatten()
        shuffled = own[torch.randperm(len(own), generator=generator(0, "label fraction", int(label)))]
        kept.append(shuffled[: max(1, int(share * len(own) + 1e-9))])  # .29 · 100 is 28.999999999999996
    return numbers[torch.cat(kept).sort().values]


def in_turn(pools: Sequence[Tensor], count: int, step: int, source: torch.Generator) -> Tensor:
    """`count` members of several pools in turn; which pool has one more than another changes from step to step."""
    shares = [len(range((place + step) % len(pools), count, len(pools))) for place in range(len(pools))]
    return torch.cat([distinct(pool, share, source) for pool, share in zip(pools, shares, strict=True) if share])


class Balanced:
    """Labelled batches with equally many clips of each emotion (Gong et al. 2025 §2.2).

    Within an emotion clips are drawn from all corpora together, or, where `corpora` (n,) numbers them, as many from
    each (METHODS FLAG 10). UserError where an emotion has no clip to train on.
    """

    def __init__(
        self, indices: Tensor, labels: Tensor, batch_size: int, seed: int, corpora: Tensor | None = None
    ) -> None:
        self.corpora = None if corpora is None else dict(zip(indices.tolist(), corpora.tolist(), strict=True))
        self.pools = [indices[labels == label] for label in range(len(EMOTIONS))]
        self.each, self.seed = batch_size // len(EMOTIONS), seed
        for emotion, pool in zip(EMOTIONS, self.pools, strict=True):
            if not len(pool):
                raise UserError(f"no labelled clip to train on is {emotion}; every batch needs all four emotions")

    def draw(self, step: int) -> Tensor:
        """The (batch,) utterance indices of this step, class by class."""
        source = generator(self.seed, "labelled", step)
        if self.corpora is None:
            return torch.cat([distinct(pool, self.each, source) for pool in self.pools])
        return torch.cat([self._evenly(pool, step, source) for pool in self.pools])

    def _evenly(self, pool: Tensor, step: int, source: torch.Generator) -> Tensor:
        """One emotion's clips, its corpora in turn."""
        assert self.corpora is not None
        corpus = torch.tensor([self.corpora[number] for number in pool.tolist()])
        return in_turn([pool[corpus == each] for each in corpus.unique()], self.each, step, source)


class TwoSources:
    """Unlabelled batches, half high-resource and half low-resource speech, or each one of either (METHODS FLAG 25)."""

    def __init__(self, high: Tensor, low: Tensor, batch_size: int, seed: int, *, either: bool = False) -> None:
        self.high, self.low, self.half, self.seed, self.either = high, low, batch_size // 2, seed, either
        self.draw = lru_cache(maxsize=1024)(self._draw)

    def _draw(self, step: int) -> Tensor:
        """The (batch,) utterance indices of this step, the high-resource half first."""
        source = generator(self.seed, "unlabelled", step)
        if self.either:
            chosen = (self.high, self.low)[int(torch.randint(2, (1,), generator=source))]
            return distinct(chosen, 2 * self.half, source)
        return torch.cat([distinct(pool, self.half, source) for pool in (self.high, self.low)])


class SpeakerBatches:
    """Batches of whole groups of clips of one speaker each (Gong et al. 2025 §2.2: 16 speakers × 4 clips).

    `groups` (n,): what `balance` alternates by (a speaker's language or gender as a number; all 0 for uniform).
    Speakers with fewer clips than a group needs are not heard; a batch has at most as many speakers as there are.
    UserError where fewer than two speakers are left.
    """

    def __init__(
        self, numbers: Tensor, speakers: Tensor, groups: Tensor, batch_size: int, clips_each: int, seed: int
    ) -> None:
        self.each, self.seed = clips_each, seed
        own = {int(speaker): numbers[speakers == speaker] for speaker in speakers.unique()}
        self.pools = {speaker: pool for speaker, pool in own.items() if len(pool) >= clips_each}
        if len(self.pools) < 2:
            raise UserError(f"{len(self.pools)} speakers have {clips_each} clips or more; speaker contrast needs two")
        self.count = min(max(2, batch_size // clips_each), len(self.pools))
        group_of = {int(speaker): int(group) for speaker, group in zip(speakers, groups, strict=True)}
        self.groups = [
            torch.tensor([speaker for speaker in self.pools if group_of[speaker] == group])
            for group in sorted({group_of[speaker] for speaker in self.pools})
        ]
        self.clips = sum(len(pool) for pool in self.pools.values())

    def draw(self, step: int) -> tuple[Tensor, Tensor]:
        """Utterance indices and speakers of this step's clips, (speakers · clips_each,) each, speaker by speaker."""
        source = generator(self.seed, "speakers", step)
        chosen = self._speakers(source)
        clips = [self.pools[speaker] for speaker in chosen.tolist()]
        drawn = [pool[torch.randperm(len(pool), generator=source)][: self.each] for pool in clips]
        return torch.cat(drawn), chosen.repeat_interleave(self.each)

    def starts(self, step: int) -> Tensor:
        """Where random crops of the clean views begin, in [0, 1)."""
        return torch.rand(self.count * self.each, generator=generator(self.seed, "clean views", step))

    def _speakers(self, source: torch.Generator) -> Tensor:
        """Distinct speakers, as evenly over the groups as these allow."""
        order = [group[torch.randperm(len(group), generator=source)].tolist() for group in self.groups]
        first = int(torch.randint(len(order), (1,), generator=source))
        queues = order[first:] + order[:first]
        chosen: list[int] = []
        while len(chosen) < self.count:
            chosen += [queue.pop() for queue in queues if queue][: self.count - len(chosen)]
        return torch.tensor(chosen)


class EmotionBatches:
    """Labelled batches with equally many clips of each emotion and, within it, of each corpus (METHODS FLAG 37).

    Further emotions (beyond `emotions` classes) fill no place of their own in the balance: `batch_size` clips are of
    the four emotions, and one more clip of each further emotion, if there is any, joins as a negative.
    """

    def __init__(self, numbers: Tensor, emotions: Tensor, corpora: Tensor, batch_size: int, seed: int) -> None:
        self.seed, self.each, self.clips = seed, batch_size // len(EMOTIONS), len(numbers)
        self.emotions, self.corpora = emotions.unique().tolist(), corpora.unique().tolist()
        self.known = {int(n): (int(e), int(c)) for n, e, c in zip(numbers, emotions, corpora, strict=True)}
        self.pools = {
            emotion: [
                pool for corpus in self.corpora if len(pool := numbers[(emotions == emotion) & (corpora == corpus)])
            ]
            for emotion in self.emotions
        }
        for number, emotion in enumerate(EMOTIONS):
            if number not in self.pools:
                raise UserError(f"no labelled clip to contrast is {emotion}; every batch needs all four emotions")

    def draw(self, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Utterance indices, emotions and corpora of this step's clips, (batch,) each, emotion by emotion."""
        source = generator(self.seed, "emotions", step)
        drawn = torch.cat([self._of(pools, emotion, step, source) for emotion, pools in self.pools.items()])
        emotions, corpora = zip(*(self.known[number] for number in drawn.tolist()), strict=True)
        return drawn, torch.tensor(emotions), torch.tensor(corpora)

    def _of(self, pools: list[Tensor], emotion: int, step: int, source: torch.Generator) -> Tensor:
        """One emotion's clips: the corpora take turns, and who has one more changes from step to step."""
        return in_turn(pools, self.each if emotion < len(EMOTIONS) else 1, step, source)
