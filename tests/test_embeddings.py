"""Embeddings as results keep them, beside scikit-learn's components and the embeddings themselves."""

import base64

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.metrics import pairwise_distances

from trainers.embeddings import COMPONENTS, pack, packed, unpack


def parts(rows: int = 60, width: int = 48) -> dict[str, torch.Tensor]:
    drawn = torch.randn(rows, width, generator=torch.Generator().manual_seed(0)) * torch.linspace(3, 0.01, width)
    return {"test/away": drawn[: rows // 3] + 2, "whole/far": drawn[rows // 3 :] - 1}


def test_the_components_are_those_of_scikit_learn_up_to_signs() -> None:
    given = parts()
    everything = torch.cat(list(given.values())).double().numpy()
    wanted = PCA(COMPONENTS, svd_solver="full").fit_transform(everything)
    found = np.concatenate([unpack(text) for text in packed(given).values()])
    assert found.shape == (60, COMPONENTS)
    np.testing.assert_allclose(np.abs(found), np.abs(wanted), rtol=2e-3, atol=2e-3)


def test_distances_within_and_between_parts_are_those_of_all_dimensions_where_few_carry_them() -> None:
    given = {part: rows[:, :20] for part, rows in parts().items()}
    found = np.concatenate([unpack(text) for text in packed(given).values()])
    everything = torch.cat(list(given.values())).numpy()
    np.testing.assert_allclose(pairwise_distances(found), pairwise_distances(everything), atol=0.03)


def test_the_signs_do_not_hang_on_the_order_of_the_clips() -> None:
    given = parts()
    turned = {part: rows.flip(0) for part, rows in given.items()}
    for part, text in packed(given).items():
        np.testing.assert_allclose(unpack(packed(turned)[part])[::-1], unpack(text), rtol=2e-3, atol=2e-3)


def test_fewer_clips_than_components_have_as_many_as_there_are() -> None:
    assert unpack(packed({"test/away": torch.eye(3)})["test/away"]).shape == (3, 3)


def test_text_holds_little_endian_halves_row_by_row() -> None:
    text = pack(torch.tensor([[1.0, 2.0], [3.0, -0.5]]))
    width, _, numbers = text.partition(":")
    assert width == "2"
    assert base64.b64decode(numbers) == bytes.fromhex("003c 0040 0042 00b8")
    assert unpack(text).tolist() == [[1.0, 2.0], [3.0, -0.5]]


def test_embeddings_that_are_no_numbers_end_the_cell_as_such() -> None:
    with pytest.raises(FloatingPointError, match="embeddings of the tested clips are not finite"):
        packed({"test/away": torch.tensor([[1.0, float("nan")], [0.0, 1.0]])})


@pytest.mark.parametrize("text", ["", "x:AAAA", "3:AAAA", "2:*"])
def test_text_of_something_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"invalid literal|buffer size|base64"):
        unpack(text)
