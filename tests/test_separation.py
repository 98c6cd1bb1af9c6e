"""Silhouettes against their definition, and against scikit-learn on the embeddings themselves."""

from dataclasses import replace
from math import isnan
from statistics import fmean

import numpy as np
import pytest
import torch
from sklearn.metrics import silhouette_samples

from orchestrator.answers.rows import Place
from orchestrator.answers.separation import embedded, separations, silhouette
from orchestrator.pictures.embeddings import neighbours
from tests.synthetic_results import hits, result, spec
from trainers.embeddings import pack, unpack
from trainers.result import Result


def brute(rows: np.ndarray[tuple[int, int], np.dtype[np.float32]], labels: list[str]) -> float:
    """Rousseeuw 1987, clip by clip."""
    values = []
    for i, own in enumerate(labels):
        far = {
            group: [
                float(np.linalg.norm(rows[i] - rows[j])) for j, other in enumerate(labels) if other == group and j != i
            ]
            for group in set(labels)
        }
        if not far[own]:
            values.append(0.0)
            continue
        a, b = fmean(far[own]), min(fmean(far[group]) for group in far if group != own)
        values.append((b - a) / max(a, b))
    return fmean(values)


def test_a_silhouette_is_its_definition() -> None:
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(24, 5)).astype(np.float32)
    labels = draws.choice(["a", "b", "c"], 24).tolist()
    assert silhouette(rows, labels) == pytest.approx(brute(rows, labels), abs=1e-6)


def test_far_groups_are_apart_and_shuffled_ones_are_not() -> None:
    rows = np.repeat([[0.0, 0.0], [100.0, 0.0]], 8, axis=0).astype(np.float32)
    rows += np.random.default_rng(0).normal(size=rows.shape).astype(np.float32)
    assert silhouette(rows, ["a"] * 8 + ["b"] * 8) > 0.95
    assert -0.2 < silhouette(rows, ["a", "b"] * 8) < 0.1


def test_clips_without_a_label_are_left_out_and_one_label_has_no_silhouette() -> None:
    rows = np.random.default_rng(0).normal(size=(9, 3)).astype(np.float32)
    labels = ["a", "b", "a", "b", "a", "b", "", "", ""]
    assert silhouette(rows, labels) == pytest.approx(brute(rows[:6], labels[:6]), abs=1e-6)
    assert isnan(silhouette(rows, ["a"] * 9))
    assert isnan(silhouette(rows, [str(place) for place in range(9)]))
    assert isnan(silhouette(rows, [""] * 9))


def cells(folds: int) -> dict[Place, Result]:
    """A fold's clips have embeddings of their own."""
    found: dict[Place, Result] = {}
    for fold in range(folds):
        one = result(spec(fold=fold), hits(5, 5, 5, 5), {"urdu": hits(8, 7, 6, 5)})
        rows = torch.from_numpy(np.random.default_rng(fold).normal(size=(40, 6)))
        found["urdu", fold, 0] = replace(one, embeddings={"test/urdu": pack(rows)})
    return found


def test_a_languages_separation_is_the_mean_of_its_folds_from_the_packed_rows() -> None:
    found = cells(3)
    expected = []
    for one in found.values():
        rows = unpack(one.embeddings["test/urdu"])
        labels = [row["emotion"] for row in one.predictions]
        expected.append(float(silhouette_samples(rows, labels).mean()))
    told = separations(found, "urdu")
    assert told["emotion"] == (pytest.approx(fmean(expected), abs=1e-6), 3)
    assert set(told) == {"emotion", "speaker", "gender"}
    assert separations(found, "german") == {}


def test_results_without_embeddings_or_with_other_clips_have_no_separation() -> None:
    one = result(spec(), hits(5, 5, 5, 5), {"urdu": hits(8, 7, 6, 5)})
    assert embedded(one, "urdu") is None
    short = replace(one, embeddings={"test/urdu": pack(torch.zeros(39, 6))})
    assert embedded(short, "urdu") is None
    assert separations({("urdu", 0, 0): short}, "urdu") == {}


def test_t_sne_is_the_same_each_time_and_keeps_far_groups_apart() -> None:
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    rows[20:] += 50
    first, again = neighbours(rows), neighbours(rows)
    assert np.array_equal(first, again)
    nearest = np.argsort(((first[:, None] - first[None]) ** 2).sum(2), axis=1)[:, 1]
    assert ((nearest >= 20) == (np.arange(40) >= 20)).all()
