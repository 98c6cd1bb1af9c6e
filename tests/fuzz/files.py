"""Files of the user: recordings, manifests, label files."""

import csv
import io
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import soundfile
from hypothesis import strategies as st

from tests.fuzz import damage
from tests.fuzz.judging import readable
from trainers.corpora import common_voice, iemocap, msp_podcast
from trainers.corpora.manifest import manifest_corpus
from trainers.corpora.recordings import UnreadableError, decode, header
from trainers.corpora.scan import scan

FORMATS = {
    "a.wav": ("WAV", "PCM_16", 16000),
    "b.wav": ("WAV", "FLOAT", 8000),
    "c.wav": ("WAVEX", "PCM_24", 44100),
    "d.flac": ("FLAC", "PCM_16", 16000),
    "e.ogg": ("OGG", "VORBIS", 22050),
    "f.opus": ("OGG", "OPUS", 48000),
    "g.mp3": ("MP3", "MPEG_LAYER_III", 16000),
    "h.aiff": ("AIFF", "PCM_16", 16000),
    "i.w64": ("W64", "PCM_16", 16000),
    "j.au": ("AU", "ULAW", 8000),
}


@cache
def recordings() -> dict[str, bytes]:
    """0.6 s of noise, in two channels, in each format."""
    noise, made = np.random.default_rng(0).uniform(-0.3, 0.3, (60000, 2)), {}
    for name, (form, subtype, rate) in FORMATS.items():
        sink = io.BytesIO()
        soundfile.write(sink, noise[: int(0.6 * rate)], rate, format=form, subtype=subtype)
        made[name] = sink.getvalue()
    return made


def audio() -> st.SearchStrategy[tuple[str, bytes]]:
    """A suffix and bytes; half of the damage is to headers, where it does most."""
    heads = {name: (content[:128], content[128:]) for name, content in recordings().items()}
    names = st.sampled_from(sorted(heads))
    in_head = names.flatmap(
        lambda name: st.builds(damage.damaged, st.just(heads[name][0]), damage.steps).map(
            lambda head: (name, head + heads[name][1])
        )
    )
    anywhere = names.flatmap(lambda name: damage.of(recordings()[name]).map(lambda content: (name, content)))
    return st.one_of(in_head, anywhere)


def hear(given: tuple[str, bytes], folder: Path) -> str:
    """A recording decodes to finite samples or tells why not; and a corpus has it in exactly one of its lists."""
    name, content = given
    corpus = folder / "mine"
    corpus.mkdir()
    (corpus / name).write_bytes(content)
    (corpus / "manifest.csv").write_text(f"path,language,speaker,gender,emotion\n{name},xx,s,female,happy\n")
    found = scan(folder, manifest_corpus(folder, "mine"))
    places = [name in {clip.path.rpartition("/")[2] for clip in found.utterances}]
    places += [f"mine/{name}" in each for each in (found.left_out, found.unreadable)]
    assert sum(places) == 1, places
    try:
        told = header(corpus / name)
        samples = decode(corpus / name)
    except UnreadableError as error:
        readable(str(error))
        return "refused"
    assert samples.dtype == np.float32
    assert samples.ndim == 1
    assert np.isfinite(samples).all()
    assert told.duration_s > 0
    return "taken"


# --- manifests

COLUMNS = ("path", "language", "speaker", "gender", "emotion", "text", "split", "fold")
VALUES: Mapping[str, tuple[str, ...]] = {
    "path": (
        "a.wav",
        "b.wav",
        "./a.wav",
        "d.flac",
        "no.wav",
        "../a.wav",
        "/etc/passwd",
        "",
        "a.txt",
        "x\x00.wav",
        "n" * 300,
    ),
    "language": ("german", "german", "German", "", "a b", "urdu"),
    "speaker": ("anna", "bert", "", "é", "\u202e"),
    "gender": ("female", "male", "", "f"),
    "emotion": ("happy", "angry", "", "bored", "Happy"),
    "text": ("", "hello", "a\nb", 'q"q'),
    "split": ("", "train", "test", "dev"),
    "fold": ("", "0", "4", "5", "x", "-1"),
}

good = {name: st.sampled_from(values[: 2 if name == "path" else 1]) for name, values in VALUES.items()}
rows = st.one_of(
    st.fixed_dictionaries(good),
    st.fixed_dictionaries({name: st.one_of(good[name], st.sampled_from(VALUES[name])) for name in VALUES}),
)
headings = st.one_of(
    st.just(COLUMNS), st.just(COLUMNS[:5]), st.lists(st.sampled_from((*COLUMNS, "x")), max_size=9).map(tuple)
)


def _csv(heading: tuple[str, ...], lines: list[dict[str, str]], done: list[damage.Step]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows([heading, *([line.get(name, "") for name in heading] for line in lines)])
    return damage.damaged(text.getvalue().encode(), done)


few = st.one_of(st.just([]), st.just([]), damage.steps)
manifests = st.builds(_csv, headings, st.lists(rows, max_size=4), few)


def list_manifest(content: bytes, folder: Path) -> str:
    """A manifest is refused, or each of its lines is a recording that the corpus has."""
    corpus = _corpus(folder)
    (corpus / "manifest.csv").write_bytes(content)
    table = _table(folder)
    lines = [line for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True) if line]
    assert len(table) == len(lines) - 1, (len(table), lines)
    return "taken"


def _corpus(folder: Path) -> Path:
    corpus = folder / "mine"
    corpus.mkdir()
    for name in ("a.wav", "b.wav", "d.flac"):
        (corpus / name).write_bytes(recordings()[name])
    return corpus


def _table(folder: Path) -> Mapping[str, Any]:
    found = manifest_corpus(folder, "mine")
    assert found.labels_in is not None
    return found.labels_in(folder / "mine")


@cache
def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    columns = {name: ["a.wav", "b.wav"] if name == "path" else [VALUES[name][0]] * 2 for name in COLUMNS[:6]}
    pq.write_table(pa.table(columns), sink, compression="none")
    return bytes(sink.getvalue())


def list_parquet(content: bytes, folder: Path) -> str:
    """The same of a Parquet file."""
    (_corpus(folder) / "manifest.parquet").write_bytes(content)
    _table(folder)
    return "taken"


# --- label files of published corpora

MSP = (
    "FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set\n"
    "MSP-PODCAST_0001_0008.wav,N,2.5,4.0,3.2,127,Female,Train\n"
    "MSP-PODCAST_0001_0019.wav,H,2.5,4.0,3.2,Unknown,Male,Development\n"
)
COMMON_VOICE = (
    "client_id\tpath\tsentence\tup_votes\tdown_votes\tage\tgender\taccents\tlocale\tsegment\n"
    'aa01\tcommon_voice_de_1.mp3\tDas "Licht ist an.\t2\t0\t\tfemale_feminine\t\tde\t\n'
    "aa01\tcommon_voice_de_2.mp3\tGuten Tag.\t2\t0\t\t\t\tde\t\n"
)
IEMOCAP = (
    "% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]\n\n"
    "[6.2901 - 8.2357]\tSes01F_impro01_F000\tneu\t[2.5, 2.5, 2.5]\nC-E2:\tNeutral;\t()\n"
)

Labelled = tuple[str, str, Callable[[Path], Any]]
LABELLED: Mapping[str, Labelled] = {
    "msp": (f"Labels/{msp_podcast.LABEL_FILES[0]}", MSP, msp_podcast.labels_in),
    "common_voice": ("train.tsv", COMMON_VOICE, common_voice.labels_in),
    "iemocap": ("Session1/dialog/EmoEvaluation/Ses01F_impro01.txt", IEMOCAP, iemocap.labels_in),
}
labels = st.sampled_from(sorted(LABELLED)).flatmap(
    lambda name: damage.of(LABELLED[name][1].encode()).map(lambda content: (name, content))
)


def read_labels(given: tuple[str, bytes], folder: Path) -> str:
    """A label file gives a table or says what is wrong."""
    name, content = given
    where, _, read = LABELLED[name]
    (folder / where).parent.mkdir(parents=True, exist_ok=True)
    (folder / where).write_bytes(content)
    (folder / msp_podcast.AUDIO_FOLDERS[0]).mkdir(parents=True, exist_ok=True)
    for other in ("dev.tsv", "test.tsv"):
        (folder / other).write_text(COMMON_VOICE.partition("\n")[0] + "\n")
    read(folder)
    return "taken"
