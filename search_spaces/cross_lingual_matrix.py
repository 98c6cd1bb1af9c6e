"""How well does a model of one language's emotions do on each of the others?

Source: Gong et al. 2025 §5 ask which languages transfer to which; a matrix of all pairs is ours.
Run: python -m orchestrator.sweep cross_lingual_matrix
Each corpus is trained on with its labels and tested on the same fold of every corpus. The diagonal is the usual result
within a corpus, the rest transfer without any label of the tested language. The table above the matrix has the diagonal
alone. A row's corpus also brings its size, its actors and its microphones: a language is not all that its row says.
"""

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig

SWEEP = Sweep(
    question="How well does training on each language transfer to each other one?",
    config=BaselineConfig(),
    protocols=("demo_corpora", "open_within", "xiang2024"),
    shows=("matrix",),
    chooses=False,
)
