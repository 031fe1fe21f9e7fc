"""Sessions: an artefact loaded into OpenVINO or ONNX Runtime, for use from several threads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ArtifactError, OptionError, UnsupportedError, UnsupportedOptionError
from drivetrain.machine.packages import is_installed, onnxruntime, openvino
from drivetrain.runtime.artifact import Artifact
from drivetrain.runtime.preprocess import preprocess, resize_uint8
from drivetrain.runtime.preprocess_graph import RESIZED_NAME, take_resized

RuntimePrecision = Literal["auto", "f32", "f16", "bf16"]
Hint = Literal["throughput", "latency"]
Backend = Literal["auto", "openvino", "onnxruntime"]
#: Adds outputs to a graph of OpenVINO, and gives their names.
GraphChange = Callable[[Any], tuple[str, ...]]


class InferenceRequest(Protocol):
    """One inference at a time; belongs to one thread."""

    def start(self, image: NDArray[np.uint8]) -> None:
        """Prepare an ``(H, W, 3)`` image and start."""

    def wait(self) -> dict[str, NDArray[Any]]:
        """The outputs for the image that was started; they belong to the caller."""


class Session(Protocol):
    """A loaded model.

    Attributes:
        streams: inferences at the same time.
        facts: ``runtime``, ``device``, ``precision`` and ``threads``, for a report.
    """

    streams: int
    facts: dict[str, Any]

    def request(self) -> InferenceRequest:
        """A new request."""


def open_session(
    artifact: Artifact,
    *,
    device: str = "CPU",
    precision: RuntimePrecision = "auto",
    hint: Hint = "throughput",
    backend: Backend = "auto",
    raw: bool = False,
    streams: int | None = None,
    batch: int = 1,
) -> Session:
    """Load the model of an artefact.

    Args:
        artifact: the artefact to load.
        device: an OpenVINO device, such as ``"CPU"`` or ``"GPU"``.
        precision: precision of the arithmetic; ``"auto"`` leaves it to the device.
        hint: what to prefer.
        backend: ``"auto"`` runs ONNX files with ONNX Runtime if it is installed, otherwise with OpenVINO.
        raw: use the preprocessing in the graph instead of the host's, like other clients do.
        streams: inferences at the same time; as the hint says if not given.
        batch: images in an inference; a request then takes one image that many times.

    Raises:
        ArtifactError: the graph cannot be loaded.
        OptionError: an option has a value that is not allowed.
        UnsupportedOptionError: the backend cannot honour an option.
    """
    for name, value, allowed in (
        ("precision", precision, get_args(RuntimePrecision)),
        ("hint", hint, get_args(Hint)),
        ("backend", backend, get_args(Backend)),
    ):
        if value not in allowed:
            raise OptionError(f"{name}={value!r}; allowed: {', '.join(allowed)}.")
    if raw and not artifact.embedded:
        raise UnsupportedOptionError("raw=True: the graph of this artefact has no preprocessing in it.")
    if backend == "onnxruntime" and artifact.format != "onnx":
        raise UnsupportedOptionError(f"backend='onnxruntime' cannot run the format {artifact.format!r}.")
    if batch > 1 and (raw or not artifact.dynamic_batch):
        raise UnsupportedOptionError(f"batch={batch}: the graph of this artefact takes one image at a time.")
    if backend == "auto":
        fits = artifact.format == "onnx" and device == "CPU" and precision in ("auto", "f32")
        backend = "onnxruntime" if fits and is_installed("onnxruntime") else "openvino"
    if backend == "onnxruntime":
        return OnnxSession(artifact, device=device, precision=precision, hint=hint, streams=streams, batch=batch)
    return OpenVinoSession(
        artifact, device=device, precision=precision, hint=hint, raw=raw, streams=streams, batch=batch
    )


def usual_precision(artifact: Artifact) -> str:
    """The precision of a session on the CPU if ``precision`` is not given.

    Returns:
        ``"f32"``, or ``"bf16"`` or ``"f16"`` on a processor that supports it.
    """
    if artifact.format == "onnx" and is_installed("onnxruntime"):
        return "f32"
    return str(openvino().Core().get_property("CPU", "INFERENCE_PRECISION_HINT").get_type_name())


class OpenVinoSession:
    """A model in OpenVINO.

    The graph is cut after its embedded resize, which the host does instead: the shapes are then static, which every
    device prefers, and the resize does not depend on the device's precision.

    Args:
        artifact: the artefact to load.
        device: see :func:`open_session`.
        precision: see there.
        hint: see there.
        raw: see there.
        change: adds outputs to the graph, after its own.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        device: str,
        precision: RuntimePrecision,
        hint: Hint,
        raw: bool = False,
        streams: int | None = None,
        batch: int = 1,
        change: GraphChange | None = None,
    ) -> None:
        ov = openvino()

        config: dict[str, Any] = {"PERFORMANCE_HINT": hint.upper()}
        if precision != "auto":
            config["INFERENCE_PRECISION_HINT"] = precision
        if streams is not None:
            config["NUM_STREAMS"] = str(streams)
        if device == "CPU":
            config["ENABLE_CPU_PINNING"] = False  # decoding threads share the cores
        raw = raw or (artifact.embedded and artifact.is_bare)  # the preprocessing of another tool is known to it alone
        core = ov.Core()
        try:
            model = core.read_model(artifact.model_path)
            names = tuple(_output_name(port, number) for number, port in enumerate(model.outputs))
            if not raw:
                model = take_resized(model, artifact.image_spec, embedded=artifact.embedded, batch=batch)
            more = change(model) if change is not None else ()
            self.compiled = core.compile_model(model, device, config)
        except UnsupportedError:  # of the change; it is a RuntimeError too
            raise
        except RuntimeError as error:
            raise ArtifactError(
                f"OpenVINO cannot load {str(artifact.model_path)!r} on device={device!r}: {error}"
            ) from error
        self.output_names = (*(artifact.output_names or names), *more)
        self._artifact, self._raw, self._batch = artifact, raw, batch
        self.facts = {
            "runtime": f"openvino {ov.__version__.partition('-')[0]}",
            "device": device,
            "precision": str(_told(self.compiled, "INFERENCE_PRECISION_HINT") or precision),
            "threads": int(_told(self.compiled, "INFERENCE_NUM_THREADS") or 0),
        }
        self.streams = max(1, int(self.compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")))

    def request(self) -> InferenceRequest:
        """A new request; it belongs to one thread."""
        request = self.compiled.create_infer_request()
        return _OpenVinoRequest(request, self.output_names, self._artifact, raw=self._raw, batch=self._batch)


def _told(compiled: Any, name: str) -> Any:
    """A property of a compiled model, if its device has it."""
    if name not in compiled.get_property("SUPPORTED_PROPERTIES"):
        return None
    value = compiled.get_property(name)
    return value.get_type_name() if hasattr(value, "get_type_name") else value


class _OpenVinoRequest:
    def __init__(self, request: Any, names: tuple[str, ...], artifact: Artifact, *, raw: bool, batch: int) -> None:
        ov = openvino()

        self._tensor = ov.Tensor
        self._request, self._names, self._artifact, self._raw = request, names, artifact, raw
        self._batch = batch
        self._held: NDArray[Any] | None = None  # the memory that the device reads

    def start(self, image: NDArray[np.uint8]) -> None:
        pixels = _raw_input(image, self._artifact) if self._raw else resize_uint8(image, self._artifact.image_spec)
        if not pixels.flags.writeable or not pixels.flags.c_contiguous:
            pixels = np.array(pixels, order="C")  # OpenVINO only shares writable memory
        self._held = pixels[None] if self._batch == 1 else np.repeat(pixels[None], self._batch, axis=0)
        self._request.set_input_tensor(self._tensor(self._held, shared_memory=True))
        self._request.start_async()

    def wait(self) -> dict[str, NDArray[Any]]:
        self._request.wait()
        self._held = None
        return {name: np.array(self._request.get_output_tensor(index).data) for index, name in enumerate(self._names)}


class OnnxSession:
    """A model in ONNX Runtime on the CPU, with any embedded preprocessing in the graph."""

    def __init__(
        self,
        artifact: Artifact,
        *,
        device: str,
        precision: RuntimePrecision,
        hint: Hint,
        streams: int | None = None,
        batch: int = 1,
    ) -> None:
        ort = onnxruntime()

        if device != "CPU" or precision not in ("auto", "f32"):
            raise UnsupportedOptionError(
                f"ONNX Runtime runs here on device='CPU' in f32, not on {device!r} in {precision!r}. "
                "Use backend='openvino'."
            )
        options = ort.SessionOptions()
        if hint == "throughput":
            options.intra_op_num_threads = 1
        try:
            self.session = ort.InferenceSession(str(artifact.model_path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ArtifactError(f"ONNX Runtime cannot load {str(artifact.model_path)!r}: {error}") from error
        self.output_names = artifact.output_names or tuple(output.name for output in self.session.get_outputs())
        self._artifact, self._batch = artifact, batch
        self.streams = streams or (1 if hint == "latency" else 2)
        threads = options.intra_op_num_threads * self.streams
        self.facts = {"runtime": f"onnxruntime {ort.__version__}", "device": device, "precision": "f32"}
        self.facts["threads"] = threads

    def request(self) -> InferenceRequest:
        """A new request; it belongs to one thread."""
        return _OnnxRequest(self.session, self.output_names, self._artifact, self._batch)


class _OnnxRequest:
    def __init__(self, session: Any, names: tuple[str, ...], artifact: Artifact, batch: int) -> None:
        self._session, self._names, self._artifact, self._batch = session, names, artifact, batch
        self._input: str = session.get_inputs()[0].name
        self._results: list[NDArray[Any]] = []

    def start(self, image: NDArray[np.uint8]) -> None:
        embedded = self._artifact.embedded
        pixels = _raw_input(image, self._artifact) if embedded else preprocess(image, self._artifact.image_spec)
        inputs = pixels[None] if self._batch == 1 else np.repeat(pixels[None], self._batch, axis=0)
        self._results = self._session.run(None, {self._input: inputs})

    def wait(self) -> dict[str, NDArray[Any]]:
        return dict(zip(self._names, self._results, strict=True))


def _raw_input(image: NDArray[np.uint8], artifact: Artifact) -> NDArray[Any]:
    """The image in the form of a graph with its own preprocessing."""
    return image.transpose(2, 0, 1).astype(np.float32, order="C") / np.float32(255) if artifact.planes else image


def _output_name(port: Any, number: int) -> str:
    names = sorted(port.get_names() - {RESIZED_NAME})
    return names[0] if names else f"output_{number}"
