"""Preparing an RF-DETR model for export."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

from drivetrain.engines.rfdetr.predict import deploy
from drivetrain.engines.rfdetr.quiet import contained
from drivetrain.errors import ExportError
from drivetrain.export.source import ExportSource
from drivetrain.machine.packages import version_of
from drivetrain.types.options import ExportFormat

#: Our name of an output -> its name in a file from RF-DETR's own exporter.
_IN_ONNX = {"boxes": "dets", "logits": "labels"}


def export_source(detr: Any, format: ExportFormat, folder: Path) -> ExportSource:  # noqa: A002  (the field's word)
    """Prepare the exporter's source from the same module and decoder that the engine predicts with.

    ONNX files are written by RF-DETR's own exporter, as PyTorch's current one cannot export its attention.

    Args:
        detr: RF-DETR's object; it is not changed.
        format: the format of the artefact.
        folder: an empty folder that must exist until the artefact is written.

    Raises:
        ExportError: RF-DETR cannot write the file.
    """
    deployed = deploy(detr)
    source = ExportSource(
        image_spec=deployed.spec,
        task=deployed.task,
        label_names=deployed.label_names,
        decoder=deployed.decoder,
        decoder_args=deployed.decoder_args,
        module=deployed.module,
        output_names=deployed.output_names,
        versions={"rfdetr": str(version_of("rfdetr"))},
    )
    if format != "onnx":
        return source
    arguments = {
        key: _IN_ONNX.get(value, value) if isinstance(value, str) else value
        for key, value in deployed.decoder_args.items()
    }
    file = _write_onnx(detr, folder)
    return replace(source, module=None, output_names=(), onnx=file, decoder_args=arguments)


def _write_onnx(detr: Any, folder: Path) -> Path:
    try:
        with contained(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the tracer's warnings about constants are irrelevant to the user
            return Path(detr.export(output_dir=str(folder), verbose=False))
    except (RuntimeError, ImportError, ValueError) as error:
        raise ExportError(f"RF-DETR cannot write the ONNX file: {error}") from error
