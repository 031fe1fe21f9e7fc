"""A model file without a manifest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from drivetrain.errors import ArtifactError, either
from drivetrain.runtime.model_file import Port
from drivetrain.types import ImageSpec

DESCRIPTION = ".drivetrain.yaml"
"""What follows the name of a model file in the name of its description."""
SPEC_KEYS = tuple(item.name for item in fields(ImageSpec))
KEYS = ("task", "label_names", "decoder", "decoder_args", "output_names", *SPEC_KEYS)
"""What a description may hold."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A model file without a manifest.

    Attributes:
        path: of the file.
        info: ModelAPI's ``model_info``.
        shape: of the input, -1 where it is open.
        outputs: of the graph, in its order.
    """

    path: Path
    info: Mapping[str, str]
    shape: tuple[int, ...]
    outputs: tuple[Port, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the outputs."""
        return tuple(port.name for port in self.outputs)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the input.

        Raises:
            ArtifactError: it is not ``(B, 3, H, W)``, or its size is open.
        """
        if self.embedded:
            found = int(self.info.get("orig_height", 0)), int(self.info.get("orig_width", 0))
        else:
            planes = len(self.shape) == 4 and self.shape[1] == 3
            found = (self.shape[2], self.shape[3]) if planes else (0, 0)
        if min(found) < 1:
            raise ArtifactError(
                f"{str(self.path)!r} does not say the height and width of its input, of shape {self.shape}; it must "
                "be (B, 3, height, width). Export it so, or give height and width in a description"
                f"{how_to_describe(self.path)}"
            )
        return found

    @property
    def embedded(self) -> bool:
        """Whether ModelAPI's preprocessing is in the graph."""
        return self.flag("embedded_processing")

    @property
    def said_outputs(self) -> str:
        """Names and shapes of the outputs, for a message."""
        return ", ".join(f"{port.name} {list(port.shape)}" for port in self.outputs)

    def flag(self, key: str) -> bool:
        """Whether a key of ``model_info`` says yes."""
        return self.info.get(key, "") in ("True", "YES", "true")


def how_to_describe(path: Path) -> str:
    """How to describe a model, for the end of a sentence."""
    file = path.with_name(f"{path.stem}{DESCRIPTION}")
    return (
        ": "
        + either("load(path, description={...})", f"a file {file.name} beside it")
        + f" with the keys {', '.join(KEYS[:4])}, mean, std, resize."
    )
