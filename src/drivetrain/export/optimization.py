"""Making an artefact lighter: the new artefact is measured before it gets its name."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain._version import __version__
from drivetrain.data import Dataset
from drivetrain.errors import AccuracyDropError, DataError, UnsupportedError, either
from drivetrain.export import quantization
from drivetrain.export.compare import compare_predictions
from drivetrain.export.export import PARITY_NAME, halved, keep_reference, known_versions
from drivetrain.export.judging import Judge, Seen, find_lines, see, sensitivity_of_graph
from drivetrain.export.measuring import answers_of, check_metrics, largest_drop, measured, metrics_that_decide
from drivetrain.export.network import QuantizableNetwork
from drivetrain.export.recalibration import recalibrate
from drivetrain.export.reference import FOLDER, has_reference, read_reference
from drivetrain.export.whole_folder import building, take_name
from drivetrain.images.read import read_image
from drivetrain.machine.packages import version_of
from drivetrain.runs.place import require_new
from drivetrain.runtime.artifact import MANIFEST_NAME, Artifact
from drivetrain.runtime.timing import network_latency
from drivetrain.types import Metrics, Predictions, Sample, Task
from drivetrain.types.options import OptimizeMethod, OptimizePrecision

FEWEST = 8
"""The minimum number of calibration images: with fewer the ranges of the layers are unreliable."""
_MOST_JUDGED = 300
_COMPARED = 8
_SECONDS = 0.5
_WAYS: dict[str, tuple[str, ...]] = {"auto": ("ptq", "accuracy_control")}
_OWN_FILES = (MANIFEST_NAME, PARITY_NAME)


@dataclass(frozen=True, slots=True)
class Wish:
    """The requested optimisation.

    Attributes:
        precision: of the new artefact.
        method: how to achieve it.
        max_drop: the largest allowed drop of each metric.
        metric: the metric that decides; those of the task if ``None``.
    """

    precision: OptimizePrecision
    method: OptimizeMethod
    max_drop: float
    metric: str | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Images for calibration and evaluation.

    Attributes:
        samples: the evaluated samples, with known answers.
        paths: the paths of their images.
        label_names: the labels of the samples.
        subset: the subset of the samples.
        calibration: files of other images, if there are any.
        calibrated_on: the subsets of these, in words.
    """

    samples: Dataset | Sequence[Sample]
    paths: Sequence[str]
    label_names: tuple[str, ...]
    subset: str
    calibration: Sequence[str]
    calibrated_on: str


def check_optimizable(artifact: Artifact, precision: str) -> None:
    """Refuse an artefact that cannot be made lighter, before anything is done.

    Raises:
        UnsupportedError: it is already light, or its format does not allow it.
    """
    if artifact.precision != "fp32" and not (artifact.precision == "fp16" and precision.startswith("int8")):
        raise UnsupportedError(
            f"precision={precision!r}: the artefact {str(artifact.path)!r} is {artifact.precision} already. Give the "
            "one at full precision that it came from, or the trained model."
        )
    if artifact.format == "onnx" and precision == "int8_weights":
        raise UnsupportedError(
            "precision='int8_weights': ONNX Runtime does not run convolutions with such weights. Give precision='int8' "
            f"or precision='fp16', or export to OpenVINO: {either('engine.export()', 'drivetrain export')}."
        )
    if artifact.format == "onnx" and artifact.task is Task.ANOMALY and precision != "fp16":
        raise UnsupportedError(
            f"precision={precision!r}: the scores of an anomaly model need recalibration, which is only supported for "
            f"OpenVINO, and this is ONNX. Export it to OpenVINO: {either('engine.export()', 'drivetrain export')}."
        )


def optimize_artifact(
    source: Artifact,
    directory: Path,
    wish: Wish,
    evidence: Evidence,
    *,
    overwrite: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Artifact:
    """Write a lighter artefact and measure it; if it loses too much, nothing of it remains.

    Args:
        source: the original artefact; not changed.
        directory: the directory of the new artefact.
        wish: the requested optimisation.
        evidence: the images.
        overwrite: replace an existing artefact.
        note: called with progress messages.

    Returns:
        The new artefact; its ``optimization`` contains the measurements.

    Raises:
        UnsupportedError: the source cannot be made lighter.
        ArtifactExistsError: ``directory`` already exists.
        OptionError: the metric is not measured.
        DataError: there are too few images, or the metric is undefined on them.
        ExportError: the optimisation failed.
        AccuracyDropError: the metrics drop by more than is allowed.
    """
    final = Path(directory).absolute()
    check_optimizable(source, wish.precision)
    if not overwrite:
        require_new(final)
    if wish.precision == "int8" and len(evidence.calibration) < FEWEST:
        raise DataError(
            f"There are {len(evidence.calibration)} images to calibrate with ({evidence.calibrated_on}), and at least "
            f"{FEWEST} are needed; some hundred are better. Give more data."
        )
    with building(final) as folder:
        return _Work(source, folder, final, wish, evidence, note).done()


class _Work:
    """An optimisation of one artefact."""

    def __init__(
        self,
        source: Artifact,
        folder: Path,
        final: Path,
        wish: Wish,
        evidence: Evidence,
        note: Callable[[str], None],
    ) -> None:
        self.source, self.folder, self.final = source, folder, final
        self.wish, self.evidence, self.note = wish, evidence, note
        self.deciding = metrics_that_decide(source.task, wish.metric)
        self.answers = answers_of(source, evidence.paths)
        self.before = self._measure(self.answers)
        check_metrics(self.deciding, self.before, evidence.subset)

    def done(self) -> Artifact:
        """Try the methods one by one; finish the first that is good enough."""
        ways = _WAYS.get(self.wish.method, (self.wish.method,)) if self.wish.precision == "int8" else ("weights",)
        tried: dict[str, float] = {}
        for way in ways:
            artifact, layers = self._lighter(way)
            answers = answers_of(artifact, self.evidence.paths)
            after = self._measure(answers)
            tried[way] = largest_drop(self.deciding, self.before, after)
            report = self._report(artifact, after, way, tried, layers)
            if tried[way] <= self.wish.max_drop and layers[1]:
                return self._finish(artifact, report, answers)
            if way != ways[-1]:
                self.note(
                    f"{self._in_words(after)}, more than max_drop={self.wish.max_drop:g}: continuing with accuracy "
                    "control, which keeps the layers that lose most at full precision."
                )
        if not layers[1]:
            raise AccuracyDropError(
                f"max_drop={self.wish.max_drop:g} can be met on subset={self.evidence.subset!r} only with all layers "
                "at full precision. Allow more, give more images, or give precision='fp16'.",
                report,
            )
        raise AccuracyDropError(
            f"{self._in_words(after)}, more than max_drop={self.wish.max_drop:g} allows on the {self.before.count} "
            f"images of subset={self.evidence.subset!r}; nothing was written. Allow more, calibrate with more images "
            "(samples=...), or give precision='int8_weights' or 'fp16'.",
            report,
        )

    def _measure(self, answers: Predictions) -> Metrics:
        return measured(self.evidence.samples, answers, self.source.task, self.evidence.label_names)

    def _in_words(self, after: Metrics) -> str:
        parts = [f"{name} {self.before[name]:.4f} -> {after[name]:.4f}" for name in self.deciding]
        return f"{self.wish.precision} costs too much: {', '.join(parts)}"

    def _lighter(self, way: str) -> tuple[Artifact, tuple[int, int]]:
        """A new artefact in the folder; the number of its layers with weights, and of its light layers."""
        artifact = self._copied()
        if self.wish.precision == "fp16":
            return halved(artifact), (1, 1)
        network = quantization.open_network(artifact)
        if way == "weights":
            graph = quantization.weights_only(network)
        elif way == "ptq":
            graph = quantization.post_training(network, [seen.resized for seen in self.calibration])
        else:
            calibration = [seen.resized for seen in self.calibration]
            judged = [seen.resized for seen in self.judged]
            graph = quantization.controlled(network, calibration, judged, self._judge(network), self.wish.max_drop)
        layers = network.count(graph)
        if self.source.task is Task.ANOMALY and layers[1]:
            graph = self._recalibrated(network, graph)
        network.write(graph)
        return replace(artifact, precision=self.wish.precision).write_manifest(), layers

    def _copied(self) -> Artifact:
        """A copy of the source without its manifest, comparison and reference."""
        weights = Path(self.source.model_file).with_suffix(".bin")
        of_model = [self.source.model_file, *([weights.name] if (self.source.path / weights).is_file() else [])]
        for name in self.source.files or of_model:
            if name not in _OWN_FILES and not name.startswith(f"{FOLDER}/"):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(self.source.path / name, self.folder / name)
        return replace(
            self.source, path=self.folder, parity={}, optimization={}, files={}, versions=self._versions()
        ).write_manifest()

    def _versions(self) -> dict[str, str]:
        now = known_versions()
        own = {"nncf": version_of("nncf") or ""} if self.wish.precision != "fp16" else {}
        return {**self.source.versions, **{name: now[name] for name in ("openvino", "onnx") if name in now}, **own}

    @cached_property
    def calibration(self) -> list[Seen]:
        """The calibration images, as the network sees them."""
        return see(self.source, self.evidence.calibration)

    @cached_property
    def judged(self) -> list[Seen]:
        """The images to judge on while layers are chosen."""
        paths = self.evidence.paths
        return see(self.source, paths[:: max(1, -(-len(paths) // _MOST_JUDGED))])

    @cached_property
    def by_path(self) -> dict[str, Sample]:
        """The sample of each image."""
        return {sample.path: sample for sample in self.evidence.samples}

    def _judge(self, network: QuantizableNetwork) -> Judge:
        judged, prepared = self.judged, network.prepared(network.graph)
        return Judge(
            self.source,
            judged,
            [self.by_path[seen.path] for seen in judged],
            self.evidence.label_names,
            self.deciding,
            [self._kind(seen.path) for seen in judged],
            lambda number: network.run(prepared, network.input_of(judged[number].resized)),
        )

    def _kind(self, path: str) -> int:
        """The kind for moving a threshold: 1 for an anomalous image, 0 for a normal one, -1 for one of the test set."""
        sample = self.by_path.get(path)
        known = sample is not None and sample.anomalous is not None and self.evidence.subset != "test"
        return int(bool(sample.anomalous)) if known and sample is not None else -1

    def _recalibrated(self, network: QuantizableNetwork, graph: Any) -> Any:
        """The graph of an anomaly model with the threshold and scale of its scores recalibrated."""
        images = [*self.judged, *(seen for seen in self.calibration if seen.path not in self.by_path)]
        answers = []
        for one in (network.graph, graph):
            prepared = network.prepared(one)
            answers.append([network.run(prepared, network.input_of(seen.resized)) for seen in images])
        kinds = [self._kind(seen.path) for seen in images]
        lines = find_lines(self.source, answers[0], answers[1], kinds)
        return recalibrate(graph, self.source.output_names, *lines, sensitivity_of_graph(self.source))

    def _report(
        self, artifact: Artifact, after: Metrics, way: str, tried: dict[str, float], layers: tuple[int, int]
    ) -> dict[str, Any]:
        return {
            "precision": self.wish.precision,
            "method": way,
            "metrics": list(self.deciding),
            "subset": self.evidence.subset,
            "images": self.before.count,
            "before": {name: float(value) for name, value in self.before.items()},
            "after": {name: float(value) for name, value in after.items()},
            "drop": tried[way],
            "max_drop": self.wish.max_drop,
            "tried": dict(tried),
            "calibration": {
                "images": len(self.evidence.calibration) if self.wish.precision == "int8" else 0,
                "subsets": self.evidence.calibrated_on,
            },
            "layers": {"with_weights": layers[0], "light": layers[1]},
            "bytes": {"before": weights_bytes(self.source), "after": weights_bytes(artifact)},
            "source": self.source.path.name,
        }

    def _finish(self, artifact: Artifact, report: dict[str, Any], answers: Predictions) -> Artifact:
        latency = {"before": network_latency(self.source, _SECONDS), "after": network_latency(artifact, _SECONDS)}
        report["latency_ms"] = latency
        few = slice(0, _COMPARED)
        parity = compare_predictions(self.source.task, self.answers[few], answers[few])
        names = {"tolerance": {}, "passed": True, "details": {"decided_by": list(self.deciding)}}
        now = datetime.now(UTC).isoformat(timespec="seconds")
        artifact = replace(
            artifact,
            optimization=report,
            parity={**parity.to_dict(), "images": list(parity.images), **names},
            created=now,
            drivetrain_version=__version__,
        )
        keep_reference(artifact, lambda pictures: answers_of(artifact, pictures), self._pictures())
        artifact = artifact.write_manifest()
        take_name(self.folder, self.final)
        return replace(artifact, path=self.final)

    def _pictures(self) -> list[NDArray[np.uint8]]:
        if has_reference(self.source.path):
            stored = read_reference(self.source.path, self.source.task, self.source.label_names)
            return list(stored.images)
        return [read_image(path) for path in self.evidence.paths[:_COMPARED]]


def weights_bytes(artifact: Artifact) -> int:
    """The size of the file with the weights, in bytes; for an ONNX model it includes the graph."""
    weights = artifact.model_path.with_suffix(".bin")
    return (weights if artifact.format == "openvino" and weights.is_file() else artifact.model_path).stat().st_size
