"""The Predictor: an artefact that predicts."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import OptionError, UnsupportedOptionError
from drivetrain.images.auto_tiling import TileChoice
from drivetrain.images.live import require_end
from drivetrain.images.sources import SourceItem, expand_source, is_held, read_or_reason, require_readable
from drivetrain.images.threads import run_ordered
from drivetrain.images.tiling import Cutter, Tiling, check_tile
from drivetrain.images.tracks import check_track, least_score, tracked
from drivetrain.machine.resources import core_count
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.in_flight import IN_FLIGHT, InferenceWorker, OutputReader, decoded_answer
from drivetrain.runtime.postprocess import Decoder, make_decoder
from drivetrain.runtime.postprocess.anomaly import AnomalyDecoder
from drivetrain.runtime.postprocess.sensitivity import require_shiftable
from drivetrain.runtime.prediction_stream import PredictionStream
from drivetrain.runtime.sessions import (
    Backend,
    GraphChange,
    Hint,
    OpenVinoSession,
    RuntimePrecision,
    Session,
    open_session,
)
from drivetrain.types import ImageSpec, Prediction, Predictions, Task
from drivetrain.types.options import Tile, Track, check_sensitivity
from drivetrain.types.truth import Truth

Answer = TypeVar("Answer")
#: Sessions copied by a fork: destroying one would wait for threads that do not exist here.
_OF_PARENTS: list[Session] = []


def load(
    path: str | Path,
    *,
    device: str = "CPU",
    precision: RuntimePrecision = "auto",
    num_requests: int | None = None,
    hint: Hint = "throughput",
    backend: Backend = "auto",
    sensitivity: float | None = None,
    description: Mapping[str, Any] | None = None,
) -> Predictor:
    """Load an artefact for prediction; no training framework is needed.

    Args:
        path: its folder, its ``.xml`` or ``.onnx`` file, or its ``manifest.json``.
        device: an OpenVINO device: ``"CPU"``, ``"GPU"``, ``"NPU"``, ...
        precision: precision of the arithmetic: ``"f32"``, ``"f16"``, ``"bf16"``, or ``"auto"`` (the device's default).
        num_requests: images being read and on the device at the same time; by default according to the cores.
        hint: ``"throughput"`` for many images, ``"latency"`` for one at a time.
        backend: ``"openvino"`` or ``"onnxruntime"``; ``"auto"`` runs ``.onnx`` with ONNX Runtime if it is installed.
        sensitivity: how readily an anomaly model classifies images and pixels as anomalous (0..1; 0.5 is the threshold
            from validation); by default that of the export. ``predict`` can override it.
        description: of a model file of another tool, what it does not say of itself: ``task``, ``label_names``,
            ``decoder``, ``decoder_args`` and the fields of :class:`drivetrain.types.ImageSpec`.

    Raises:
        ArtifactError: the artefact is missing, broken or cannot be loaded.
        OptionError: an option has a value that is not allowed.
        UnsupportedOptionError: ``sensitivity`` for a model that does not detect anomalies.
    """
    check_sensitivity(sensitivity)
    artifact = Artifact.open(path, description)
    check_sensitivity(sensitivity, artifact.task)
    opened = partial(open_session, artifact, device=device, precision=precision, hint=hint, backend=backend)
    return Predictor(artifact, opened, num_requests=num_requests, sensitivity=sensitivity)


class Predictor:
    """A loaded artefact; created by :func:`load`.

    It can be pickled, and used in a process forked from the one that created it: the other process loads the
    artefact again, since the threads of a runtime do not survive a fork.

    Args:
        artifact: the artefact.
        open_again: loads it into a runtime.
        num_requests: images being read and on the device at the same time.
        sensitivity: default sensitivity of an anomaly model; by default that of the export.
    """

    def __init__(
        self,
        artifact: Artifact,
        open_again: Callable[[], Session],
        *,
        num_requests: int | None = None,
        sensitivity: float | None = None,
    ) -> None:
        if num_requests is not None and num_requests < 1:
            raise OptionError(f"num_requests={num_requests} must be at least 1.")
        self.artifact = artifact
        self._open_again, self._num_requests, self._sensitivity = open_again, num_requests, sensitivity
        self._session, self._process = open_again(), os.getpid()
        self._threads = num_requests or max(core_count(), self._session.streams)
        self._decoder = self._make_decoder(None, sensitivity)

    def __reduce__(self) -> tuple[Any, ...]:
        made = partial(Predictor, num_requests=self._num_requests, sensitivity=self._sensitivity)
        return made, (self.artifact, self._open_again)

    @property
    def task(self) -> Task:
        """The task of the model."""
        return self.artifact.task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number."""
        return self.artifact.label_names

    @property
    def image_spec(self) -> ImageSpec:
        """How an image becomes the input of the model."""
        return self.artifact.image_spec

    @property
    def session(self) -> Session:
        """The session of this process."""
        if self._process != os.getpid():
            _OF_PARENTS.append(self._session)
            self._session, self._process = self._open_again(), os.getpid()
        return self._session

    @property
    def takes_confidence(self) -> bool:
        """Whether :meth:`predict` accepts ``confidence``."""
        return self._decoder.takes_confidence

    @property
    def sensitivity(self) -> float | None:
        """How readily images count as anomalous unless ``predict`` overrides it; ``None`` if unknown or none."""
        decoder = self._decoder
        return (
            decoder.image_sensitivity
            if isinstance(decoder, AnomalyDecoder) and self.artifact.records_sensitivity
            else None
        )

    def __repr__(self) -> str:
        return f"Predictor({self.artifact.model_name or self.artifact.model_file!r}, task={self.task.value!r})"

    @overload
    def predict(
        self,
        source: Any,
        *,
        stream: Literal[False] = False,
        confidence: float | None = None,
        sensitivity: float | None = None,
        tile: Tile | None = None,
        track: Track | None = None,
        strict: bool = False,
    ) -> Predictions: ...

    @overload
    def predict(
        self,
        source: Any,
        *,
        stream: Literal[True],
        confidence: float | None = None,
        sensitivity: float | None = None,
        tile: Tile | None = None,
        track: Track | None = None,
        strict: bool = False,
    ) -> PredictionStream: ...

    def predict(
        self,
        source: Any,
        *,
        stream: bool = False,
        confidence: float | None = None,
        sensitivity: float | None = None,
        tile: Tile | None = None,
        track: Track | None = None,
        strict: bool = False,
    ) -> Predictions | PredictionStream:
        """Predict images; they are read in threads while others are on the device.

        Args:
            source: an array ``(H, W, 3) uint8`` RGB, a torch tensor with such pixels, a PIL image, a file, folder
                (recursive), glob or video, a series of these, or a data set; with ``stream`` also a camera ("camera:0")
                or the address of a stream ("rtsp://...").
            stream: yield the predictions one by one, as they are computed, in bounded memory. Each keeps an image
                passed in memory, so that it can be drawn.
            confidence: drop objects with a lower score (0..1); for tasks with objects.
            sensitivity: how readily an anomaly model classifies images and pixels as anomalous (0..1); by default that
                of ``load``, else of the export.
            tile: cut images into tiles, for small objects: the side of a tile in pixels of the image, or (side,
                overlap) with the overlap of neighbours as a fraction, 0.2 by default, or "auto" for what the export
                chose by the sizes of the objects in the training data (``artifact.tiling`` has the reason). Objects
                are also searched for in the whole image.
            track: give each object of a video the same number in all frames: "bytetrack".
            strict: raise for an unreadable image; otherwise it is skipped and listed in ``skipped``.

        Returns:
            The predictions in the order of the images, or an iterator over them.

        Raises:
            DataError: there are no images.
            ImageError: no image can be read (except with ``stream``), or one cannot be and ``strict`` is set.
            OptionError: ``confidence`` or ``sensitivity`` is not in 0..1.
            UnsupportedOptionError: the task, or for ``track`` the source, has no use for one that was given.
        """
        check_tile(tile, self.task)
        check_track(track, source, self.task)
        if not stream:
            require_end(source)
        usual = (
            float(self.artifact.decoder_args.get("confidence_threshold", 0.25)) if confidence is None else confidence
        )
        if track is not None:
            confidence = least_score(confidence, usual)
        plain = confidence is None and sensitivity is None
        decoder = self._decoder if plain else self._make_decoder(confidence, sensitivity)
        tiling = Tiling.of(self._usual_tile() if tile == "auto" else tile)
        items, keep = expand_source(source), stream or is_held(source)
        run = self._run if tiling is None else partial(self._run_tiled, tiling)
        found = run(items, decoder, strict=strict, keep=keep)
        results = PredictionStream(found if track is None else tracked(found, usual))
        if stream:
            return results
        answers = list(results)
        require_readable(answers, results.skipped)
        skipped, truth = results.skipped, Truth.of(source)
        return Predictions(answers, task=self.task, label_names=self.label_names, skipped=skipped, truth=truth)

    def _usual_tile(self) -> Tile | None:
        """The tiles that the export chose.

        Raises:
            OptionError: it chose none, because the sizes of the objects were unknown.
        """
        if not self.artifact.tiling:
            raise OptionError(
                "tile='auto' is what the export chose by the sizes of the objects in the training data, but this "
                "artefact was exported without them. Give the side of a tile, such as 640, or export again with "
                "the data."
            )
        return TileChoice.from_dict(self.artifact.tiling).tile

    def _run(
        self, items: Iterator[SourceItem], decoder: Decoder, *, strict: bool, keep: bool
    ) -> Iterator[Prediction | tuple[str, str]]:
        return self._asked(items, self.session, partial(decoded_answer, decoder, keep), strict=strict)

    def _asked(
        self, items: Iterator[SourceItem], session: Session, read: OutputReader[Answer], *, strict: bool
    ) -> Iterator[Answer | tuple[str, str]]:
        return run_ordered(
            items,
            lambda: InferenceWorker(session, read, strict),
            workers=self._threads,
            window=self._threads * (IN_FLIGHT + 2),
        )

    def inside(self, change: GraphChange) -> Session:
        """The graph with more outputs, in OpenVINO, and in f32 unless another precision was asked for.

        Args:
            change: adds outputs to the graph, or says that it has not what is looked for.

        Raises:
            ArtifactError: the graph cannot be loaded.
        """
        given = self._open_again.keywords if isinstance(self._open_again, partial) else {}
        return OpenVinoSession(
            self.artifact,
            device=given.get("device", "CPU"),
            precision="f32" if given.get("precision", "auto") == "auto" else given["precision"],
            hint=given.get("hint", "throughput"),
            change=change,
        )

    def ask_inside(
        self, session: Session, images: Iterable[tuple[str, NDArray[np.uint8]]], read: OutputReader[Answer]
    ) -> Iterator[Answer]:
        """What ``read`` makes of the outputs of a session about ``(path, (H, W, 3) uint8 RGB)``, in their order."""
        items = (SourceItem(path, partial(np.asarray, image)) for path, image in images)
        answers: Iterator[Any] = self._asked(items, session, read, strict=True)
        return answers

    def _run_tiled(
        self, tiling: Tiling, items: Iterator[SourceItem], decoder: Decoder, *, strict: bool, keep: bool
    ) -> Iterator[Prediction | tuple[str, str]]:
        """Like :meth:`_run`, with every image in tiles; unreadable ones come at the end."""
        cutter = Cutter(tiling, self.task)
        given: deque[Any] = deque()
        unread: list[tuple[str, str]] = []

        def images() -> Iterator[tuple[str, NDArray[np.uint8]]]:
            for item in items:
                image = read_or_reason(item, strict=strict)
                if isinstance(image, str):
                    unread.append((item.path, image))
                else:
                    given.append(item.given if keep else None)
                    yield item.path, image

        crops = (SourceItem(path, partial(np.asarray, crop)) for path, crop in cutter.crops(images()))
        answers = self._run(crops, decoder, strict=strict, keep=False)
        for answer in cutter.join(item for item in answers if isinstance(item, Prediction)):
            yield replace(answer, image=given.popleft())
        yield from unread

    def _make_decoder(self, confidence: float | None, sensitivity: float | None) -> Decoder:
        artifact = self.artifact
        sensitivity = self._sensitivity if sensitivity is None else sensitivity
        decoder = make_decoder(artifact.decoder, artifact.decoder_args, artifact.label_names, artifact.image_spec)
        changes: dict[str, float] = {}
        if confidence is not None:
            if not 0.0 <= confidence <= 1.0:
                raise OptionError(f"confidence={confidence} must be between 0 and 1.")
            if not decoder.takes_confidence:
                raise UnsupportedOptionError(
                    f"confidence={confidence}: predictions of the task {self.task.value!r} have no threshold. Leave it "
                    "out."
                )
            changes["confidence_threshold"] = confidence
        if sensitivity is not None:
            check_sensitivity(sensitivity, self.task)
            require_shiftable(
                sensitivity, artifact.decoder, takes=decoder.takes_sensitivity, recorded=artifact.records_sensitivity
            )
            changes["sensitivity"] = float(sensitivity)
        if not changes:
            return decoder
        changed = {**artifact.decoder_args, **changes}
        return make_decoder(artifact.decoder, changed, artifact.label_names, artifact.image_spec)
