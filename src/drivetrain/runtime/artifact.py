"""An exported model and its manifest: a self-describing folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from drivetrain.errors import ArtifactError, DrivetrainError, either
from drivetrain.machine.files import write_json
from drivetrain.types import ImageSpec, Task

ArtifactFormat = Literal["openvino", "onnx"]
ArtifactPrecision = Literal["fp32", "fp16", "int8"]

MANIFEST_NAME = "manifest.json"
SCHEMA_VERSION = 1
_MODEL_SUFFIXES = {".xml": "openvino", ".onnx": "onnx"}
_CHECKPOINTS = (".ckpt", ".pt", ".pth", ".safetensors")
_CHUNK = 1 << 20
_EXPORT = either("engine.export()", "drivetrain export --model RUN")


@dataclass(frozen=True, slots=True)
class Artifact:
    """A model exported from its framework, with everything needed to run it.

    Attributes:
        path: the folder.
        format: ``"openvino"`` or ``"onnx"``.
        precision: precision of the stored weights: ``"fp32"``, ``"fp16"`` or ``"int8"``.
        task: the task of the model.
        label_names: the name of each label, by its number.
        image_spec: how an image becomes the input of the model.
        decoder: name of the decoder of the outputs, or its class path ``"package.module:Class"``.
        decoder_args: plain data for that decoder.
        engine: the engine that exported it (``""`` for a plain model file).
        model_name: the name of the exported model.
        model_file: the file with the graph, relative to ``path``.
        embedded: whether the graph takes raw ``(B, H, W, 3) uint8`` RGB images of any size. If not, it takes
            ``(B, 3, height, width)`` floats, and :attr:`image_spec` says how to compute them.
        planes: the raw images are not ``(B, H, W, 3) uint8`` but ``(B, 3, H, W) float32`` in 0..1.
        dynamic_batch: whether the graph accepts more than one image at a time.
        output_names: outputs of the graph, in order.
        versions: package -> version, at export.
        licences: licences of the ``code`` and published ``weights`` of the original model; "unknown" if its upstream
            states none, empty if an older drivetrain wrote the artefact.
        files: name -> ``{"size": bytes, "sha256": hex}`` of every file in the folder except the manifest.
        tiling: the tiles that suit the objects in the training data: ``size``, ``overlap`` and the ``reason``; empty
            if unknown.
        parity: the report of the comparison with the original model, as plain data.
        created: ISO time in UTC.
        drivetrain_version: the version that wrote it.
        schema_version: version of the manifest's schema.
    """

    path: Path
    format: ArtifactFormat
    precision: ArtifactPrecision
    task: Task
    label_names: tuple[str, ...]
    image_spec: ImageSpec
    decoder: str
    model_file: str
    decoder_args: dict[str, Any] = field(default_factory=dict)
    engine: str = ""
    model_name: str = ""
    embedded: bool = True
    planes: bool = False
    dynamic_batch: bool = False
    output_names: tuple[str, ...] = ()
    versions: dict[str, str] = field(default_factory=dict)
    licences: dict[str, str] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    tiling: dict[str, Any] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    drivetrain_version: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def model_path(self) -> Path:
        """The ``.xml`` or ``.onnx`` file."""
        return self.path / self.model_file

    @property
    def size_bytes(self) -> int:
        """The total size of the files."""
        return sum(int(entry["size"]) for entry in self.files.values())

    @classmethod
    def open(cls, path: str | Path) -> Artifact:
        """Open an artefact: its folder, its ``manifest.json``, or its ``.xml`` or ``.onnx`` file.

        A model file without a manifest is opened by the ModelAPI metadata in it.

        Raises:
            ArtifactError: it does not exist; the manifest is missing, broken or from a newer schema; a file is missing
                or differs in size from the manifest; or the metadata of a plain model file are insufficient.
        """
        path = Path(path)
        if not path.exists():
            raise ArtifactError(f"the artefact {str(path)!r} does not exist. Create one: {_EXPORT}.")
        if path.is_file() and path.suffix in _CHECKPOINTS:
            raise ArtifactError(
                f"{str(path)!r} is a checkpoint, not an artefact. Export it: "
                + either(f"Engine({str(path)!r}, data).export()", f"drivetrain export --model {path} --data FOLDER")
                + ", and load the result."
            )
        if path.is_file() and path.suffix in _MODEL_SUFFIXES and not (path.parent / MANIFEST_NAME).exists():
            return _open_bare(path)
        folder = path if path.is_dir() else path.parent
        artifact = _from_manifest(folder)
        if path.is_file() and path.suffix in _MODEL_SUFFIXES and path.name != artifact.model_file:
            raise ArtifactError(
                f"{str(path)!r} is not the model of the artefact {str(folder)!r}, which is {artifact.model_file!r}."
            )
        artifact.check_sizes()
        return artifact

    def verify_files(self) -> None:
        """Compare the SHA-256 of every file with the manifest.

        Raises:
            ArtifactError: a file is missing or was changed; the message names it.
        """
        self.check_sizes()
        for name, entry in self.files.items():
            if file_sha256(self.path / name) != entry["sha256"]:
                raise ArtifactError(
                    f"{name!r} of the artefact {str(self.path)!r} was changed since the export: "
                    "its SHA-256 differs from the manifest. Export the model again."
                )

    def to_dict(self) -> dict[str, Any]:
        """The content of the manifest, as plain data."""
        data = {item.name: getattr(self, item.name) for item in fields(self) if item.name != "path"}
        data.update(
            task=self.task.value,
            image_spec=self.image_spec.to_dict(),
            label_names=list(self.label_names),
            output_names=list(self.output_names),
        )
        return data

    def write_manifest(self) -> Self:
        """Write ``manifest.json`` atomically, with the sizes and hashes of the present files.

        Returns:
            The artefact with these ``files``.
        """
        files = {
            item.relative_to(self.path).as_posix(): {"size": item.stat().st_size, "sha256": file_sha256(item)}
            for item in sorted(self.path.rglob("*"))
            if item.is_file() and item.name != MANIFEST_NAME
        }
        artifact = replace(self, files=files)
        write_json(self.path / MANIFEST_NAME, artifact.to_dict())
        return artifact

    def check_sizes(self) -> None:
        """Compare the size of every file with the manifest.

        Raises:
            ArtifactError: a file is missing, or its size differs.
        """
        for name, entry in self.files.items():
            file = self.path / name
            if not file.is_file():
                raise ArtifactError(f"the artefact {str(self.path)!r} lacks its file {name!r}. Export the model again.")
            if file.stat().st_size != entry["size"]:
                raise ArtifactError(
                    f"{name!r} of the artefact {str(self.path)!r} has {file.stat().st_size} bytes, not the "
                    f"{entry['size']} of the manifest: it was changed or not copied completely. Export the model again."
                )


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file, as hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _from_manifest(folder: Path) -> Artifact:
    manifest = folder / MANIFEST_NAME
    if not manifest.is_file():
        raise ArtifactError(
            f"{str(folder)!r} has no {MANIFEST_NAME}, so it is not an artefact. "
            "Give the .xml or .onnx file itself if it has ModelAPI metadata."
        )
    try:
        data = json.loads(manifest.read_text(encoding="utf-8"))
        schema = data["schema_version"]
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise ArtifactError(f"{str(manifest)!r} is broken: {error}. Export the model again.") from error
    if not isinstance(schema, int) or schema > SCHEMA_VERSION:
        raise ArtifactError(
            f"{str(manifest)!r} has the schema {schema}; this drivetrain reads up to {SCHEMA_VERSION}. "
            "Upgrade with: pip install -U drivetrain"
        )
    try:
        return _parse_manifest(folder, data)
    except (DrivetrainError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(f"{str(manifest)!r} is broken: {error}. Export the model again.") from error


def _parse_manifest(folder: Path, data: dict[str, Any]) -> Artifact:
    known = {item.name for item in fields(Artifact)} - {"path"}
    values = {key: value for key, value in data.items() if key in known}
    for key, allowed in (("format", get_args(ArtifactFormat)), ("precision", get_args(ArtifactPrecision))):
        if values[key] not in allowed:
            raise ValueError(f"{key}={values[key]!r}; allowed: {', '.join(allowed)}")
    values.update(
        path=folder,
        task=Task.parse(values["task"]),
        image_spec=ImageSpec.from_dict(values["image_spec"]),
        label_names=tuple(values["label_names"]),
        output_names=tuple(values["output_names"]),
    )
    for name, entry in values["files"].items():
        relative = Path(name)
        if relative.is_absolute() or ".." in relative.parts or not isinstance(entry["size"], int):
            raise ValueError(f"the entry of the file {name!r} is not valid")
    if Path(values["model_file"]).name != values["model_file"]:
        raise ValueError(f"model_file={values['model_file']!r} is not a file name")
    return Artifact(**values)


def _open_bare(path: Path) -> Artifact:
    """A model file without a manifest, opened by its ModelAPI metadata."""
    info, shape, outputs = _xml_metadata(path) if path.suffix == ".xml" else _onnx_metadata(path)
    kind = info.get("model_type", "")
    missing = [key for key in ("model_type", "labels") if not info.get(key)]
    if missing:
        raise ArtifactError(
            f"{str(path)!r} has no {MANIFEST_NAME} next to it, and its ModelAPI metadata lack {', '.join(missing)}. "
            f"Export the model ({_EXPORT}), or add model_info to the file."
        )
    if kind.lower() != "classification" or _flag(info, "hierarchical"):
        raise ArtifactError(
            f"{str(path)!r} has no {MANIFEST_NAME} next to it, and of plain model files only those with "
            f"model_type=Classification (not hierarchical) can be run, not {kind!r}. Export the model: {_EXPORT}."
        )
    embedded = _flag(info, "embedded_processing")
    height, width = (
        (int(info.get("orig_height", 0)), int(info.get("orig_width", 0)))
        if embedded
        else (shape[2:4] if len(shape) == 4 and shape[1] == 3 else (0, 0))
    )
    if height < 1 or width < 1:
        raise ArtifactError(f"{str(path)!r} does not say the height and width of its input: shape {shape}.")
    multilabel = _flag(info, "multilabel")
    return Artifact(
        path=path.parent,
        format="openvino" if path.suffix == ".xml" else "onnx",
        precision="fp32",
        task=Task.MULTILABEL_CLASSIFICATION if multilabel else Task.CLASSIFICATION,
        label_names=tuple(info["labels"].split()),
        image_spec=_bare_spec(info, height, width, path),
        decoder="multilabel" if multilabel else "classification",
        decoder_args={"confidence_threshold": float(info["confidence_threshold"])}
        if multilabel and "confidence_threshold" in info
        else {},
        model_file=path.name,
        model_name=path.stem,
        embedded=embedded,
        output_names=outputs,
    )


def _bare_spec(info: Mapping[str, str], height: int, width: int, path: Path) -> ImageSpec:
    resize = {"standard": "stretch", "crop": "crop", "fit_to_window_letterbox": "letterbox"}
    asked = info.get("resize_type", "standard")
    if asked not in resize:
        raise ArtifactError(f"{str(path)!r} has resize_type={asked!r}; allowed: {', '.join(resize)}.")
    mean = [float(value) for value in info.get("mean_values", "").split()] or [0.0] * 3
    scale = [float(value) for value in info.get("scale_values", "").split()] or [1.0] * 3
    values: dict[str, Any] = {
        "height": height,
        "width": width,
        "resize": resize[asked],
        "antialias": False,
        "pad_value": int(info.get("pad_value", 0)),
        "mean": [value / 255.0 for value in (mean * 3)[:3]],
        "std": [value / 255.0 for value in (scale * 3)[:3]],
    }
    return ImageSpec.from_dict(values)


def _flag(info: Mapping[str, str], key: str) -> bool:
    return info.get(key, "") in ("True", "YES", "true")


def _xml_metadata(path: Path) -> tuple[dict[str, str], tuple[int, ...], tuple[str, ...]]:
    """``model_info``, the shape of the first input (-1 where dynamic) and the names of the outputs."""
    from xml.etree import ElementTree as ET

    info: dict[str, str] = {}
    shape: tuple[int, ...] = ()
    outputs: list[str] = []
    try:
        root = ET.parse(path).getroot()  # noqa: S314 - a local model file; its weights are trusted too
    except (ET.ParseError, OSError) as error:
        raise ArtifactError(f"{str(path)!r} is not an OpenVINO model: {error}.") from error
    for layer in root.iterfind("layers/layer"):
        if layer.get("type") == "Parameter" and not shape and (data := layer.find("data")) is not None:
            shape = tuple(int(part) if part.lstrip("-").isdigit() else -1 for part in data.get("shape", "").split(","))
        elif layer.get("type") == "Result":
            outputs.append(layer.get("output_names", "") or layer.get("name", ""))
    for item in root.iterfind("rt_info/model_info/*"):
        info[item.tag] = item.get("value", "")
    return info, shape, tuple(outputs)


def _onnx_metadata(path: Path) -> tuple[dict[str, str], tuple[int, ...], tuple[str, ...]]:
    from drivetrain.machine.packages import require

    onnx = require("onnx", "onnx", purpose="Opening an .onnx file that has no manifest")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise ArtifactError(f"{str(path)!r} is not an ONNX model: {error}.") from error
    info = {item.key.removeprefix("model_info ").strip(): item.value for item in model.metadata_props}
    dims = model.graph.input[0].type.tensor_type.shape.dim if model.graph.input else ()
    shape = tuple(int(dim.dim_value) or -1 for dim in dims)
    return info, shape, tuple(item.name for item in model.graph.output)
