"""The corpora that are known, by name. To add one: a file beside this one with its `CORPUS`, and one entry here.

Without any code: a manifest in the corpus's folder (`trainers.corpora.manifest`).
"""

from trainers.corpora import casia, common_voice, demo, emodb, iemocap, msp_podcast, ravdess, subesco, urdu
from trainers.corpora.utterance import Corpus
from trainers.errors import unknown

CORPORA: dict[str, Corpus] = {
    corpus.name: corpus
    for corpus in (
        emodb.CORPUS,
        urdu.CORPUS,
        subesco.CORPUS,
        subesco.IN_EMOBOX_FOLDS,
        casia.CORPUS,
        ravdess.CORPUS,
        ravdess.WITH_CALM,
        iemocap.CORPUS,
        msp_podcast.CORPUS,
        *common_voice.CORPORA,
        *demo.CORPORA,
        demo.ADAPTATION,
    )
}


def corpus_named(name: str) -> Corpus:
    """The corpus of that name; UserError lists those there are."""
    if name not in CORPORA:
        raise unknown("corpus", name, CORPORA)
    return CORPORA[name]
