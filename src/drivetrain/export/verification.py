"""Verifying an artefact by comparing its answers with those of the model, which need not be available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ParityError
from drivetrain.export.compare import FP16_FACTOR, FP16_TOLERANCE, compare_predictions
from drivetrain.export.diagnose import likely_cause
from drivetrain.export.layers import INPUT, first_difference
from drivetrain.export.reference import read_reference
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.predictor import Predictor
from drivetrain.runtime.sessions import Backend, RuntimePrecision, open_session, usual_precision
from drivetrain.types import ParityReport, Predictions

Images = Sequence[NDArray[np.uint8]]


def verify(
    artifact: Artifact | str | Path,
    *,
    device: str = "CPU",
    precision: RuntimePrecision = "f32",
    backend: Backend = "auto",
    tolerance: Mapping[str, float] | None = None,
) -> ParityReport:
    """Check an artefact on this machine: its files, and its answers about the pictures it contains.

    The pictures and the model's answers were stored during export, so neither the model nor PyTorch is needed.

    Args:
        artifact: the artefact, or its folder.
        device: an OpenVINO device: ``"CPU"``, ``"GPU"``, ``"NPU"``, ...
        precision: the precision of the arithmetic; ``"f16"``, ``"bf16"`` and ``"auto"`` allow the differences that an
            fp16 export may have.
        backend: ``"openvino"`` or ``"onnxruntime"``; ``"auto"`` runs ``.onnx`` with ONNX Runtime if it is installed.
        tolerance: quantity -> allowed difference, see :data:`drivetrain.export.compare.DEFAULT_TOLERANCE`.

    Returns:
        The largest difference of each quantity, and the tolerance of each.

    Raises:
        ArtifactError: a file is missing or was changed since the export, the graph cannot be loaded, or the artefact
            contains no pictures to compare on.
        OptionError: ``tolerance`` names a quantity that is not compared, or an option has a value that is not allowed.
        ParityError: the artefact's answers differ from the model's; the message names the likely cause, or the first
            layer that differs.
    """
    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    artifact.verify_files()
    reference = read_reference(artifact.path, artifact.task, artifact.label_names)
    report = check_answers(
        artifact,
        reference.answers,
        reference.images,
        tolerance,
        device=device,
        precision=precision,
        backend=backend,
        names=reference.names,
    )
    if report.passed:
        return report
    cause = report.details.get("cause")
    if cause is None:
        cause = _by_layer(first_difference(artifact, reference.images[0], device=device))
    raise ParityError(f"{in_words(report)} {cause}", report)


def _by_layer(name: str | None) -> str:
    if name is None:
        return "Every layer gives the numbers it gave at the export, so the outputs are decoded differently."
    if name == INPUT:
        return "The resized image already differs."
    return f"The first layer whose numbers differ from those at export is {name!r}."


def check_answers(
    artifact: Artifact,
    expected: Predictions,
    images: Images,
    tolerance: Mapping[str, float] | None = None,
    *,
    device: str = "CPU",
    precision: RuntimePrecision = "f32",
    backend: Backend = "auto",
    names: Sequence[str] = (),
) -> ParityReport:
    """Compare with our runtime and, if the graph takes raw images itself, also with raw images.

    Args:
        artifact: the artefact to check.
        expected: the answers of the model.
        images: the images, ``(H, W, 3) uint8`` RGB.
        tolerance: quantity -> allowed difference.
        device: an OpenVINO device.
        precision: the precision of the arithmetic.
        backend: the backend to run.
        names: the names of the images, for the report.

    Returns:
        The report; if it did not pass, ``details["cause"]`` is the likely cause, if a usual mistake explains it.
    """
    factor = 1.0
    if artifact.precision != "fp32" or precision != "f32":
        factor, tolerance = FP16_FACTOR, {**FP16_TOLERANCE, **(tolerance or {})}
    compare = partial(compare_predictions, artifact.task, expected, tolerance=tolerance, factor=factor)
    opened = partial(open_session, artifact, device=device, precision=precision, backend=backend)
    ask = partial(_answers, Predictor(artifact, opened, num_requests=1))
    answers = ask(images)
    report = compare(answers)
    if not report.passed:
        cause = likely_cause(artifact, images, expected, answers, ask, compare)
        report = replace(report, details={**report.details, **({"cause": f"Probably {cause}."} if cause else {})})
    elif artifact.embedded:
        raw = partial(open_session, artifact, device=device, precision=precision, raw=True, backend="openvino")
        ask = partial(_answers, Predictor(artifact, raw, num_requests=1))
        answers = ask(images)
        foreign = compare(answers)
        details = {**report.details, "raw_images": foreign.to_dict()}
        if not foreign.passed and (cause := likely_cause(artifact, images, expected, answers, ask, compare)):
            details["cause"] = f"Probably {cause}."
        report = replace(report, passed=foreign.passed, details=details)
    return replace(report, images=tuple(names) or report.images)


def with_usual_precision(
    report: ParityReport, artifact: Artifact, expected: Predictions, images: Images
) -> ParityReport:
    """Add the differences in the precision that the processor chooses by default, if that is not f32.

    They are reported as ``details["usual_precision"]`` and decide nothing: a wrong conversion already shows at f32.
    """
    usual = usual_precision(artifact)
    if usual == "f32":
        return report
    predictor = Predictor(artifact, partial(open_session, artifact, precision="auto"), num_requests=1)
    found = compare_predictions(artifact.task, expected, _answers(predictor, images), factor=FP16_FACTOR)
    details = {**report.details, "usual_precision": {"precision": usual, **found.to_dict()}}
    return replace(report, details=details)


def _answers(predictor: Predictor, images: Images) -> Predictions:
    takes_confidence = predictor.takes_confidence and predictor.task.value != "multilabel_classification"
    return predictor.predict(list(images), strict=True, confidence=0.0 if takes_confidence else None)


def in_words(report: ParityReport) -> str:
    """The differences in words, for a report that did not pass."""
    bad = [
        f"{name} differ by {value:.3g} (allowed {report.tolerance[name]:.3g})"
        for name, value in report.max_difference.items()
        if not value <= report.tolerance[name]
    ]
    raw = report.details.get("raw_images", {})
    if not bad and raw:
        bad = [
            f"with raw images {name} differ by {value:.3g} (allowed {raw['tolerance'][name]:.3g})"
            for name, value in raw["max_difference"].items()
            if not value <= raw["tolerance"][name]
        ]
    numbers = "; ".join(bad) or f"counts {report.details.get('counts')}"
    return (
        f"The artefact's answers differ from the model's on {len(report.images)} images: {numbers}. "
        f"Same decision in {report.agreement:.0%}."
    )
