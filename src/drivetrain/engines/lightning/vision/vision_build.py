"""Creating a vision model for the given labels from a name, an object of its source, or a checkpoint."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from drivetrain.engines.lightning.models import transformers_models
from drivetrain.engines.lightning.models.transformers_classifiers import is_classifier
from drivetrain.engines.lightning.models.weights import named_tensors
from drivetrain.engines.lightning.predict import answering
from drivetrain.engines.lightning.vision import torchvision_source, transformers_source
from drivetrain.engines.lightning.vision.adapter import VisionAdapter
from drivetrain.engines.lightning.vision.fitted_heads import give_weights
from drivetrain.engines.lightning.vision.vision_module import VisionModule
from drivetrain.errors import CheckpointError, OptionError
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.spec import claimed_by
from drivetrain.torch_training.checkpoint import read_checkpoint
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import TrainOptions

_CLASSIFICATION = (Task.CLASSIFICATION.value, Task.MULTILABEL_CLASSIFICATION.value)
_CLAIMS = (*torchvision_source.CLAIMS, *transformers_models.CLAIMS)
_SOURCES: dict[str, Any] = {"torchvision": torchvision_source, "transformers": transformers_source}


def is_vision(origin: Any) -> bool:
    """Whether a model finds objects or classifies pixels, and so is handled here."""
    if isinstance(origin, ModelEntry):
        return origin.source in _SOURCES and origin.tasks[0] not in _CLASSIFICATION
    if isinstance(origin, Path):
        there = read_checkpoint(origin).get("drivetrain_model")
        return isinstance(there, dict) and there.get("kind") == "vision"
    cls = origin if isinstance(origin, type) else type(origin)
    return not is_classifier(cls) and claimed_by(cls, _CLAIMS) is not None


class VisionModels:
    """Creates vision models from one origin.

    Args:
        origin: a catalogue entry, an object of its source, or one of our checkpoints.
        model_args: arguments of the source's constructor.
    """

    def __init__(self, origin: Any, model_args: Mapping[str, Any]) -> None:
        self.origin, self.model_args = origin, model_args
        self.recorded: dict[str, Any] = _recorded(origin) if isinstance(origin, Path) else {}

    @property
    def recorded_task(self) -> Task:
        """The task of the model."""
        if self.recorded:
            return Task.parse(self.recorded["task"])
        if isinstance(self.origin, ModelEntry):
            return Task.parse(self.origin.tasks[0])
        return self._wrapped().task

    def build(
        self, options: TrainOptions | None, labels: tuple[str, ...] | None, asked: str | None, keypoints: int = 0
    ) -> VisionModule:
        """A model for the labels, or for those of the model itself if there are none.

        Args:
            options: options of the training that follows.
            labels: labels of the data.
            asked: the requested task.
            keypoints: keypoints per object of the data; 0 for those of the model.

        Raises:
            ModelError: a given object has a different number of outputs.
            OptionError: an option does not fit the model, or the task differs from the model's.
        """
        own = self.recorded_task
        if asked is not None and Task.parse(asked) is not own:
            raise OptionError(
                f"task={str(asked)!r}, but {self._shown()} is a model for the task {own.value!r}. "
                f"List models for it with: drivetrain find --task {asked}"
            )
        recorded = self.recorded.get("label_names")
        if labels is None and recorded is not None:
            labels = tuple(recorded)
        adapter = self._adapter(labels, keypoints=keypoints)
        names = labels or adapter.label_names or ()
        spec = ImageSpec.from_dict(self.recorded["image_spec"]) if self.recorded else adapter.spec
        size = options.image_size_hw if options is not None else None
        if size is not None:
            spec = replace(spec, height=size[0], width=size[1])
            require_size(adapter, size)
        rate = options.learning_rate if options is not None else None
        module = VisionModule(adapter, label_names=names, image_spec=spec, learning_rate=rate)
        if isinstance(self.origin, Path):
            adapter.notes += self.warm_start(module, read_checkpoint(self.origin), self.origin)
        return module

    def open(self, content: Mapping[str, Any], path: Path, current: VisionModule | None) -> VisionModule:
        """The model of a checkpoint: the current one with its weights if it fits, else a new one.

        Raises:
            CheckpointError: it has a different architecture.
        """
        origin = f"checkpoint={str(path)!r}"
        there = content.get("drivetrain_model")
        if there is None:
            plain = current or self.build(None, None, None)
            give_weights(
                plain.network, named_tensors(content, path), ours=plain.label_names, theirs=None, origin=origin
            )
            return plain
        self._check_architecture(there, path)
        labels, spec = tuple(there["label_names"]), ImageSpec.from_dict(there["image_spec"])
        module = current
        if module is None or (module.label_names, module.image_spec) != (labels, spec):
            module = VisionModule(self._adapter(labels, there["args"]), label_names=labels, image_spec=spec)
        give_weights(module.network, named_tensors(content, path), ours=labels, theirs=labels, origin=origin)
        return module

    def warm_start(self, module: VisionModule, content: Mapping[str, Any], path: Path) -> list[str]:
        """Load what fits of a checkpoint into a model, and return notes about the rest.

        Raises:
            CheckpointError: it has a different architecture.
        """
        there = content.get("drivetrain_model")
        if there is not None:
            self._check_architecture(there, path)
        theirs = tuple(there["label_names"]) if there is not None else None
        tensors = named_tensors(content, path)
        return give_weights(
            module.network, tensors, ours=module.label_names, theirs=theirs, origin=f"checkpoint={path.name!r}"
        )

    def _adapter(
        self, labels: tuple[str, ...] | None, args: Mapping[str, Any] | None = None, *, keypoints: int = 0
    ) -> VisionAdapter:
        if isinstance(self.origin, Path | ModelEntry):
            source, name = self._architecture()
            arguments = self.model_args if isinstance(self.origin, ModelEntry) else self.recorded["args"]
            arguments = dict(args if args is not None else arguments)
            if args is not None or isinstance(self.origin, Path):
                arguments.pop("num_classes", None)
            made: VisionAdapter = _SOURCES[source].build(name, arguments, labels, keypoints)
            return made
        adapter = self._wrapped()
        if labels is not None and adapter.source == "transformers":
            transformers_source.fit_labels(adapter, labels)
        elif labels is not None:
            adapter.check_labels(len(labels))
        return adapter

    def _wrapped(self) -> VisionAdapter:
        net = self.origin(**self.model_args) if isinstance(self.origin, type) else self.origin
        if claimed_by(type(net), transformers_models.CLAIMS) is not None:
            return transformers_source.wrap(net)
        return torchvision_source.wrap(net)

    def _check_architecture(self, there: Mapping[str, Any], path: Path) -> None:
        here = self._architecture()
        if there.get("kind") != "vision" or (there["source"], there["name"]) != here:
            written = f"{there.get('source')}:{there.get('name')}" if there.get("source") else there.get("name")
            raise CheckpointError(
                f"checkpoint={str(path)!r} is of {written}, but the model is {self._shown()}. Give the model of the "
                f"checkpoint, or open it on its own: model={str(path)!r}."
            )

    def _architecture(self) -> tuple[str, str]:
        if isinstance(self.origin, Path):
            return self.recorded["source"], self.recorded["name"]
        if isinstance(self.origin, ModelEntry):
            return self.origin.source, self.origin.name
        adapter = self._wrapped()
        return adapter.source, adapter.name

    def _shown(self) -> str:
        source, name = self._architecture()
        return f"{source}:{name}" if source else name


def require_size(adapter: VisionAdapter, size: tuple[int, int]) -> None:
    """Refuse a size that a network cannot process, before anything is trained.

    Raises:
        OptionError: the network cannot process images of this size.
    """
    weight = next(adapter.net.parameters(), None)
    example = torch.zeros(1, 3, *size, device=weight.device if weight is not None else "cpu")
    try:
        with torch.no_grad(), answering(adapter.net):
            adapter.answers(example)
    except (RuntimeError, ValueError, IndexError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise OptionError(
            f"image_size={size[0] if size[0] == size[1] else size}: {adapter.name} does not take images of "
            f"{size[0]}x{size[1]} pixels: {reason}. Give another image_size."
        ) from error


def _recorded(path: Path) -> dict[str, Any]:
    there: dict[str, Any] = read_checkpoint(path)["drivetrain_model"]
    if not there["source"]:
        raise CheckpointError(
            f"checkpoint={str(path)!r} is of your own object {there['name']}. Give the object, and the file as "
            "checkpoint=... of the verb."
        )
    return there
