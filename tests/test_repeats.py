"""Repeated partitions: repeat 0 is what it was, others are as good, and no two are the same."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.casts import casia, clip, full, require_apart, subesco
from tests.unheard import Unheard, clips, unheard_demo, unheard_papers
from trainers.corpora import CORPORA
from trainers.corpora.folds import (
    Fold,
    high_resource_folds,
    low_resource_folds,
    only_partition,
    partitions,
    within_folds,
)
from trainers.corpora.groups import speaker_groups
from trainers.corpora.repeats import MOST_REPEATS, SLACK, Deal, partition
from trainers.corpora.repeats import partitions as count_of
from trainers.corpora.scan import scan
from trainers.corpora.utterance import EMOTIONS, Utterance
from trainers.errors import UserError
from trainers.methods.configs import (
    BaselineConfig,
    ByolConfig,
    ClConfig,
    MethodConfig,
    PairwiseConfig,
    SupConConfig,
    hears_target,
)
from trainers.protocols import PROTOCOLS, Protocol
from trainers.splits import FOLDS_BY, Partitions, Splits

Folds = Callable[..., tuple[Fold, ...]]
Groups = tuple[tuple[str, ...], ...]

ALL = (high_resource_folds, low_resource_folds, within_folds)
REAL = ("emodb", "urdu", "ravdess")
SOME = range(1, 8)


def cast(women: int, men: int, takes: int = 1) -> list[Utterance]:
    """Speakers W0, W1, … and M0, M1, …, each of whom says one sentence in all emotions."""
    told = {f"W{number}": "female" for number in range(women)} | {f"M{number}": "male" for number in range(men)}
    return [replace(each, gender=told[each.speaker[4:]]) for each in full("toy", list(told), ["one"], takes)]


def speakers_by_group(corpus: str, utterances: Sequence[Utterance], repeat: int) -> list[set[str]]:
    return [{each.speaker for each in group} for group in speaker_groups(corpus, utterances, repeat)]


def unordered(groups: Iterable[Iterable[str]]) -> frozenset[frozenset[str]]:
    return frozenset(map(frozenset, groups))


def genders_of(groups: Sequence[set[str]], utterances: Sequence[Utterance]) -> list[tuple[int, int]]:
    told = {each.speaker: each.gender for each in utterances}
    return [
        (sum(told[one] == "female" for one in group), sum(told[one] == "male" for one in group)) for group in groups
    ]


# --- repeat 0 is what it was: results hang on these fingerprints

HEARING: tuple[MethodConfig, ...] = (
    BaselineConfig(),
    ByolConfig(),
    ByolConfig(unlabelled_on="low"),
    ByolConfig(unlabelled_on="adaptation", unlabelled_cap=7),
    ClConfig(adapt_on="target"),
    ClConfig(adapt_on="low+high", adapt_cap=30),
    ClConfig(adapt_on="adaptation"),
    SupConConfig(),
    SupConConfig(adapt_corpora=1),
    PairwiseConfig(annotations="both"),
)
BEFORE_REPEATS = {
    "demo": "8666543fd99dfba3",
    "demo_within": "9b3392bea82e2d98",
    "demo_corpora": "14a77543cbb2db94",
    "demo_sources": "31f0c06c3bf527c3",
    "open": "f6ccdb752347a268",
    "open_within": "9641058c182a1fdc",
    "open_texts": "228480a6a53c9dfe",
    "xiang2024": "82af4e366c2b0a84",
    "khaertdinov2024": "84c8a55fa78a7dc5",
    "gong2025": "13768c390ef33a34",
}
BEFORE_REPEATS_ON_REAL_SPEECH = {
    "open": "11e63b2700881686",
    "open_within": "ba48ae0266e777c6",
    "open_texts": "67c08ea6338e434b",
}
"""Recorded with the code of commit 46ab58f, which knew no repeats."""


def fingerprints(protocol: str, speech: Unheard) -> str:
    """Hash of the fingerprints of all cells of repeat 0 and of their stages, over kinds of folds and methods."""
    digest = hashlib.sha256()
    for folds_by, config in product(FOLDS_BY, HEARING):
        try:
            splits = Splits(PROTOCOLS[protocol], speech.prepared, folds_by)
        except UserError:
            continue
        for target in splits.languages if splits.own or hears_target(config) else (None,):
            for fold in range(splits.folds(target) if target else 5):
                try:
                    split = splits.of(target, fold, config)
                except UserError:
                    continue
                both = split.fingerprint(speech.prepared), split.stage_fingerprint(speech.prepared)
                digest.update(json.dumps([folds_by, target, fold, *both]).encode())
    return digest.hexdigest()[:16]


@pytest.mark.parametrize("protocol", BEFORE_REPEATS)
def test_the_cells_of_repeat_0_keep_their_fingerprints(protocol: str) -> None:
    demo = protocol.startswith("demo")
    speech = Unheard(clips(PROTOCOLS[protocol].corpora)) if demo else unheard_papers()
    assert fingerprints(protocol, speech) == BEFORE_REPEATS[protocol]


@pytest.mark.parametrize("protocol", BEFORE_REPEATS_ON_REAL_SPEECH)
def test_the_cells_of_repeat_0_keep_their_fingerprints_on_real_speech(data_root: Path, protocol: str) -> None:
    heard = tuple(each for name in REAL for each in scan(data_root, CORPORA[name]).utterances)
    assert fingerprints(protocol, Unheard(heard)) == BEFORE_REPEATS_ON_REAL_SPEECH[protocol]


# --- how many partitions there are


def all_partitions(first: Groups, stratum: dict[str, str]) -> set[frozenset[frozenset[str]]]:
    """By brute force: every way to put each stratum's names into its places."""
    places = [(number, stratum[name]) for number, group in enumerate(first) for name in group]
    found = set()
    for order in permutations(stratum):
        if all(stratum[name] == wanted for name, (_, wanted) in zip(order, places, strict=True)):
            groups: list[set[str]] = [set() for _ in first]
            for name, (number, _) in zip(order, places, strict=True):
                groups[number].add(name)
            found.add(unordered(groups))
    return found


@pytest.mark.parametrize(
    ("sizes", "men"),
    [((2, 2, 2), 3), ((2, 2, 1, 1, 1), 3), ((3, 2, 1), 2), ((1, 1, 1, 1), 2), ((2, 3), 0), ((2, 2), 4)],
)
def test_partitions_are_as_many_as_brute_force_finds_and_repeats_are_all_of_them(
    sizes: tuple[int, ...], men: int
) -> None:
    names = [f"n{number}" for number in range(sum(sizes))]
    stratum = {name: "male" if number % 2 == 0 and number // 2 < men else "female" for number, name in enumerate(names)}
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    first = tuple(tuple(names[end - size : end]) for end, size in zip(ends, sizes, strict=True))
    deal = Deal("toy", first, tuple(stratum.items()))
    every = all_partitions(first, stratum)
    assert count_of(deal) == min(len(every), MOST_REPEATS)
    assert {unordered(partition(deal, repeat)) for repeat in range(len(every))} == every
    with pytest.raises(UserError, match=f"toy has no more than {len(every)} partitions"):
        partition(deal, len(every))


@pytest.mark.parametrize(
    ("women", "men", "expected"),
    [(3, 2, 1), (5, 0, 1), (3, 3, 9), (6, 0, 15), (5, 5, MOST_REPEATS), (12, 12, MOST_REPEATS)],
)
def test_partitions_of_small_casts_are_those_that_one_counts_by_hand(women: int, men: int, expected: int) -> None:
    """W0+M2, W1, W2, M0, M1: any woman with any man. Six women: any two of them together, 6 · 5 / 2."""
    assert partitions("toy", cast(women, men)) == expected


def test_emodb_has_120_pairings_of_women_with_men_and_all_repeats_that_are_offered_differ() -> None:
    pairs = [replace(each, gender="female") for each in full("emodb", ["08", "09", "13", "14", "16"], ["one"])]
    pairs += [replace(each, gender="male") for each in full("emodb", ["03", "10", "11", "12", "15"], ["one"])]
    assert partitions("emodb", pairs) == MOST_REPEATS == 100
    found = {unordered(speakers_by_group("emodb", pairs, repeat)) for repeat in range(100)}
    assert len(found) == 100
    assert all(
        {one[6:] in ("08", "09", "13", "14", "16") for one in pair} == {True, False} for one in found for pair in one
    )


# --- what a repeat is


@pytest.mark.parametrize("kind", ["speaker", "stratified"])
@pytest.mark.parametrize("name", REAL)
def test_in_every_repeat_of_real_speech_each_clip_is_tested_once_and_speakers_are_apart(
    data_root: Path, name: str, kind: str
) -> None:
    known = {each.id: each for each in scan(data_root, CORPORA[name]).utterances}
    for repeat in SOME:
        high, low = (deal(name, list(known.values()), kind=kind, repeat=repeat) for deal in ALL[:2])
        assert sorted(each for fold in low for each in fold.test) == sorted(known)
        assert [fold.index for fold in low] == [fold.index for fold in high] == list(range(5 * repeat, 5 * repeat + 5))
        for r, fold in enumerate(high):
            assert fold.valid == low[r].test
            assert fold.test == low[(r + 1) % 5].test
            assert sorted(fold.train + fold.valid + fold.test) == sorted(known)
        for fold in (*low, *high):
            assert fold.speaker_disjoint == (kind == "speaker")
            parts = [{known[each].speaker for each in part} for part in (fold.train, fold.valid, fold.test)]
            assert (sum(map(len, parts)) == len(set.union(*parts))) == (kind == "speaker")


@pytest.mark.parametrize("name", REAL)
def test_the_groups_of_real_corpora_have_as_many_women_and_men_in_every_repeat(data_root: Path, name: str) -> None:
    utterances = scan(data_root, CORPORA[name]).utterances
    before = genders_of(speakers_by_group(name, utterances, 0), utterances)
    found = [speakers_by_group(name, utterances, repeat) for repeat in range(8)]
    assert all(genders_of(groups, utterances) == before for groups in found)
    assert len({unordered(groups) for groups in found}) == 8
    if name == "ravdess":
        assert before == [(3, 3), (3, 3), (2, 2), (2, 2), (2, 2)]
    if name == "emodb":
        assert before == [(1, 1)] * 5


def test_urdu_repeats_lack_no_more_classes_and_are_nearly_as_even_as_the_published_groups(data_root: Path) -> None:
    """Four speakers are angry, so that one fold must lack that; SM5 has 72 of 100 neutral clips."""
    utterances = scan(data_root, CORPORA["urdu"]).utterances

    def table(repeat: int) -> list[list[int]]:
        groups = speaker_groups("urdu", utterances, repeat)
        return [[Counter(each.emotion for each in group)[emotion] for emotion in EMOTIONS] for group in groups]

    def unevenness(rows: list[list[int]]) -> float:
        return sum((count / 100 - 0.2) ** 2 for row in rows for count in row)

    first = table(0)
    for repeat in SOME:
        rows = table(repeat)
        assert [row.count(0) for row in sorted(rows)].count(1) == 1
        assert sum(row.count(0) for row in rows) == 1
        assert unevenness(rows) <= SLACK * unevenness(first)
        assert 70 / SLACK <= min(map(sum, rows)) <= max(map(sum, rows)) <= 92 * SLACK


def test_repeats_of_the_same_speakers_are_as_different_as_chance_has_it(data_root: Path) -> None:
    """Of RAVDESS's pairs of actors in one group a shuffle keeps about a fifth; a rotation would keep all."""
    utterances = scan(data_root, CORPORA["ravdess"]).utterances
    together = [
        {frozenset((a, b)) for group in speakers_by_group("ravdess", utterances, repeat) for a in group for b in group}
        for repeat in range(12)
    ]
    pairs = [{pair for pair in found if len(pair) == 2} for found in together]
    kept = [len(one & other) / len(one) for one, other in permutations(pairs, 2)]
    assert 0.12 < sum(kept) / len(kept) < 0.24


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 9), st.integers(0, 9), st.integers(1, 4), st.randoms(use_true_random=False))
def test_any_cast_has_repeats_that_part_it_in_whatever_order_its_clips_come(
    women: int, men: int, repeat: int, random: Random
) -> None:
    assume(women + men >= 5)
    utterances = cast(women, men, takes=2)
    assume(repeat < partitions("toy", utterances))
    mixed = random.sample(utterances, len(utterances))
    for deal in ALL:
        made = deal("toy", utterances, repeat=repeat)
        assert deal("toy", mixed, repeat=repeat) == made
        assert sorted(each for fold in made for each in fold.test) == sorted(each.id for each in utterances)
        assert all(fold.speaker_disjoint for fold in made)
    groups = [speakers_by_group("toy", utterances, number) for number in range(repeat + 1)]
    assert len({unordered(found) for found in groups}) == repeat + 1
    assert genders_of(groups[repeat], utterances) == genders_of(groups[0], utterances)


def test_random_folds_are_ten_even_tenths_of_every_class_in_every_repeat() -> None:
    known = {each.id: each for each in casia()}
    found = set()
    for repeat in range(4):
        folds = within_folds("casia", list(known.values()), kind="random", repeat=repeat)
        assert [fold.index for fold in folds] == list(range(10 * repeat, 10 * repeat + 10))
        assert sorted(each for fold in folds for each in fold.test) == sorted(known)
        for r, fold in enumerate(folds):
            assert fold.valid == folds[(r + 1) % 10].test
            assert Counter(known[each].emotion for each in fold.test) == dict.fromkeys(EMOTIONS, 20)
            found.add(frozenset(fold.test))
    assert len(found) == 40


@pytest.mark.parametrize("corpus", ["demo_home", "demo_arda", "demo_bela", "demo_cyra"])
def test_by_sentence_no_voice_and_no_sentence_of_the_test_is_heard_before_in_any_repeat(corpus: str) -> None:
    known = {each.id: each for each in clips([corpus])}
    sentences = set()
    for repeat in range(6):
        for deal in ALL:
            for fold in deal(corpus, list(known.values()), kind="speaker+sentence", repeat=repeat):
                require_apart(fold, known)
                assert {known[each].emotion for each in fold.test} == set(EMOTIONS)
        folds = low_resource_folds(corpus, list(known.values()), kind="speaker+sentence", repeat=repeat)
        sentences.add(unordered([{known[each].text for each in fold.test} for fold in folds]))
    assert len(sentences) == 6


def test_where_any_deal_of_the_sentences_is_as_good_each_repeat_has_its_own() -> None:
    """Everybody says everything, so that it cannot be the speakers of the turns that make the difference."""
    known = {each.id: each for each in subesco()}
    deals = []
    for repeat in range(6):
        folds = low_resource_folds("subesco", list(known.values()), kind="speaker+sentence", repeat=repeat)
        deals.append([{known[each].text for each in fold.test} for fold in folds])
        assert sorted(text for group in deals[-1] for text in group) == [f"{number:02d}" for number in range(1, 11)]
        assert [len(group) for group in deals[-1]] == [2] * 5
    assert len({unordered(deal) for deal in deals}) == 6


@pytest.mark.parametrize("name", ["emodb", "ravdess"])
def test_by_sentence_every_repeat_of_real_speech_tests_all_classes(data_root: Path, name: str) -> None:
    known = {each.id: each for each in scan(data_root, CORPORA[name]).utterances}
    for repeat in SOME:
        for fold in high_resource_folds(name, list(known.values()), kind="speaker+sentence", repeat=repeat):
            require_apart(fold, known)
            for part in (fold.train, fold.valid, fold.test):
                assert {known[each].emotion for each in part} == set(EMOTIONS)


# --- always the same ones


def test_a_repeat_is_dealt_by_hashes_of_repeat_try_and_name() -> None:
    """The places of women, in the order of the groups, go to the women in the order of their hashes, from the last."""
    utterances = cast(5, 5)
    digest = {each.speaker: hashlib.sha256(f"3/0/{each.speaker}".encode()).hexdigest() for each in utterances}
    women, men = (
        sorted((who for who in digest if who[4] == letter), key=digest.__getitem__, reverse=True) for letter in "WM"
    )
    assert speakers_by_group("toy", utterances, 3) == [{woman, man} for woman, man in zip(women, men, strict=True)]


def test_emodbs_second_partition_is_this_one_for_ever(data_root: Path) -> None:
    utterances = scan(data_root, CORPORA["emodb"]).utterances
    groups = speakers_by_group("emodb", utterances, 1)
    found = [sorted(who.removeprefix("emodb:") for who in group) for group in groups]
    assert found == [["03", "16"], ["13", "15"], ["08", "12"], ["10", "14"], ["09", "11"]]


PROGRAM = """
import hashlib, sys
from tests.test_repeats import clips, low_resource_folds
for kind in ("speaker", "speaker+sentence", "stratified"):
    folds = low_resource_folds("demo_arda", clips(["demo_arda"]), kind=kind, repeat=int(sys.argv[1]))
    print(hashlib.sha256(repr(folds).encode()).hexdigest())
"""


@pytest.mark.slow
def test_another_process_deals_the_same_repeat() -> None:
    root = Path(__file__).resolve().parents[1]
    told = []
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "4"],
            cwd=root,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(root)},
            capture_output=True,
            text=True,
            check=True,
        )
        told.append(done.stdout.split())
    here = [
        hashlib.sha256(
            repr(low_resource_folds("demo_arda", clips(["demo_arda"]), kind=kind, repeat=4)).encode()
        ).hexdigest()
        for kind in ("speaker", "speaker+sentence", "stratified")
    ]
    assert told == [here, here]


# --- where there are none


def test_whoever_has_only_one_partition_has_no_repeats_and_is_told_why() -> None:
    split = [replace(each, split=("train", "valid", "test")[number % 3]) for number, each in enumerate(cast(4, 4))]
    told = [replace(each, fold=number % 5) for number, each in enumerate(cast(4, 4))]
    iemocap = [each for each in unheard_papers().utterances if each.corpus == "iemocap"]
    for corpus, utterances, why in (
        ("casia", casia(), "is too small for a second partition"),
        ("toy", cast(3, 2), "is too small for a second partition"),
        ("toy", split, "is heard by its published split"),
        ("toy", told, "tells its folds"),
        ("iemocap", iemocap, "has sessions that stay together"),
    ):
        assert partitions(corpus, utterances) == 1
        assert only_partition(corpus, utterances) == why
        for deal in ALL:
            with pytest.raises(UserError, match=f"repeat is 1; {corpus} has 1 of folds by speaker, from 0: it {why}"):
                deal(corpus, utterances, repeat=1)
        assert partitions(corpus, utterances, kind="random") > 1


def test_a_repeat_that_is_not_there_is_answered_with_how_many_there_are() -> None:
    for repeat in (9, -1):
        with pytest.raises(UserError, match=f"repeat is {repeat}; toy has 9 of folds by speaker, from 0"):
            low_resource_folds("toy", cast(3, 3), repeat=repeat)
    with pytest.raises(UserError, match="repeat is 100; subesco has 100 of folds by speaker, from 0"):
        low_resource_folds("subesco", subesco(), repeat=100)


def test_of_an_urdu_copy_with_few_even_partitions_the_repeat_that_is_one_too_many_is_refused() -> None:
    """Five speakers of all emotions and one who is sad once: alone in a group that one would lack three classes, so of
    6 · 5 / 2 pairs only the five with that speaker will do."""
    cast_of = ("SM2", "SF10", "SF11", "SF1", "SF6")
    utterances = full("urdu", cast_of, ["one"], takes=10)
    utterances.append(clip("SM20", "one", corpus="urdu"))
    found = {unordered(speakers_by_group("urdu", utterances, repeat)) for repeat in range(5)}
    pairs = {pair for groups in found for pair in groups if len(pair) == 2}
    assert pairs == {frozenset({f"urdu:{who}", "urdu:SM20"}) for who in cast_of}
    with pytest.raises(UserError, match="urdu has no more than 5 partitions as even as its first"):
        low_resource_folds("urdu", utterances, repeat=5)


def test_a_speaker_whose_gender_some_clips_leave_out_stands_in_one_group() -> None:
    utterances = [replace(each, gender="" if each.emotion == "sad" else each.gender) for each in cast(4, 4)]
    for repeat in (0, 1):
        groups = speakers_by_group("toy", utterances, repeat)
        assert sum(map(len, groups)) == len(set.union(*groups)) == 8


# --- a protocol's repeats


def test_a_repeat_of_a_protocol_deals_all_its_corpora_anew_and_each_plays_its_role() -> None:
    speech = unheard_demo()
    splits = Splits(PROTOCOLS["demo"], speech.prepared)
    clips_of = {name: [each for each in speech.utterances if each.corpus == name] for name in PROTOCOLS["demo"].corpora}
    assert splits.max_repeats == MOST_REPEATS
    for fold in (5, 9, 13):
        repeat, number = divmod(fold, 5)
        high = high_resource_folds("demo_home", clips_of["demo_home"], repeat=repeat)[number]
        low = {
            name: low_resource_folds(f"demo_{name}", clips_of[f"demo_{name}"], repeat=repeat)
            for name in ("arda", "bela", "cyra")
        }
        split = splits.of("demo-arda", fold, ByolConfig())
        assert (split.labelled, split.valid["hrl"]) == (high.train, high.valid)
        assert split.test == {"demo-arda": low["arda"][number].test, "demo-home": high.test}
        assert split.unlabelled == {"demo-arda": low["arda"][number].train}
        beside = (number + 1) % 5
        assert split.valid["other-languages"] == low["bela"][beside].test + low["cyra"][beside].test
        assert splits.unlabelled("demo-cyra", fold) == low["cyra"][number].train
        both = splits.of(None, fold, BaselineConfig())
        assert {name: both.test[f"demo-{name}"] for name in low} == {name: low[name][number].test for name in low}


def test_over_the_folds_of_a_repeat_every_clip_of_every_language_is_tested_once() -> None:
    speech = unheard_demo()
    splits = Splits(PROTOCOLS["demo"], speech.prepared, "stratified")
    for repeat in range(3):
        cells = [splits.of(None, 5 * repeat + number, BaselineConfig()) for number in range(5)]
        for language in (*splits.languages, "demo-home"):
            tested = [each for split in cells for each in split.test[language]]
            assert sorted(tested) == sorted(each.id for each in speech.utterances if each.language == language)


@pytest.mark.parametrize("folds_by", ["speaker", "random"])
def test_within_corpora_a_cell_of_a_repeat_is_tested_on_the_same_repeat_of_the_others(folds_by: str) -> None:
    speech = Unheard(clips(PROTOCOLS["demo_corpora"].corpora))
    splits = Splits(PROTOCOLS["demo_corpora"], speech.prepared, folds_by)
    folds = splits.folds("demo-home")
    assert folds == (10 if folds_by == "random" else 5)
    for fold in (folds, 2 * folds + 3):
        repeat, number = divmod(fold, folds)
        split = splits.of("demo-arda", fold, SupConConfig())
        for language in splits.languages:
            corpus = language.replace("-", "_")
            own = [each for each in speech.utterances if each.corpus == corpus]
            dealt = within_folds(corpus, own, kind=folds_by, repeat=repeat)[number]
            assert split.test[language] == dealt.test
            assert split.stage[language] == dealt.train
        assert split.valid["target"] == splits.own["demo-arda"][fold].valid


def test_a_protocol_has_as_many_repeats_as_the_corpus_with_the_fewest_partitions() -> None:
    papers = unheard_papers()
    for protocol, folds_by, line in (
        ("gong2025", "speaker", "repeats is 2; it must be 1: msp_podcast is heard by its published split"),
        ("xiang2024", "speaker", "repeats is 2; it must be 1: iemocap has sessions that stay together"),
        ("open", "speaker", "repeats is 101; it must be 1 to 100: more would make no interval narrower"),
        ("xiang2024", "random", "repeats is 101; it must be 1 to 100: more would make no interval narrower"),
    ):
        splits = Splits(PROTOCOLS[protocol], papers.prepared, folds_by)
        splits.require_repeats(splits.max_repeats)
        with pytest.raises(UserError) as refused:
            splits.require_repeats(splits.max_repeats + 1)
        assert str(refused.value) == line
    nine = Unheard((*clips(["demo_home"]), *(replace(each, corpus="toy", language="toyish") for each in cast(3, 3))))
    splits = Splits(Protocol("p", ("demo_home",), ("toy",)), nine.prepared)
    assert splits.max_repeats == 9
    with pytest.raises(UserError, match="repeats is 0; it must be 1 to 9: toy has no more partitions"):
        splits.require_repeats(0)


def test_a_fold_beyond_the_last_repeat_is_answered_with_the_choices() -> None:
    demo, papers = unheard_demo(), unheard_papers()
    for splits, fold, line in (
        (
            Splits(PROTOCOLS["demo"], demo.prepared),
            500,
            "unknown fold '500'; there are: 0, 1, 2, 3, 4, and on to 499 in repeats",
        ),
        (Splits(PROTOCOLS["gong2025"], papers.prepared), 5, "unknown fold '5'; there are: 0, 1, 2, 3, 4"),
    ):
        with pytest.raises(UserError) as refused:
            splits.of(None, fold, BaselineConfig())
        assert str(refused.value) == line


def test_each_repeat_is_dealt_once_and_not_before_it_is_asked_for() -> None:
    asked: list[int] = []

    def deal(*, repeat: int) -> tuple[Fold, ...]:
        asked.append(repeat)
        return tuple(Fold(5 * repeat + number, ("a",), (), (f"{repeat}.{number}",)) for number in range(5))

    folds = Partitions(deal)
    assert [folds[number].test[0] for number in (2, 17, 0, 15, 2)] == ["0.2", "3.2", "0.0", "3.0", "0.2"]
    assert folds.count == 5
    assert asked == [0, 3]
