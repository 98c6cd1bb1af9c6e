"""The corpora that are known, by name. To add one: a file beside this one with its `CORPUS`, and one entry here."""

from trainers.corpora import demo, emodb, ravdess, urdu
from trainers.corpora.utterance import Corpus
from trainers.errors import unknown

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus for corpus in (emodb.CORPUS, urdu.CORPUS, ravdess.CORPUS, *demo.CORPORA)
}


def corpus_named(name: str) -> Corpus:
    """The corpus of that name; UserError lists those there are."""
    if name not in CORPORA:
        raise unknown("corpus", name, CORPORA)
    return CORPORA[name]
