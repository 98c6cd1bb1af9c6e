"""Common Voice: the official lists, real mp3s, every spelling of gender, and whole speakers under a cap."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.tiny_audio import Sounds
from trainers.corpora import CORPORA
from trainers.corpora.common_voice import CAP, corpus_of, labels_in
from trainers.corpora.prepared import prepare
from trainers.corpora.recordings import UnreadableError, decode
from trainers.corpora.scan import Scan, scan
from trainers.corpora.utterance import Labels, LeftOut
from trainers.errors import UserError

OLD = "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tvariant\tlocale\tsegment"
NEW = OLD.replace("\tsentence\t", "\tsentence_id\tsentence\tsentence_domain\t")
GENDERS = {
    "": "",
    "male": "male",
    "female": "female",
    "other": "",
    "male_masculine": "male",
    "female_feminine": "female",
    "transgender": "",
    "non-binary": "",
    "intersex": "",
    "do_not_wish_to_say": "",
    "Female": "female",
}


def client(name: str) -> str:
    """128 letters, as the ids have, of which the first 16 tell speakers apart."""
    return f"{name + 'x':0<128}"


def row(who: str, number: int, gender: str = "", sentence: str = "Guten Tag.", locale: str = "de") -> str:
    path = f"common_voice_{locale}_{number}.mp3"
    return "\t".join((client(who), path, sentence, "2", "0", "twenties", gender, "", "", locale, ""))


def newer(line: str) -> str:
    first, path, sentence, *others = line.split("\t")
    return "\t".join((first, path, "a1b2", sentence, "general", *others))


def write(root: Path, locale: str = "de", header: str = OLD, **lists: tuple[str, ...]) -> Sounds:
    """The lists given, the others empty, and a clip for every row; the locale's folder."""
    sounds = Sounds(root / "common_voice" / locale)
    for name in ("train", "dev", "test", *lists):
        sounds.text(f"{name}.tsv", header, *lists.get(name, ()))
    for line in (line for lines in lists.values() for line in lines):
        if not (sounds.root / "clips" / line.split("\t")[1]).exists():
            sounds.at(f"clips/{line.split(chr(9))[1]}", rate_hz=16_000)
    return sounds


def found(root: Path, locale: str = "de", cap: int = CAP) -> Scan:
    return scan(root, corpus_of(locale, cap))


@pytest.mark.parametrize(("locale", "language"), [("de", "german"), ("ur", "urdu"), ("bn", "bangla")])
def test_each_locale_is_a_corpus_of_its_language_without_emotions(tmp_path: Path, locale: str, language: str) -> None:
    write(tmp_path, locale, train=(row("a", 1, locale=locale),))
    (clip,) = scan(tmp_path, CORPORA[f"common_voice_{locale}"]).utterances
    assert (clip.language, clip.emotion) == (language, "")
    assert clip.path == f"common_voice/{locale}/clips/common_voice_{locale}_1.mp3"


def test_the_official_split_is_kept_and_clips_of_other_lists_are_left_out(tmp_path: Path) -> None:
    write(
        tmp_path,
        train=(row("a", 1), row("a", 2)),
        dev=(row("b", 3),),
        test=(row("c", 4),),
        validated=(row("a", 1), row("d", 5)),
        other=(row("e", 6),),
    )
    told = found(tmp_path)
    assert [(clip.speaker.removeprefix("common_voice_de:"), clip.split) for clip in told.utterances] == [
        (client("a")[:16], "train"),
        (client("a")[:16], "train"),
        (client("b")[:16], "valid"),
        (client("c")[:16], "test"),
    ]
    assert Counter(told.left_out.values()) == {"no label file lists it": 2}


@pytest.mark.parametrize(("spelt", "gender"), GENDERS.items())
@pytest.mark.parametrize("header", [OLD, NEW])
def test_every_spelling_of_gender_is_understood(tmp_path: Path, header: str, spelt: str, gender: str) -> None:
    line = row("a", 1, spelt, 'Sie sagte: "Ja.')
    sounds = Sounds(tmp_path)
    for name in ("train", "dev", "test"):
        sounds.text(f"{name}.tsv", header, *([line if header == OLD else newer(line)] if name == "train" else []))
    (labels,) = labels_in(tmp_path).values()
    assert labels == Labels(client("a")[:16], gender, "", 'Sie sagte: "Ja.', "train")


@pytest.mark.parametrize(
    ("told", "gender"), [(("female", "", "female_feminine"), "female"), (("male", "female"), ""), (("", "other"), "")]
)
def test_a_speakers_gender_holds_for_all_their_clips_unless_they_tell_two(
    tmp_path: Path, told: tuple[str, ...], gender: str
) -> None:
    write(tmp_path, train=tuple(row("a", number, spelt) for number, spelt in enumerate(told)))
    assert {clip.gender for clip in found(tmp_path).utterances} == {gender}


def test_an_mp3_is_decoded_to_the_sound_that_it_is(tmp_path: Path) -> None:
    sounds = write(tmp_path, train=(row("a", 1),))
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(96_000) / 48_000)
    path = sounds.root / "clips" / "common_voice_de_1.mp3"
    soundfile.write(path, tone, 48_000, format="MP3")
    samples = prepare(tmp_path, ["common_voice_de"], tmp_path / "store").samples(0)
    (clip,) = found(tmp_path).utterances
    assert clip.duration_s == pytest.approx(2, abs=0.06)
    spectrum = np.abs(np.fft.rfft(samples[4000:20_000]))
    assert np.argmax(spectrum) == 440
    assert np.abs(samples[4000:20_000]).max() == pytest.approx(0.5, abs=0.02)


def clips_of(speakers: dict[str, int]) -> tuple[str, ...]:
    number = iter(range(10_000))
    return tuple(row(who, next(number)) for who, count in speakers.items() for _ in range(count))


@pytest.mark.parametrize("cap", [5, 12, 30, 79])
def test_whole_speakers_are_taken_up_to_the_cap_and_the_others_said(tmp_path: Path, cap: int) -> None:
    speakers = {f"s{number}": 1 + number % 5 for number in range(30)}
    write(tmp_path, train=clips_of(speakers))
    told = found(tmp_path, cap=cap)
    taken = Counter(clip.speaker.removeprefix("common_voice_de:") for clip in told.utterances)
    assert taken.items() <= {client(who)[:16]: count for who, count in speakers.items()}.items()
    assert cap - 5 < len(told.utterances) <= cap
    assert Counter(told.left_out.values()) == {
        f"its speaker is beyond the {cap} clips taken": sum(speakers.values()) - len(told.utterances)
    }


def test_who_is_taken_depends_neither_on_the_order_of_rows_nor_on_the_split(tmp_path: Path) -> None:
    lines = clips_of({f"s{number}": 2 for number in range(20)})
    write(tmp_path / "a", train=lines)
    write(tmp_path / "b", train=lines[20:30], dev=lines[:20], test=lines[:29:-1])
    first, second = (found(tmp_path / root, cap=15).utterances for root in "ab")
    assert [clip.path for clip in first] == [clip.path for clip in second]
    assert len(first) == 14


def test_a_growing_corpus_keeps_most_of_its_speakers(tmp_path: Path) -> None:
    before = {f"s{number}": 1 for number in range(40)}
    write(tmp_path / "a", train=clips_of(before))
    write(tmp_path / "b", train=clips_of(before | {"t0": 1, "t1": 1}))
    first, second = ({clip.speaker for clip in found(tmp_path / root, cap=20).utterances} for root in "ab")
    assert len(first & second) >= 18


def test_speakers_whose_short_names_are_the_same_keep_their_long_ones(tmp_path: Path) -> None:
    ids = ("0" * 100 + "a", "0" * 100 + "b")
    write(tmp_path, train=tuple(row(who, number) for number, who in enumerate(ids)))
    assert {clip.speaker for clip in found(tmp_path).utterances} == {f"common_voice_de:{client(who)}" for who in ids}


def test_an_mp3_whose_header_promises_terabytes_of_sound_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "promise.mp3"
    soundfile.write(path, np.zeros(16_000, np.float32), 16_000)
    content = bytearray(path.read_bytes())
    frames_at = content.index(b"Xing") + 8  # after the mark and its flags
    content[frames_at : frames_at + 4] = b"\x7f\xff\xff\xff"
    path.write_bytes(content)
    with pytest.raises(UnreadableError, match="Unable to allocate "):
        decode(path)


def test_a_path_without_suffix_is_an_mp3_as_in_the_first_versions(tmp_path: Path) -> None:
    write(tmp_path, train=(row("a", 1),))
    file = tmp_path / "common_voice" / "de" / "train.tsv"
    file.write_text(file.read_text().replace(".mp3", ""))
    assert len(found(tmp_path).utterances) == 1


def test_a_clip_that_is_taken_must_be_there_and_one_beyond_the_cap_need_not(tmp_path: Path) -> None:
    sounds = write(tmp_path, train=clips_of({f"s{number}": 1 for number in range(4)}))
    table = labels_in(sounds.root, 2)
    for path in table:
        (sounds.root / path).unlink()
    sounds.at("clips/common_voice_de_99.mp3", rate_hz=16_000)
    missing = found(tmp_path, cap=2).unreadable
    drawn = {f"common_voice/de/{path}" for path, labels in table.items() if not isinstance(labels, LeftOut)}
    assert missing == dict.fromkeys(drawn, "the label files list it, but it is not there")
    assert len(missing) == 2


def test_all_bad_rows_are_said_at_once(tmp_path: Path) -> None:
    sounds = write(
        tmp_path,
        train=(row("a", 1), row("", 2).removeprefix(client("")), row("a", 3)),
        dev=("too\tshort.mp3", row("b", 3)),
    )
    with (sounds.root / "test.tsv").open("ab") as file:
        file.write(row("c", 4, sentence="Grüße").encode("latin-1"))
    with pytest.raises(UserError) as refused:
        found(tmp_path)
    assert str(refused.value).splitlines() == [
        "common_voice/de has 4 errors:",
        "train.tsv line 3: client_id is empty",
        "dev.tsv line 2: it has 2 fields, the header 11",
        "test.tsv line 2: it is not UTF-8",
        "clips/common_voice_de_3.mp3 is listed 2 times",
    ]


def test_a_missing_list_or_column_is_refused_in_one_line(tmp_path: Path) -> None:
    sounds = write(tmp_path, train=(row("a", 1),))
    (sounds.root / "dev.tsv").write_text("path\tsentence\n")
    with pytest.raises(UserError, match=r"dev.tsv lacks column client_id, gender; it must have client_id, path, "):
        found(tmp_path)
    (sounds.root / "dev.tsv").unlink()
    with pytest.raises(UserError, match=r"^cannot read .*dev.tsv: No such file or directory$"):
        found(tmp_path)


def test_locale_and_cap_are_checked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown locale 'en'; there are: bn, de, ur"):
        corpus_of("en")
    with pytest.raises(UserError, match="cap is 0; it must be at least 1"):
        corpus_of("de", 0)
    write(tmp_path, train=clips_of({"a": 3}))
    with pytest.raises(UserError, match=r"every speaker below .* has more than 2 clips"):
        found(tmp_path, cap=2)
