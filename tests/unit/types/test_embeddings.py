"""Embeddings: who is alike whom, and the files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pyarrow import parquet

from drivetrain.errors import OptionError
from drivetrain.types.embeddings import Embeddings


@pytest.fixture
def found() -> Embeddings:
    vectors = np.array([[1, 0], [2, 0.2], [0, 3], [0.1, 5]], np.float64)
    return Embeddings(["a", "b", "c", "d"], vectors, skipped=[("e", "broken")])


def test_neighbours_point_the_same_way(found: Embeddings) -> None:
    places, cosines = found.neighbours(1)
    assert places[:, 0].tolist() == [1, 0, 3, 2]
    assert (cosines > 0.99).all()
    assert found.neighbours(9)[0].shape == (4, 3)
    assert found.nearest(np.array([1.0, 0.0]), 2)[0][0] == ("a", pytest.approx(1))
    assert [row[0][0] for row in found.nearest(found, 1)] == ["a", "b", "c", "d"]
    assert repr(found) == "Embeddings(4 images, 2 numbers each; 1 skipped)"
    with pytest.raises(OptionError, match="count=0"):
        found.neighbours(0)
    with pytest.raises(OptionError, match="query has 3 numbers"):
        found.nearest(np.zeros(3))


def test_files_hold_paths_and_numbers(found: Embeddings, tmp_path: Path) -> None:
    with np.load(found.save(tmp_path / "all.npz")) as file:
        assert file["paths"].tolist() == ["a", "b", "c", "d"]
        assert np.array_equal(file["vectors"], found.vectors)
    table = parquet.read_table(found.save(tmp_path / "all.parquet"))
    assert table["path"].to_pylist() == ["a", "b", "c", "d"]
    np.testing.assert_array_equal(np.array(table["vector"].to_pylist(), np.float32), found.vectors)
    with pytest.raises(OptionError, match=r"must end in .npz or .parquet"):
        found.save(tmp_path / "all.csv")
    assert found.to_dict()["embeddings"][1] == {"path": "b", "vector": [2.0, pytest.approx(0.2)]}
