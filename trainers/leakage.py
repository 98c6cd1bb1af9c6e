"""What a test must not share with what was heard before it: clips, speakers, audio, copies of recordings.

It looks at sets of clips alone and uses nothing of the code that deals folds, so that it can check it.
"""

from collections.abc import Collection, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

Pair = tuple[str, str]
"""What is heard, and what is tested."""


@dataclass(frozen=True)
class Known:
    """What is known of clips by their ids. `audio`: hash of the samples; `twins`: the clips that hold the same
    recording (`corpora.copies.twins`). A clip that a mapping lacks shares nothing by it."""

    speakers: Mapping[str, str]
    audio: Mapping[str, str]
    twins: Mapping[str, AbstractSet[str]]


@dataclass(frozen=True)
class Leaks:
    """What is shared. `clips`: ids in both. `speakers`: heard and tested. `audio`: a heard clip and a tested one of
    other name with the same samples, and `copies`: with a part of the same recording; one heard clip of each tested
    one."""

    clips: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()
    audio: tuple[Pair, ...] = ()
    copies: tuple[Pair, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.clips or self.speakers or self.audio or self.copies)


def leaks(heard: Collection[str], tested: Collection[str], known: Known) -> Leaks:
    """What clips that were heard share with clips that are tested; everything in the order of its names."""
    heard, tested = set(heard), set(tested)
    said = {known.speakers[clip] for clip in heard if clip in known.speakers}
    first_of = {known.audio[clip]: clip for clip in sorted(heard - tested, reverse=True) if clip in known.audio}
    audio = {clip: first_of[known.audio[clip]] for clip in tested if known.audio.get(clip) in first_of}
    copies = {
        clip: min(others)
        for clip in tested - audio.keys()
        if (others := (set(known.twins.get(clip, ())) & heard) - tested)
    }
    return Leaks(
        clips=tuple(sorted(heard & tested)),
        speakers=tuple(sorted(said & {known.speakers[clip] for clip in tested if clip in known.speakers})),
        audio=tuple((audio[clip], clip) for clip in sorted(audio)),
        copies=tuple((copies[clip], clip) for clip in sorted(copies)),
    )
