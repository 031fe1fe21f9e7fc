"""An exported model and its manifest: a self-describing folder."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal, Self, get_args

from drivetrain.errors import ArtifactError, DrivetrainError, OptionError, either
from drivetrain.machine.files import write_json
from drivetrain.runtime.foreign import bare_model, facts_of
from drivetrain.types import ImageSpec, Task

ArtifactFormat = Literal["openvino", "onnx"]
ArtifactPrecision = Literal["fp32", "fp16", "int8", "int8_weights"]

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
        precision: precision of the stored weights: ``"fp32"``, ``"fp16"``, ``"int8"`` (arithmetic too) or
            ``"int8_weights"``.
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
        features: the tensor of the graph that ``embed`` returns: the name of its ``node``, and its ``size``; empty if
            unknown.
        files: name -> ``{"size": bytes, "sha256": hex}`` of every file in the folder except the manifest.
        tiling: the tiles that suit the objects in the training data: ``size``, ``overlap`` and the ``reason``; empty
            if unknown.
        trained: the ``checkpoint`` and its ``sha256`` that the weights came from, and a ``sensitivity`` that was asked
            for; empty where this is not known.
        parity: the report of the comparison with the original model, as plain data.
        optimization: the report of ``optimize``, as plain data; empty if the artefact was not made by it.
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
    features: dict[str, Any] = field(default_factory=dict)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    tiling: dict[str, Any] = field(default_factory=dict)
    trained: dict[str, str] = field(default_factory=dict)
    parity: dict[str, Any] = field(default_factory=dict)
    optimization: dict[str, Any] = field(default_factory=dict)
    created: str = ""
    drivetrain_version: str = ""
    schema_version: int = SCHEMA_VERSION

    @property
    def model_path(self) -> Path:
        """The ``.xml`` or ``.onnx`` file."""
        return self.path / self.model_file

    @property
    def is_bare(self) -> bool:
        """Whether it is a model file without a manifest, that another tool wrote."""
        return not self.files

    @property
    def records_sensitivity(self) -> bool:
        """Whether the sensitivity of anomaly scores in the graph is known; early exports did not record it."""
        return not self.engine or "graph_sensitivity" in self.decoder_args

    @property
    def size_bytes(self) -> int:
        """The total size of the files."""
        return sum(int(entry["size"]) for entry in self.files.values())

    @property
    def model_bytes(self) -> int:
        """Of the graph and its weights."""
        weights = self.model_path.with_suffix(".bin")
        beside = self.format == "openvino" and weights.is_file()
        return self.model_path.stat().st_size + (weights.stat().st_size if beside else 0)

    @classmethod
    def open(cls, path: str | Path, description: Mapping[str, Any] | None = None) -> Artifact:
        """Open an artefact: its folder, its ``manifest.json``, or its ``.xml`` or ``.onnx`` file.

        A model file without a manifest is opened by what it says of itself, see :mod:`drivetrain.runtime.foreign`.

        Args:
            path: of the artefact.
            description: what a model file without a manifest does not say of itself.

        Raises:
            ArtifactError: it does not exist; the manifest is missing, broken or from a newer schema; a file is missing
                or differs in size from the manifest; or the metadata of a plain model file are insufficient.
            OptionError: a description is given for an artefact that has a manifest.
        """
        if not isinstance(path, str | os.PathLike) or not str(path).strip():
            empty = " is empty; is a variable unset?" if isinstance(path, str) else " is no path."
            raise ArtifactError(f"path={path!r}{empty} Give the folder or the file of an exported model.")
        path = Path(path)
        if not path.exists():
            raise ArtifactError(f"the artefact {str(path)!r} does not exist. Create one: {_EXPORT}.")
        if path.is_file() and path.suffix in _CHECKPOINTS:
            raise ArtifactError(
                f"{str(path)!r} is a checkpoint, not an artefact. Export it: "
                + either(f"Engine({str(path)!r}, data).export()", f"drivetrain export --model {path} --data FOLDER")
                + ", and load the result."
            )
        folder = path if path.is_dir() else path.parent
        bare = bare_model(path) if not (folder / MANIFEST_NAME).exists() else None
        if bare is not None:
            return Artifact(**facts_of(bare, description))
        if description is not None:
            raise OptionError(f"{str(path)!r} has a {MANIFEST_NAME}, so it needs no description. Leave it out.")
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
