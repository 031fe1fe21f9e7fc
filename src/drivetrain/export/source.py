"""What an engine passes to the exporter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.errors import ExportError
from drivetrain.images.auto_tiling import TileChoice
from drivetrain.types import ImageSpec, Task

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportSource:
    """A model to be exported: exactly one of ``module``, ``ir`` and ``onnx``.

    Attributes:
        image_spec: how an image becomes the input. For an upstream's own export that normalises internally, give mean 0
            and std 1 of its 0..1 input (or whatever converts the pixels to what it expects).
        task: the task of the model.
        label_names: the name of each label, by its number.
        decoder: name in :data:`drivetrain.runtime.postprocess.DECODERS`, or a class path.
        module: takes ``(B, 3, height, width) float32``, normalised as ``image_spec`` says, and returns a tensor, or a
            tuple or dict of tensors in the order of ``output_names``. It is not modified.
        ir: the ``.xml`` of an upstream's own export, with one ``(B, 3, height, width)`` input.
        onnx: the ``.onnx`` of an upstream's own export, with one such input.
        decoder_args: plain data for the decoder.
        output_names: names of the outputs, in order; empty for those of the graph (``ir``, ``onnx``).
        dynamic_batch: whether the graph accepts several images of one size at once.
        traced: write ONNX by PyTorch's tracer, because the output sizes depend on values.
        embed: put the preprocessing into the graph, so that it takes raw images. Otherwise the graph keeps its input,
            which an upstream's own loader may need.
        planes: raw images are passed as ``(B, 3, H, W) float32`` in 0..1, the form some upstreams' own loaders use.
        model_info: ModelAPI's keys, in addition to those the exporter knows (labels, size, normalisation).
        model_file: name of the model file without suffix.
        extra_files: name in the artefact -> file that is copied there, such as an upstream's ``metadata.yaml``.
        extra_texts: name in the artefact -> content of a text file that is written there.
        versions: package -> version, in addition to those the exporter adds.
        tiling: the tiles that suit the objects in the training data; filled in by the verb.
        licences: licences of the ``code`` and the published ``weights`` of the model; filled in by the verb.
        trained: what the weights came from, see :attr:`drivetrain.Artifact.trained`; filled in by the verb.
    """

    image_spec: ImageSpec
    task: Task
    label_names: tuple[str, ...]
    decoder: str
    module: torch.nn.Module | None = None
    ir: Path | None = None
    onnx: Path | None = None
    decoder_args: Mapping[str, Any] = field(default_factory=dict)
    output_names: tuple[str, ...] = ()
    dynamic_batch: bool = False
    traced: bool = False
    embed: bool = True
    planes: bool = False
    model_info: Mapping[str, str] = field(default_factory=dict)
    model_file: str = "model"
    extra_files: Mapping[str, Path] = field(default_factory=dict)
    extra_texts: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    licences: Mapping[str, str] = field(default_factory=dict)
    tiling: TileChoice | None = None
    trained: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given = [name for name in ("module", "ir", "onnx") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ExportError(f"an ExportSource needs exactly one of module, ir and onnx, not {given or 'none'}.")
        if self.module is not None and not self.output_names:
            raise ExportError("an ExportSource with a module needs output_names.")
