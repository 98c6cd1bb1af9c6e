"""A corpus of one's own: what a manifest may say, and that all that is wrong in one is said at once."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.tiny_audio import Sounds
from trainers.corpora.folds import low_resource_folds
from trainers.corpora.label_files import SHOWN
from trainers.corpora.manifest import OPTIONAL, REQUIRED, is_manifest, manifest_corpus
from trainers.corpora.scan import scan
from trainers.corpora.utterance import FURTHER_EMOTIONS, Utterance
from trainers.errors import UserError

GOOD = {"path": "a.wav", "language": "german", "speaker": "anna", "gender": "female", "emotion": "happy"}


def good(**changes: object) -> dict[str, object]:
    return GOOD | changes


def write(root: Path, rows: Sequence[Mapping[str, object]], columns: Sequence[str] = (), name: str = "mine") -> Path:
    """`manifest.csv` with these rows, and a recording for every plain path among them; the folder."""
    columns = columns or list(dict.fromkeys(column for row in rows for column in row))
    sounds = Sounds(root / name)
    for row in rows:
        path = str(row.get("path", ""))
        if (
            path.endswith(".wav")
            and ".." not in path
            and not path.startswith("/")
            and not (root / name / path).exists()
        ):
            sounds.at(path)
    lines = [",".join(f'"{row.get(column, "")}"' for column in columns) for row in rows]
    return sounds.text("manifest.csv", ",".join(columns), *lines).parent


def refusal(root: Path, name: str = "mine") -> list[str]:
    with pytest.raises(UserError) as refused:
        manifest_corpus(root, name)
    return str(refused.value).splitlines()


def found(root: Path) -> tuple[Utterance, ...]:
    told = scan(root, manifest_corpus(root, "mine"))
    assert not told.unreadable
    return told.utterances


def test_a_row_becomes_an_utterance(tmp_path: Path) -> None:
    write(tmp_path, [good(path="day 1/ä.wav", text='Er sagt: ""Ja, bald.""')])
    text = 'Er sagt: "Ja, bald."'
    assert found(tmp_path) == (
        Utterance("mine/day 1/ä.wav", "mine", "german", "mine:anna", "female", "happy", 0.6, text),
    )
    write(tmp_path, [good(split="valid", fold="3", emotion="fear", gender="", path="./day 1//ä.wav")])
    assert found(tmp_path) == (
        Utterance("mine/day 1/ä.wav", "mine", "german", "mine:anna", "", "fear", 0.6, "", "valid", 3),
    )


@pytest.mark.parametrize("emotion", ["", *FURTHER_EMOTIONS])
def test_clips_without_a_label_or_with_one_beyond_the_four_are_kept_as_such(tmp_path: Path, emotion: str) -> None:
    write(tmp_path, [good(), good(path="b.wav", emotion=emotion)])
    assert [clip.emotion for clip in found(tmp_path)] == ["happy", emotion]
    assert manifest_corpus(tmp_path, "mine").further_emotions == (emotion,)


def test_recordings_that_the_manifest_does_not_list_are_left_out_and_said(tmp_path: Path) -> None:
    folder = write(tmp_path, [good()])
    Sounds(folder).at("b.wav")
    assert scan(tmp_path, manifest_corpus(tmp_path, "mine")).left_out == {"mine/b.wav": "no label file lists it"}


def test_limits_of_length_hold_as_for_every_corpus(tmp_path: Path) -> None:
    folder = write(tmp_path, [good()])
    Sounds(folder).at("b.wav", seconds=12.5)
    write(tmp_path, [good(), good(path="b.wav")])
    assert scan(tmp_path, manifest_corpus(tmp_path, "mine")).left_out == {"mine/b.wav": "longer than 12 s"}


@pytest.mark.parametrize(
    ("fold", "typed"),
    [([0, 4], pa.int64()), ([0.0, 4.0], pa.float64()), (["0", "4"], pa.string()), ([0, 4], pa.int8())],
)
def test_parquet_says_the_same_as_csv(tmp_path: Path, fold: list[Any], typed: pa.DataType) -> None:
    rows = [good(text="x", fold="0"), good(path="b.wav", speaker="7", gender="", fold="4")]
    folder = write(tmp_path, rows)
    told = found(tmp_path)
    columns: dict[str, Any] = {column: [row[column] for row in rows] for column in ("path", "language", "emotion")}
    columns |= {"gender": ["female", None], "speaker": ["anna", "7"], "text": ["x", None]}
    (folder / "manifest.csv").unlink()
    pq.write_table(pa.table(columns | {"fold": pa.array(fold, typed)}), folder / "manifest.parquet")
    assert found(tmp_path) == told


def test_numbers_in_parquet_are_names_too_and_gaps_are_empty(tmp_path: Path) -> None:
    folder = write(tmp_path, [good(), good(path="b.wav")])
    (folder / "manifest.csv").unlink()
    columns = {"path": ["a.wav", "b.wav"], "language": ["german"] * 2, "emotion": ["sad", None]}
    columns |= {"speaker": [7, 8], "gender": ["female", None], "fold": [1.0, float("nan")]}
    pq.write_table(pa.table(columns), folder / "manifest.parquet")
    assert refusal(tmp_path)[1:] == [
        "manifest.parquet row 2: fold is empty, in other rows it is not; give it in all rows or in none"
    ]
    pq.write_table(pa.table({**columns, "fold": [1.0, 2.0]}), folder / "manifest.parquet")
    assert [(clip.speaker, clip.gender, clip.emotion, clip.fold) for clip in found(tmp_path)] == [
        ("mine:7", "female", "sad", 1),
        ("mine:8", "", "", 2),
    ]


BAD = [
    (good(path=""), "path is empty"),
    (good(path="../b.wav"), "path '../b.wav' leads out of the folder; it must lie below it"),
    (good(path="x/../a.wav"), "path 'x/../a.wav' leads out of the folder; it must lie below it"),
    (good(path="/etc/passwd"), "path '/etc/passwd' leads out of the folder; it must lie below it"),
    (good(path="nowhere.mp3"), "path 'nowhere.mp3' is no file"),
    (good(path="."), "path '.' is no file"),
    (good(path="n" * 300), f"path '{'n' * 300}' is no file"),
    (good(path="manifest.csv"), "path 'manifest.csv' has no suffix of a recording; there are: .aif, .aifc, "),
    (good(language=""), "language is ''; it must be small letters, digits and hyphens"),
    (good(language="German"), "language is 'German'; it must be small letters, digits and hyphens"),
    (good(speaker=" "), "speaker is empty"),
    (good(gender="f"), "gender is 'f'; it must be female, male or empty"),
    (good(emotion="hapy"), "emotion is 'hapy'; it must be angry, happy, neutral, sad, boredom, calm, "),
    (good(split="dev"), "split is 'dev'; it must be train, valid, test or empty"),
    (good(fold="5"), "fold is '5'; it must be 0, 1, 2, 3, 4 or empty"),
    (good(fold="-1"), "fold is '-1'; it must be 0, 1, 2, 3, 4 or empty"),
    (good(fold="1.5"), "fold is '1.5'; it must be 0, 1, 2, 3, 4 or empty"),
]


@pytest.mark.parametrize(("row", "rule"), BAD)
def test_a_bad_value_is_named_with_its_row_and_its_rule(tmp_path: Path, row: dict[str, object], rule: str) -> None:
    write(tmp_path, [row], (*REQUIRED, *OPTIONAL))
    counted, told = refusal(tmp_path)
    assert counted == "corpus mine has 1 error:"
    assert told.startswith(f"manifest.csv line 2: {rule}")


def test_all_errors_are_listed_at_once_those_of_single_rows_first(tmp_path: Path) -> None:
    rows = [good(path="a.wav"), *(row for row, _ in BAD if row["language"] == "german")]
    write(tmp_path, [row | {"split": row.get("split", "train"), "fold": row.get("fold", "0")} for row in rows])
    counted, *told = refusal(tmp_path)
    rules = [rule for row, rule in BAD if row["language"] == "german"]
    assert counted == f"corpus mine has {len(told)} errors:"
    for line, (number, rule) in zip(told, enumerate(rules, start=3), strict=False):
        assert line.startswith(f"manifest.csv line {number}: {rule}")
    assert told[len(rules)] == "manifest.csv line 11: path 'a.wav' is listed in line 2 already"


@pytest.mark.parametrize("bad", [SHOWN, SHOWN + 1, 3 * SHOWN])
def test_fifty_errors_are_shown_and_the_rest_are_counted(tmp_path: Path, bad: int) -> None:
    write(tmp_path, [good(path=f"{number}.flac") for number in range(bad)])
    counted, *told = refusal(tmp_path)
    assert counted == f"corpus mine has {bad} errors:"
    assert told[:SHOWN] == [f"manifest.csv line {n + 2}: path '{n}.flac' is no file" for n in range(SHOWN)]
    assert told[SHOWN:] == ([f"and {bad - SHOWN} more"] if bad > SHOWN else [])


@pytest.mark.parametrize("again", ["a.wav", "./a.wav", ".//a.wav"])
def test_a_recording_listed_twice_is_refused_however_it_is_spelt(tmp_path: Path, again: str) -> None:
    write(tmp_path, [good(), good(path="b.wav"), good(path=again)])
    assert refusal(tmp_path)[1:] == [f"manifest.csv line 4: path {again!r} is listed in line 2 already"]


def test_a_speaker_of_two_genders_is_refused_and_one_that_is_sometimes_unknown_is_not(tmp_path: Path) -> None:
    write(tmp_path, [good(), good(path="b.wav", gender=""), good(path="c.wav", gender="male")])
    assert refusal(tmp_path)[1:] == ["manifest.csv line 4: speaker 'anna' is male, but female in line 2"]
    write(tmp_path, [good(), good(path="b.wav", gender="")])
    assert len(found(tmp_path)) == 2


def test_several_languages_are_refused_with_the_way_out(tmp_path: Path) -> None:
    write(tmp_path, [good(), good(path="b.wav", language="urdu"), good(path="c.wav", language="urdu")])
    assert refusal(tmp_path)[1:] == [
        "manifest.csv has 2 languages: 'german' (line 2), 'urdu' (line 3); a manifest has one, make a folder for each"
    ]


@pytest.mark.parametrize(("column", "value"), [("split", "test"), ("fold", "0")])
def test_a_split_or_a_fold_of_some_rows_only_is_refused(tmp_path: Path, column: str, value: str) -> None:
    write(tmp_path, [good(**{column: value}), good(path="b.wav"), good(path="c.wav")])
    assert refusal(tmp_path)[1:] == [
        f"manifest.csv line 3: {column} is empty, in other rows it is not; give it in all rows or in none"
    ]


def test_links_neither_lead_out_nor_through(tmp_path: Path) -> None:
    outside = Sounds(tmp_path / "outside")
    outside.at("secret.wav")
    folder = write(tmp_path, [good(), good(path="real/b.wav", speaker="bo")])
    (folder / "link.wav").symlink_to(outside.root / "secret.wav")
    (folder / "inside.wav").symlink_to(folder / "a.wav")
    (folder / "out").symlink_to(outside.root)
    (folder / "through").symlink_to(folder / "real")
    paths = ("link.wav", "inside.wav", "out/secret.wav", "through/b.wav")
    (folder / "manifest.csv").write_text(
        "\n".join([",".join(GOOD), *(",".join(map(str, good(path=path).values())) for path in paths)])
    )
    assert refusal(tmp_path)[1:] == [
        "manifest.csv line 2: path 'link.wav' leads out of the folder by a link",
        "manifest.csv line 4: path 'out/secret.wav' leads out of the folder by a link",
        "manifest.csv line 5: path 'through/b.wav' lies in a linked folder, which is not entered",
    ]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (",".join(REQUIRED), "lists no recording"),
        ("", "lacks column path, language, speaker, gender, emotion; it must have "),
        ("path,language,speaker,emotion", "lacks column gender; it must have path, language, speaker, gender, emotion"),
        (",".join((*REQUIRED, "spilt")), r"'spilt'; there are: emotion, fold, gender, language, path, speaker, split"),
        (",".join((*REQUIRED, "path")), "has column path twice"),
        (f'{",".join(REQUIRED)}\n"a.wav', "unexpected end of data"),
    ],
)
def test_a_manifest_that_is_no_table_of_these_columns_is_refused_in_one_line(
    tmp_path: Path, text: str, cause: str
) -> None:
    Sounds(tmp_path).text("mine/manifest.csv", text)
    (told,) = refusal(tmp_path)
    assert cause in told


def test_rows_of_another_width_or_encoding_are_listed_with_the_others(tmp_path: Path) -> None:
    folder = write(tmp_path, [good()])
    with (folder / "manifest.csv").open("ab") as file:
        file.write("b.wav,german\n\nc.wav,german,Zoë,female,happy\nd.wav,german,dan,male,hapy\n".encode("latin-1"))
    counted, width, encoding, path, emotion = refusal(tmp_path)
    assert counted == "corpus mine has 4 errors:"
    assert width == "manifest.csv line 3: it has 2 fields, the header 5"
    assert encoding == "manifest.csv line 5: it is not UTF-8"
    assert path == "manifest.csv line 6: path 'd.wav' is no file"
    assert emotion.startswith("manifest.csv line 6: emotion is 'hapy'; ")


def test_a_byte_order_mark_and_windows_line_ends_do_no_harm(tmp_path: Path) -> None:
    folder = write(tmp_path, [good(), good(path="b.wav")])
    file = folder / "manifest.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    assert len(found(tmp_path)) == 2


def test_a_damaged_parquet_is_refused_in_one_line(tmp_path: Path) -> None:
    Sounds(tmp_path).text("mine/manifest.parquet", "no parquet")
    (told,) = refusal(tmp_path)
    assert told.startswith(f"{tmp_path}/mine/manifest.parquet is no parquet that can be read: ")


@pytest.mark.parametrize("where", ["a value", "a column's name"])
def test_parquet_with_a_word_that_is_no_utf_8_is_refused_in_one_line(tmp_path: Path, where: str) -> None:
    folder = Sounds(tmp_path).text("mine/manifest.parquet").parent
    words = {name: pa.array([str(value)]) for name, value in good(emotion="disgust").items()}
    pq.write_table(pa.table(words), folder / "manifest.parquet")
    content = (folder / "manifest.parquet").read_bytes()
    word = b"disgust" if where == "a value" else b"emotion"
    (folder / "manifest.parquet").write_bytes(content.replace(word, b"\xd3" + word[1:]))
    (told,) = refusal(tmp_path)
    assert told.startswith(f"{folder}/manifest.parquet is no parquet that can be read: ")
    assert "\n" not in told


def test_a_folder_with_both_kinds_or_none_is_refused(tmp_path: Path) -> None:
    folder = write(tmp_path, [good()])
    assert is_manifest(folder)
    (folder / "manifest.parquet").touch()
    assert "holds both manifest.csv and manifest.parquet" in refusal(tmp_path)[0]
    (tmp_path / "empty").mkdir()
    assert not is_manifest(tmp_path / "empty")
    assert not is_manifest(tmp_path / "nowhere")
    assert "holds no manifest.csv or manifest.parquet" in refusal(tmp_path, "empty")[0]


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".hidden", "with space"])
def test_the_folder_is_a_plain_name(tmp_path: Path, name: str) -> None:
    assert "it must be letters, digits, dots, hyphens and underscores" in refusal(tmp_path, name)[0]


def test_the_folder_must_not_take_the_name_of_a_known_corpus(tmp_path: Path) -> None:
    write(tmp_path, [good()], name="emodb")
    assert "must be none of the known corpora's names" in refusal(tmp_path, "emodb")[0]


def test_the_folds_of_a_manifest_are_the_folds_that_test(tmp_path: Path) -> None:
    rows = [good(path=f"{n}.wav", speaker=f"s{n}", gender="", fold=str(n * 2 % 5)) for n in range(10)]
    write(tmp_path, rows)
    clips = found(tmp_path)
    for fold in low_resource_folds("mine", clips):
        assert {clip.id for clip in clips if clip.fold == fold.index} == set(fold.test)


def test_a_folder_of_that_name_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "mine" / "manifest.csv").mkdir(parents=True)
    assert not is_manifest(tmp_path / "mine")
