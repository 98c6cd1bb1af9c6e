"""What `python -m trainers.corpora` tells about a corpus: counts, lengths, formats, and what is not used and why."""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from trainers.corpora.scan import Scan
from trainers.corpora.utterance import EMOTIONS, GENDERS, SPLITS

Summary = dict[str, Any]

UNKNOWN = "unknown"


def summarise(found: Scan) -> Summary:
    """Plain values, ready for JSON. Lengths in seconds, of the utterances; `left_out`: reason -> number of files."""
    clips = found.utterances
    lengths = [clip.duration_s for clip in clips]
    headers = [found.headers[clip.path] for clip in clips]
    return {
        "corpus": found.corpus.name,
        "language": found.corpus.language,
        "folder": found.corpus.folder,
        "citation": found.corpus.citation,
        "utterances": len(clips),
        "emotions": _counted((clip.emotion or "unlabelled" for clip in clips), EMOTIONS),
        "genders": _counted((clip.gender or UNKNOWN for clip in clips), GENDERS),
        "speakers": len({clip.speaker for clip in clips}),
        "speakers_by_gender": _counted((of or UNKNOWN for of, _ in {(c.gender, c.speaker) for c in clips}), GENDERS),
        "splits": _counted((clip.split for clip in clips if clip.split), SPLITS if any(c.split for c in clips) else ()),
        "folds": _counted(str(clip.fold) for clip in clips if clip.fold is not None),
        "total_s": sum(lengths),
        "min_s": min(lengths, default=None),
        "mean_s": sum(lengths) / len(lengths) if lengths else None,
        "max_s": max(lengths, default=None),
        "sample_rates_hz": _counted(str(told.sample_rate_hz) for told in headers),
        "channels": _counted(str(told.channels) for told in headers),
        "left_out": _counted(found.left_out.values()),
        "unreadable": found.unreadable,
    }


def _counted(values: Iterable[str], order: Iterable[str] = ()) -> dict[str, int]:
    """Value -> how often; those of `order` first and even if never, the others by name."""
    counts = Counter(values)
    return {value: counts[value] for value in (*order, *sorted(set(counts) - set(order)))}


def show(summaries: Iterable[Summary], console: Console) -> None:
    """One table, a column a corpus; then, for each corpus, the files that cannot be read by name."""
    summaries = list(summaries)
    table = Table(title="Utterances of 0.5 to 12 s", title_justify="left")
    table.add_column("")
    for each in summaries:
        table.add_column(Text(each["corpus"]), overflow="fold")
    for heading, told in _ROWS.items():
        table.add_row(heading, *(Text(told(each)) for each in summaries))
    console.print(table)
    for each in summaries:
        for path, cause in sorted(each["unreadable"].items()):
            console.print(Text(f"unreadable: {path}: {cause}"), soft_wrap=True)


def _listed(counts: dict[str, int], between: str = "\n") -> str:
    return between.join(f"{count} {value}" for value, count in counts.items()) or "–"


def _speakers(of: Summary) -> str:
    return f"{of['speakers']} ({_listed(of['speakers_by_gender'], ', ')})"


def _lengths(of: Summary) -> str:
    return f"{of['min_s']:.2f}, {of['mean_s']:.2f}, {of['max_s']:.2f} s" if of["utterances"] else "–"


_ROWS: dict[str, Callable[[Summary], str]] = {
    "language": lambda of: of["language"],
    "utterances": lambda of: str(of["utterances"]),
    "emotions": lambda of: _listed(of["emotions"]),
    "genders": lambda of: _listed(of["genders"]),
    "speakers": _speakers,
    "splits": lambda of: _listed(of["splits"]),
    "by fold": lambda of: "\n".join(f"{n} in {fold}" for fold, n in of["folds"].items()) or "–",
    "total": lambda of: f"{of['total_s'] / 60:.1f} min",
    "shortest, mean, longest": _lengths,
    "files by sample rate (Hz)": lambda of: "\n".join(f"{n} at {hz}" for hz, n in of["sample_rates_hz"].items()) or "–",
    "files by channels": lambda of: "\n".join(f"{n} with {many}" for many, n in of["channels"].items()) or "–",
    "left out": lambda of: "\n".join(f"{n}: {reason}" for reason, n in of["left_out"].items()) or "–",
    "unreadable": lambda of: str(len(of["unreadable"])),
}
