"""Prediction and export of a vision module."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from drivetrain.engines.lightning.predict import answering
from drivetrain.engines.lightning.vision.vision_module import VisionModule
from drivetrain.machine.device import choose_device
from drivetrain.machine.packages import version_of
from drivetrain.torch_training.batches import image_batches
from drivetrain.types import Prediction

if TYPE_CHECKING:
    from drivetrain.export.source import ExportSource

_BATCH_SIZE = 8


def ask(
    module: VisionModule,
    images: Iterable[tuple[str, NDArray[np.uint8]]],
    *,
    device: str,
    batch_size: int | None,
    confidence: float,
) -> Iterator[Prediction]:
    """One prediction for each ``(path, (H, W, 3) uint8 RGB)`` image, in order, with the artefact's decoder.

    While the module works on a batch, threads prepare the next one.
    """
    place = choose_device(device)
    module.to(place)
    decoder = module.decoder(confidence)
    for batch in image_batches(images, module.image_spec, batch_size or _BATCH_SIZE):
        with torch.inference_mode(), answering(module):
            found = module(batch.inputs.to(place))
        for path, size, outputs in zip(batch.paths, batch.sizes, found, strict=True):
            arrays = {name: value.float().cpu().numpy() for name, value in outputs.items()}
            yield decoder.decode(arrays, size, path)


def vision_source(module: VisionModule) -> ExportSource:
    """The module for the exporter, which copies it: it maps normalised images to the inputs of the decoder."""
    from drivetrain.export.source import ExportSource

    adapter = module.network
    decoding = adapter.decoding
    package = adapter.source or type(adapter.net).__module__.partition(".")[0]
    return ExportSource(
        image_spec=module.image_spec,
        task=module.task,
        label_names=module.label_names,
        decoder=decoding.decoder,
        decoder_args=dict(decoding.arguments),
        module=adapter.graph(),
        output_names=decoding.outputs,
        dynamic_batch=decoding.dynamic_batch,
        traced=decoding.traced,
        versions={package: str(version_of(package))},
    )
