"""How large an encoder does transfer need, and does one that has heard other languages transfer better?

Source: Gong et al. 2025 §3.2 take Whisper small.en, trained on English alone; sizes and multilingual ones are ours.
Run: python -m orchestrator.sweep encoder_size
`--encoder A,B,C` takes others, from Hugging Face or from folders. A multilingual Whisper has heard the target languages
with their transcripts (Urdu and Bangla little, German much): that its embeddings do better there is no zero-shot
transfer from English. Learning rates are the same for all; a larger one may want a smaller one. The floors stand on
the first encoder. The demo has one encoder and shows the machinery only.
"""

from search_spaces import Sweep
from trainers.methods.configs import BaselineConfig

SWEEP = Sweep(
    question="Which size of encoder transfers best, and is English alone enough?",
    config=BaselineConfig(),
    encoders=(
        "openai/whisper-tiny.en",
        "openai/whisper-tiny",
        "openai/whisper-base.en",
        "openai/whisper-base",
        "openai/whisper-small.en",
        "openai/whisper-small",
    ),
    reference={"encoder": "whisper-small.en"},
    chooses=False,
)
