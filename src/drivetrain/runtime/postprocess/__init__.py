"""Decoders: from the outputs of a graph to predictions, looked up by the name in the manifest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drivetrain.errors import ArtifactError, near
from drivetrain.machine.packages import import_object
from drivetrain.runtime.postprocess.base import Decoder
from drivetrain.types import ImageSpec

DECODERS: dict[str, str] = {
    "anomaly": "drivetrain.runtime.postprocess.anomaly:AnomalyDecoder",
    "classification": "drivetrain.runtime.postprocess.classification:ClassificationDecoder",
    "multilabel": "drivetrain.runtime.postprocess.classification:MultilabelDecoder",
    "boxes": "drivetrain.runtime.postprocess.detection:BoxesDecoder",
    "mask_queries": "drivetrain.runtime.postprocess.mask_queries:MaskQueriesDecoder",
    "queries": "drivetrain.runtime.postprocess.queries:QueriesDecoder",
    "yolo": "drivetrain.runtime.postprocess.yolo:YoloDecoder",
    "class_map": "drivetrain.runtime.postprocess.yolo:ClassMapDecoder",
    "depth": "drivetrain.runtime.postprocess.yolo:DepthDecoder",
}
"""Name in the manifest -> class path. A manifest may also contain a class path itself."""


def make_decoder(
    name: str, decoder_args: Mapping[str, Any], label_names: Sequence[str], image_spec: ImageSpec
) -> Decoder:
    """The decoder of the given name.

    Raises:
        ArtifactError: there is none, it is not a :class:`Decoder`, or it does not accept these arguments.
    """
    if name not in DECODERS and ":" not in name:
        raise ArtifactError(f"decoder={name!r} is not known.{near(name, DECODERS)} Known: {', '.join(DECODERS)}.")
    try:
        found = import_object(DECODERS.get(name, name))
    except (ImportError, AttributeError) as error:
        raise ArtifactError(
            f"decoder={name!r} cannot be imported: {error}. Install the package it comes from."
        ) from error
    if not (isinstance(found, type) and issubclass(found, Decoder)):
        raise ArtifactError(f"decoder={name!r} is not a subclass of drivetrain.runtime.postprocess.Decoder.")
    try:
        return found(dict(decoder_args), tuple(label_names), image_spec)
    except (TypeError, KeyError, ValueError) as error:
        raise ArtifactError(f"decoder={name!r} does not accept {dict(decoder_args)}: {error}") from error


__all__ = ["DECODERS", "Decoder", "make_decoder"]
