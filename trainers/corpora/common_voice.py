"""Common Voice (Ardila et al. 2020), read sentences of volunteers, no emotion: `common_voice/de/clips/….mp3`.

`train.tsv`, `dev.tsv` and `test.tsv` list the clips of the official split with columns client_id (a speaker), path,
sentence, gender and others. Gender is spelt `male`, `female`, `other`, since version 17 `male_masculine` and so on, and
often empty; it is known here where it begins with female or male and a speaker never tells two. Clips of other lists
(`validated.tsv`, `other.tsv`) are left out.

German alone has half a million clips, so that of each language only whole speakers are taken, up to 20,000 clips
(our default: Gong et al. 2025 name no number). Speakers come in the order of a hash of their id: the choice is the
same on every machine, and of the next version most of it too.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from trainers.corpora.label_files import gender_of, refuse, rows_of
from trainers.corpora.utterance import UNLABELLED, Corpus, Labels, LeftOut, Table
from trainers.errors import UserError, require, unknown

LANGUAGE_OF_LOCALE = {"bn": "bangla", "de": "german", "ur": "urdu"}
PART_OF_LIST = {"train": "train", "dev": "valid", "test": "test"}
COLUMNS = ("client_id", "path", "sentence", "gender")
CAP = 20_000
SHORT = 16
"""Letters of a client_id (128) that name the speaker, where they tell all speakers apart."""


@dataclass(frozen=True, slots=True)
class _Clip:
    path: str
    client: str
    sentence: str
    gender: str
    split: str


def corpus_of(locale: str, cap: int = CAP) -> Corpus:
    """`common_voice_<locale>` with at most `cap` clips of whole speakers; UserError: an unknown locale, or no cap."""
    if locale not in LANGUAGE_OF_LOCALE:
        raise unknown("locale", locale, LANGUAGE_OF_LOCALE)
    require(cap > 0, "cap", cap, "at least 1")
    return Corpus(
        name=f"common_voice_{locale}",
        language=LANGUAGE_OF_LOCALE[locale],
        folder=f"common_voice/{locale}",
        parse=None,
        citation="Ardila et al. 2020, Common Voice: a massively-multilingual speech corpus",
        labels_in=partial(labels_in, cap=cap),
        further_emotions=(UNLABELLED,),
    )


def labels_in(folder: Path, cap: int = CAP) -> Table:
    """Labels of the listed clips of the speakers drawn. UserError lists the rows that cannot be used."""
    problems: list[str] = []
    clips = [clip for name in PART_OF_LIST for clip in _listed(folder / f"{name}.tsv", problems)]
    problems += _twice(clips)
    refuse(problems, f"{folder.parent.name}/{folder.name}")
    drawn = _drawn(Counter(clip.client for clip in clips), cap)
    if not drawn:
        raise UserError(f"every speaker below {folder} has more than {cap} clips, the most that may be taken")
    genders, names = _genders(clips), _names({clip.client for clip in clips})
    beyond = LeftOut(f"its speaker is beyond the {cap} clips taken")
    return {
        clip.path: Labels(names[clip.client], genders[clip.client], UNLABELLED, clip.sentence, clip.split)
        if clip.client in drawn
        else beyond
        for clip in clips
    }


def _listed(file: Path, problems: list[str]) -> Iterable[_Clip]:
    for line, row in rows_of(file, COLUMNS, problems, tabs=True):
        if row["client_id"] and row["path"]:
            name = PurePosixPath(row["path"])
            path = f"clips/{name if name.suffix else f'{name}.mp3'}"  # the first versions list names without suffix
            yield _Clip(path, row["client_id"], row["sentence"], gender_of(row["gender"]), PART_OF_LIST[file.stem])
        else:
            problems.append(f"{file.name} line {line}: {'path' if row['client_id'] else 'client_id'} is empty")


def _twice(clips: Iterable[_Clip]) -> list[str]:
    counts = Counter(clip.path for clip in clips)
    return [f"{path} is listed {count} times" for path, count in counts.items() if count > 1]


def _drawn(clips_of: Mapping[str, int], cap: int) -> frozenset[str]:
    """Speakers in the order of a hash, each who still fits under the cap."""
    drawn, total = [], 0
    for client in sorted(clips_of, key=lambda client: hashlib.sha256(client.encode()).hexdigest()):
        if total + clips_of[client] <= cap:
            drawn.append(client)
            total += clips_of[client]
    return frozenset(drawn)


def _genders(clips: Iterable[_Clip]) -> dict[str, str]:
    """Speaker -> the one gender that is told of them, "" for none or two."""
    told: defaultdict[str, set[str]] = defaultdict(set)
    for clip in clips:
        told[clip.client] |= {clip.gender} - {""}
    return {client: next(iter(genders)) if len(genders) == 1 else "" for client, genders in told.items()}


def _names(clients: set[str]) -> dict[str, str]:
    """Speaker -> a short name, the whole id where the short ones would be the same for two."""
    short = {client: client[:SHORT] for client in clients}
    return short if len(set(short.values())) == len(short) else {client: client for client in clients}


CORPORA = tuple(corpus_of(locale) for locale in LANGUAGE_OF_LOCALE)
