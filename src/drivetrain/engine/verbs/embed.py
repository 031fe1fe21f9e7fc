"""Embed: the model's features of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.early import Start, check_images
from drivetrain.engine.state import EngineState
from drivetrain.types.options import check_at_least

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.types.embeddings import Embeddings

NEEDS = ("infer", "features")


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    check_at_least("batch_size", given["batch_size"], 1)
    check_images(start, given)


def embed(
    self: EngineState,
    source: Any = None,
    *,
    checkpoint: str | Path | None = None,
    batch_size: int | None = None,
) -> Embeddings:
    """Describe each image by the model's features, to compare images with each other.

    Args:
        source: an array (H, W, 3) uint8 RGB, a file, folder, glob or video, a list of them, or a data set; the test
            images of the engine's data if not given.
        checkpoint: "best", "last" or a path; the best if there is one, else the last.
        batch_size: images in a step.

    Returns:
        The paths and (N, D) float32: for a classifier the input of its last layer, for other models the mean of the
        deepest feature map of the backbone over its positions. An artefact gives the same numbers to within 1e-4.

    Raises:
        UnsupportedError: the model has no such features, or they cannot be located.
        DataError: there are no images.
        ImageError: no image can be read.
    """
    self.require("embed", NEEDS)
    check_at_least("batch_size", batch_size, 1)
    self.select(checkpoint)
    self.warn_if_untrained()
    import numpy as np

    from drivetrain.images.sources import require_readable
    from drivetrain.images.stream import ImageStream
    from drivetrain.types.embeddings import Embeddings
    from drivetrain.types.truth import Truth

    asked = self.dataset.subset("test") if source is None else source
    images = ImageStream(asked if Truth.of(asked) is None else asked.paths)
    paths: list[str] = []

    def named() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        for path, image in images:
            paths.append(path)
            yield path, image

    rows = list(self.framework.features(named(), batch_size=batch_size))
    require_readable(rows, images.skipped)
    return Embeddings(paths, np.stack(rows), skipped=images.skipped)
