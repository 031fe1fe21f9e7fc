"""Creating a classifier for the given labels from a name, a given network, or a checkpoint."""

# ruff: noqa: TID253  (loaded only by the engine)
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from drivetrain.engines.lightning.models.classification import ClassificationModule
from drivetrain.engines.lightning.models.networks import (
    Network,
    build_network,
    count_outputs,
    describe_network,
    own_label_names,
)
from drivetrain.engines.lightning.models.transformers_classifiers import (
    build_classifier,
    describe_classifier,
    is_classifier,
)
from drivetrain.engines.lightning.models.weights import copy_rows, fit_weights, named_tensors
from drivetrain.errors import CheckpointError, DataError, ModelError, UnsupportedError
from drivetrain.models.catalog import ModelEntry
from drivetrain.torch_training.checkpoint import read_checkpoint
from drivetrain.types import ImageSpec, Task
from drivetrain.types.options import TrainOptions

_TASKS = (Task.CLASSIFICATION, Task.MULTILABEL_CLASSIFICATION)
_IMAGENET_LABELS = 1000


class Classifiers:
    """Creates classifiers from one origin.

    Args:
        origin: a catalogue entry, a network, a class of networks, or one of our checkpoints.
        model_args: arguments of the network's constructor.
    """

    def __init__(self, origin: Any, model_args: Mapping[str, Any]) -> None:
        self.origin, self.model_args = origin, model_args
        self.recorded: dict[str, Any] = _recorded(origin) if isinstance(origin, Path) else {}

    @property
    def recorded_task(self) -> Task | None:
        """The task that the checkpoint was trained for."""
        return Task.parse(self.recorded["task"]) if self.recorded else None

    def build(
        self, options: TrainOptions | None, labels: tuple[str, ...] | None, task: Task | None
    ) -> ClassificationModule:
        """A classifier for the labels, or for those of the model if there are none.

        Raises:
            DataError: there are too few labels.
            ModelError: a given network has a different number of outputs.
            OptionError: an option does not fit the network.
            UnsupportedError: the task is not classification.
        """
        task = task or self.recorded_task or Task.CLASSIFICATION
        check_task(task, labels)
        recorded = self.recorded.get("label_names")
        if labels is None and recorded is not None:
            labels = tuple(recorded)
        size = options.image_size_hw if options is not None else None
        own = self._own_labels(labels)
        network = self._network(None if own else labels, size)
        spec = self._spec(network, size, is_own=own or labels is None or network.knows_labels)
        names = (network.label_names or own_label_names(network.count)) if own or labels is None else labels
        rate = options.learning_rate if options is not None else None
        module = ClassificationModule(network, task=task, label_names=names, image_spec=spec, learning_rate=rate)
        if size is not None:
            count_outputs(network.net, size)
        if isinstance(self.origin, Path):
            network.notes += self.warm_start(module, read_checkpoint(self.origin), self.origin)
        network.net.to(memory_format=torch.channels_last)
        return module

    def open(
        self, content: Mapping[str, Any], path: Path, current: ClassificationModule | None
    ) -> ClassificationModule:
        """The classifier of a checkpoint: the current one with its weights if it fits, else a new one.

        Raises:
            CheckpointError: it has a different architecture.
        """
        there = content.get("drivetrain_model")
        if there is None:
            plain = current or self.build(None, None, None)
            fit_weights(plain.net, named_tensors(content, path), (), f"checkpoint={str(path)!r}")
            return plain
        self._check_architecture(there, path)
        labels, task = tuple(there["label_names"]), Task.parse(there["task"])
        spec = ImageSpec.from_dict(there["image_spec"])
        module = current
        if module is None or (module.label_names, module.task, module.image_spec) != (labels, task, spec):
            network = self._network(labels, spec.size, args=there["args"])
            module = ClassificationModule(network, task=task, label_names=labels, image_spec=spec)
            network.net.to(memory_format=torch.channels_last)
        module.network.pretrained = True
        fit_weights(module.net, named_tensors(content, path), (), f"checkpoint={str(path)!r}")
        return module

    def warm_start(self, module: ClassificationModule, content: Mapping[str, Any], path: Path) -> list[str]:
        """Load what fits of a checkpoint into a classifier, and return notes about the rest.

        Raises:
            CheckpointError: it has a different architecture.
        """
        there = content.get("drivetrain_model")
        origin, head = f"checkpoint={path.name!r}", module.network.head
        tensors = named_tensors(content, path)
        module.network.pretrained = True
        if there is None:
            return [f"Started from {origin}.", *fit_weights(module.net, tensors, head, origin)]
        self._check_architecture(there, path)
        return copy_rows(module.net, tensors, head, module.label_names, tuple(there["label_names"]), origin)

    def _network(
        self, labels: tuple[str, ...] | None, size: tuple[int, int] | None, args: Mapping[str, Any] | None = None
    ) -> Network:
        if isinstance(self.origin, Path):
            return _named(*self._architecture(), args or self.recorded["args"], labels, size, again=True)
        if isinstance(self.origin, ModelEntry):
            return _named(
                *self._architecture(), self.model_args if args is None else args, labels, size, again=args is not None
            )
        net = self.origin(**self.model_args) if isinstance(self.origin, type) else self.origin
        if is_classifier(net):
            return describe_classifier(net, labels)
        network = describe_network(net)
        if labels is not None and network.count != len(labels):
            raise ModelError(
                f"The network {network.name} has {network.count} outputs, but there are {len(labels)} labels. Create "
                f"it with num_classes={len(labels)}, or give it by name, to get a matching head."
            )
        return network

    def _own_labels(self, labels: tuple[str, ...] | None) -> bool:
        """Whether the labels are those of the upstream's own head."""
        named = isinstance(self.origin, ModelEntry) and labels is not None and len(labels) == _IMAGENET_LABELS
        return named and labels is not None and set(labels) == set(own_label_names(_IMAGENET_LABELS))

    def _spec(self, network: Network, size: tuple[int, int] | None, *, is_own: bool) -> ImageSpec:
        spec = ImageSpec.from_dict(self.recorded["image_spec"]) if self.recorded else network.spec
        if not is_own and not self.recorded:
            # use the whole image: the important part may be at its edge
            spec = replace(spec, resize="stretch", crop_fraction=1.0)
        return replace(spec, height=size[0], width=size[1]) if size is not None else spec

    def _check_architecture(self, there: Mapping[str, Any], path: Path) -> None:
        if there.get("kind") != "classification":
            raise _needs_class(there, path)
        here = self._architecture()
        if (there["source"], there["name"]) != here:
            raise CheckpointError(
                f"checkpoint={str(path)!r} is of {_full(there['source'], there['name'])}, but the model is "
                f"{_full(*here)}. Give the model of the checkpoint, or open it on its own: model={str(path)!r}."
            )

    def _architecture(self) -> tuple[str, str]:
        if isinstance(self.origin, Path):
            return self.recorded["source"], self.recorded["name"]
        if isinstance(self.origin, ModelEntry):
            return self.origin.source, self.origin.name
        cls = self.origin if isinstance(self.origin, type) else type(self.origin)
        return "transformers" if is_classifier(cls) else "", cls.__name__


def _named(
    source: str,
    name: str,
    args: Mapping[str, Any],
    labels: tuple[str, ...] | None,
    size: tuple[int, int] | None,
    *,
    again: bool,
) -> Network:
    """A network by name; when it is recreated for other labels, its recorded label count is ignored."""
    if source == "transformers":
        return build_classifier(name, args, labels, size)
    count = len(labels) if labels is not None else None
    arguments = {**args, "num_classes": count} if again else dict(args)
    return build_network(source, name, arguments, count=count, image_size=size)


def check_task(task: Task, labels: tuple[str, ...] | None) -> None:
    """Refuse what a classifier cannot do.

    Raises:
        UnsupportedError: the task is not classification.
        DataError: there are fewer than two labels.
    """
    if task not in _TASKS:
        raise UnsupportedError(
            f"The task is {task.value}, but classifiers are trained for "
            f"{', '.join(_TASKS)}. Give task=... if the annotations serve one of these, or another model."
        )
    if labels is not None and len(labels) < 2 and task is Task.CLASSIFICATION:
        shown = ", ".join(map(repr, labels)) or "none"
        raise DataError(
            f"Classification needs at least two labels; the data have {len(labels)} ({shown}). In class folders, "
            "each class is a separate folder; to find deviations from a single class, use an anomaly model."
        )


def _recorded(path: Path) -> dict[str, Any]:
    content = read_checkpoint(path)
    there = content.get("drivetrain_model")
    if not isinstance(there, dict):
        raise CheckpointError(
            f"checkpoint={str(path)!r} does not say which model it belongs to. Name the model and give the file as its "
            f"weights: model='timm:resnet18', model_args={{'pretrained': '{path}'}}."
        )
    if there.get("kind") != "classification":
        raise _needs_class(there, path)
    if not there["source"]:
        raise CheckpointError(
            f"checkpoint={str(path)!r} is of your own network {there['name']}. Give the object, and the file as "
            "checkpoint=... of the verb."
        )
    return there


def _needs_class(there: Mapping[str, Any], path: Path) -> CheckpointError:
    return CheckpointError(
        f"checkpoint={str(path)!r} is of the LightningModule {there.get('class')}, which only your code can create. "
        "Give the object as the model, in Python, and the file as checkpoint=..."
    )


def _full(source: str, name: str) -> str:
    return f"{source}:{name}" if source else name
