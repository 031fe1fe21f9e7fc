"""Exporting: write to a temporary folder, compare with the model on real images, and only then take the final name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from drivetrain._version import __version__
from drivetrain.errors import OptionError, ParityError
from drivetrain.export.find_features import find_features
from drivetrain.export.layers import write_layers
from drivetrain.export.reference import pictures_to_keep, write_reference
from drivetrain.export.source import ExportSource
from drivetrain.export.verification import check_answers, in_words, with_usual_precision
from drivetrain.export.whole_folder import building, take_name
from drivetrain.images.read import read_image
from drivetrain.machine.files import write_json
from drivetrain.machine.packages import version_of
from drivetrain.runs.place import require_new
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import Predictions

ExportFormat = Literal["openvino", "onnx"]
ExportPrecision = Literal["fp32", "fp16"]
Reference = Callable[[Sequence[NDArray[np.uint8]]], Predictions]
#: What the model makes of images before it decides, ``(D,) float32`` each; nothing where it does not say it.
FeatureReference = Callable[[Sequence[NDArray[np.uint8]]], Sequence[NDArray[np.float32]]]

PARITY_NAME = "parity.json"
_FEATURE_PICTURES = 2
_PACKAGES = ("openvino", "torch", "onnx", "onnxruntime", "numpy")


def export_artifact(
    source: ExportSource,
    directory: str | Path,
    *,
    format: ExportFormat = "openvino",  # noqa: A002 - the field's word
    precision: ExportPrecision = "fp32",
    reference: Reference | None,
    features: FeatureReference | None = None,
    images: Sequence[str | Path],
    engine: str,
    model_name: str,
    tolerance: Mapping[str, float] | None = None,
    metrics: Callable[[Artifact], Mapping[str, Any]] | None = None,
    overwrite: bool = False,
) -> Artifact:
    """Export a model and compare the result with it.

    Args:
        source: the model.
        directory: the folder of the artefact; created at the very end, so that it is never incomplete.
        format: ``"openvino"`` or ``"onnx"``.
        precision: the precision of the stored weights.
        reference: returns the model's own predictions for ``(H, W, 3) uint8`` images; ``None`` skips the comparison,
            which the manifest then states.
        features: gives what the model makes of images before it decides, which is then looked for in the graph for
            ``embed``; nothing is looked for without it.
        images: files to compare on.
        engine: the engine that exports.
        model_name: the name of the model.
        tolerance: quantity -> allowed difference, see :data:`drivetrain.export.compare.DEFAULT_TOLERANCE`.
        metrics: measures artefact and model with the task's metrics; its result goes into the report as
            ``details["task_metrics"]`` and decides nothing.
        overwrite: replace an existing ``directory``.

    Returns:
        The artefact.

    Raises:
        OptionError: an option has a value that is not allowed, or there are no images to compare on.
        ArtifactExistsError: ``directory`` already exists.
        ExportError: the conversion fails.
        StorageError: the folder cannot be written.
        ParityError: the artefact's answers differ from the model's; the numbers are in ``<directory>.parity.json``.
    """
    final = Path(directory).absolute()
    _check(final, format, precision, reference, images, overwrite=overwrite)
    report_beside = final.with_name(f"{final.name}.parity.json")
    with building(final) as folder:
        artifact = _write(source, folder, format, engine, model_name)
        pictures = [read_image(path) for path in images] if reference is not None else []
        expected = None
        if reference is not None:
            expected = reference(pictures)
            artifact = _proven(artifact, expected, pictures, images, tolerance, report_beside)
            artifact = _with_features(artifact, features, pictures)
        if precision == "fp16":  # only now: rounding must not mask a wrong conversion
            artifact = halved(artifact)
            if expected is not None:
                artifact = _proven(artifact, expected, pictures, images, tolerance, report_beside)
        if reference is not None:
            artifact = _measured(artifact, metrics)
            keep_reference(artifact, reference, pictures)
        artifact = artifact.write_manifest()
        take_name(folder, final)
        report_beside.unlink(missing_ok=True)
    return replace(artifact, path=final)


def _check(
    final: Path,
    format: str,  # noqa: A002
    precision: str,
    reference: Reference | None,
    images: Sequence[str | Path],
    *,
    overwrite: bool,
) -> None:
    for name, value, allowed in (
        ("format", format, get_args(ExportFormat)),
        ("precision", precision, get_args(ExportPrecision)),
    ):
        if value not in allowed:
            raise OptionError(f"{name}={value!r}; allowed: {', '.join(allowed)}.")
    if reference is not None and not images:
        raise OptionError("images is empty; an artefact is compared with the model on real images: give at least one.")
    if not overwrite:
        require_new(final)


def _write(source: ExportSource, folder: Path, format: ExportFormat, engine: str, model_name: str) -> Artifact:  # noqa: A002
    """Write the model at full precision."""
    if format == "openvino":
        from drivetrain.export.openvino import write_openvino

        file, names = write_openvino(source, folder)
    else:
        from drivetrain.export.onnx import write_onnx

        file, names = write_onnx(source, folder)
    for name, extra in source.extra_files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(extra, folder / name)
    for name, text in source.extra_texts.items():
        (folder / name).write_text(text, encoding="utf-8")
    artifact = Artifact(
        path=folder,
        format=format,
        precision="fp32",
        task=source.task,
        label_names=tuple(source.label_names),
        image_spec=source.image_spec,
        decoder=source.decoder,
        decoder_args=dict(source.decoder_args),
        model_file=file,
        engine=engine,
        model_name=model_name,
        embedded=source.embed,
        planes=source.planes,
        dynamic_batch=source.dynamic_batch,
        output_names=names,
        versions={**known_versions(), **source.versions},
        licences=dict(source.licences),
        tiling=source.tiling.to_dict() if source.tiling is not None else {},
        trained=dict(source.trained),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        drivetrain_version=__version__,
    )
    return artifact.write_manifest()


def halved(artifact: Artifact) -> Artifact:
    """The artefact with its weights rounded to half precision, in its place."""
    if artifact.format == "openvino":
        from drivetrain.export.openvino import halve_openvino

        halve_openvino(artifact.path / artifact.model_file)
    else:
        from drivetrain.export.onnx import halve_onnx

        halve_onnx(artifact.path / artifact.model_file)
    return replace(artifact, precision="fp16").write_manifest()


def _proven(
    artifact: Artifact,
    expected: Predictions,
    pictures: Sequence[NDArray[np.uint8]],
    images: Sequence[str | Path],
    tolerance: Mapping[str, float] | None,
    beside: Path,
) -> Artifact:
    """The artefact with its comparison report, if it passes.

    Raises:
        ParityError: its answers differ; the report is at ``beside``.
    """
    report = check_answers(artifact, expected, pictures, tolerance, names=[str(path) for path in images])
    if not report.passed:
        write_json(beside, report.to_dict())
        cause = report.details.get("cause", "")
        raise ParityError(f"{in_words(report)} {cause}{' ' * bool(cause)}All numbers: {beside}", report)
    report = with_usual_precision(report, artifact, expected, pictures)
    write_json(artifact.path / PARITY_NAME, report.to_dict())
    return replace(artifact, parity=json.loads(json.dumps(report.to_dict())))


def _with_features(
    artifact: Artifact, features: FeatureReference | None, pictures: Sequence[NDArray[np.uint8]]
) -> Artifact:
    """The artefact with the place of the model's own features in its graph, where there is one."""
    vectors = features(pictures[:_FEATURE_PICTURES]) if features is not None else ()
    if not len(vectors):
        return artifact
    return replace(artifact, features=find_features(artifact, pictures[:_FEATURE_PICTURES], vectors))


def _measured(artifact: Artifact, metrics: Callable[[Artifact], Mapping[str, Any]] | None) -> Artifact:
    """The artefact with the metrics of the task in its report, where they can be measured."""
    found = metrics(artifact) if metrics is not None else {}
    if not found:
        return artifact
    details = {**artifact.parity.get("details", {}), "task_metrics": dict(found)}
    parity = {**artifact.parity, "details": details}
    write_json(artifact.path / PARITY_NAME, parity)
    return replace(artifact, parity=parity)


def keep_reference(artifact: Artifact, reference: Reference, pictures: Sequence[NDArray[np.uint8]]) -> None:
    """Put a few pictures and the answers about them into an artefact that is being written, for ``verify``.

    Args:
        artifact: whose graph and files are there, but for these.
        reference: gives the answers.
        pictures: ``(H, W, 3) uint8`` RGB.
    """
    kept = pictures_to_keep(pictures, artifact.image_spec)
    write_reference(artifact.path, kept, reference(kept))
    write_layers(artifact, kept[0])


def known_versions() -> dict[str, str]:
    """The versions of the packages that matter to an artefact, of those that are installed."""
    return {package: found for package in _PACKAGES if (found := version_of(package)) is not None}
