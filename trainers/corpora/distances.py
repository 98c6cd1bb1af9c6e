"""How far languages lie from English: typology, descent and place, from URIEL.

Cosine distances (0 is alike, 1 has nothing in common) between the vectors of lang2vec 1.1.2 (Littell et al. 2017,
"URIEL and lang2vec"): `syntax`, `phonology`, `inventory` and all 289 together (`featural`) on its features imputed by
k nearest neighbours, `genetic` on memberships of families, `geographic` on distances to 299 points of the globe. They
are not URIEL's own shipped distances, which rest on other aggregates: cite them as "cosine on URIEL kNN features".
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Distance:
    """From English to a language, each between 0 and 1."""

    syntax: float
    phonology: float
    inventory: float
    featural: float
    genetic: float
    geographic: float


FROM_ENGLISH = {
    "amharic": Distance(0.4118, 0.2372, 0.3000, 0.3461, 1.0, 0.0638),
    "arabic": Distance(0.3556, 0.2748, 0.2680, 0.3046, 1.0, 0.0411),
    "bangla": Distance(0.4166, 0.2372, 0.2563, 0.3197, 0.8740, 0.1104),
    "french": Distance(0.1882, 0.2474, 0.2591, 0.2320, 0.9038, 0.0007),
    "german": Distance(0.0975, 0.1942, 0.2372, 0.1808, 0.4557, 0.0024),
    "greek": Distance(0.2169, 0.0465, 0.3525, 0.2706, 0.8509, 0.0105),
    "italian": Distance(0.1422, 0.1419, 0.3000, 0.2227, 0.8889, 0.0047),
    "mandarin": Distance(0.2876, 0.2474, 0.3817, 0.3316, 1.0, 0.1124),
    "persian": Distance(0.4794, 0.2167, 0.2718, 0.3457, 0.8740, 0.0531),
    "polish": Distance(0.2136, 0.1419, 0.3472, 0.2746, 0.8509, 0.0037),
    "russian": Distance(0.1882, 0.1419, 0.3525, 0.2669, 0.8333, 0.0419),
    "spanish": Distance(0.1784, 0.1419, 0.3618, 0.2669, 0.9038, 0.0041),
    "turkish": Distance(0.4933, 0.1818, 0.3342, 0.3803, 1.0, 0.0175),
    "urdu": Distance(0.3838, 0.1419, 0.2844, 0.3077, 0.8740, 0.0746),
}
"""By the language's name as corpora have it (Arabic is the standard language, Persian the Iranian one)."""
