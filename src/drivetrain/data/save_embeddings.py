"""Embeddings in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drivetrain.errors import OptionError
from drivetrain.machine.files import whole_file
from drivetrain.types.embeddings import Embeddings

SUFFIXES = (".npz", ".parquet")


def check_file(path: str | Path, name: str = "path") -> None:
    """Refuse a file to which embeddings cannot be written.

    Args:
        path: the file.
        name: what the caller calls it.

    Raises:
        OptionError: its suffix is not allowed.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise OptionError(f"{name}={str(path)!r} must end in {' or '.join(SUFFIXES)}.")


def save_embeddings(embeddings: Embeddings, path: str | Path) -> Path:
    """Write paths and numbers atomically; see :meth:`drivetrain.types.embeddings.Embeddings.save`."""
    check_file(path)
    target = Path(path).expanduser()
    with whole_file(target) as partial:
        if target.suffix.lower() == ".npz":
            with partial.open("wb") as stream:
                np.savez(stream, paths=np.array(embeddings.paths, np.str_), vectors=embeddings.vectors)
        else:
            _write_parquet(embeddings, partial)
    return target


def _write_parquet(embeddings: Embeddings, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    numbers = pa.array(embeddings.vectors.reshape(-1), pa.float32())
    vectors = pa.FixedSizeListArray.from_arrays(numbers, embeddings.size)
    parquet.write_table(pa.table({"path": pa.array(embeddings.paths, pa.string()), "vector": vectors}), path)
