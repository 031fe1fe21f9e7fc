"""Anomalib's implementation of the framework hooks: its models, and its own engine that trains them."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from anomalib.models.components import AnomalibModule
from numpy.typing import NDArray

from drivetrain.engine import FitResult, Framework
from drivetrain.engines.anomalib import checkpoint as checkpoints
from drivetrain.engines.anomalib import embedding, native, requirements, train
from drivetrain.engines.anomalib.build import (
    build_model,
    is_memory_bank,
    model_class,
)
from drivetrain.engines.anomalib.data import to_tensor
from drivetrain.engines.anomalib.deploy import (
    Deployed,
    at_sensitivity,
    crop_fraction,
    image_spec,
    is_answering_by_path,
    require_fitted,
    sensitivity_of,
)
from drivetrain.engines.anomalib.effective_options import space_for
from drivetrain.engines.anomalib.memory import within_memory
from drivetrain.errors import CheckpointError, ModelError, OptionError, UnsupportedError
from drivetrain.runtime.postprocess.anomaly import AnomalyDecoder
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.torch_training.process import own_randomness, untouched_process
from drivetrain.types import ImageSpec, Metrics, Prediction, Sample, Task
from drivetrain.types.options import ExportFormat, TrainOptions
from drivetrain.types.task import ANOMALY_LABELS

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run

_VISIBLE = 5e-4  # a difference of two metrics that shows in four decimals


class AnomalibFramework(Framework):
    """Creates, trains and runs the models of the installed Anomalib."""

    unsupported_options: ClassVar = {
        **dict.fromkeys(
            ("class_weights", "sampler"), "anomaly models learn from normal images, which are one class; leave it out"
        ),
        "tile": "give Anomalib's own callback for it, TilerConfigurationCallback",
        "ema": "Anomalib's models are trained without averaging; give Lightning's averaging callback",
        **dict.fromkeys(
            ("freeze_backbone", "backbone_learning_rate"),
            "each Anomalib model itself determines which parts are trained",
        ),
        **dict.fromkeys(
            ("mosaic", "scale_jitter"), "it would look like an anomaly; the model has its own augmentation"
        ),
    }
    kept_on_resume: ClassVar = ("learning_rate",)
    _model: AnomalibModule | None = None
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    # --- facts -------------------------------------------------------------------------------------------------------

    @property
    def model(self) -> AnomalibModule:
        """Anomalib's own model object, built on first use."""
        if self._model is None:
            self._make_ready()
        assert self._model is not None
        return self._model

    def _make_ready(self) -> None:
        """Prepare the model as given, with the weights of its checkpoint if it was given as one."""
        own = self.own_checkpoint
        if own is None:
            self.build()
        else:
            self.load_state(own)

    def task_to_read_for(self) -> Task:
        """Anomaly detection: any annotations are read as normal and anomalous images."""
        return self.task

    def find_task(self) -> Task:
        return Task.ANOMALY

    def find_label_names(self) -> tuple[str, ...]:
        if self.record.content.get("label_names"):
            return tuple(self.record.content["label_names"])
        return ANOMALY_LABELS if self.has_native_data or self.data.source is None else self.dataset.label_names

    def engine_arg_names(self) -> Sequence[str]:
        return train.ENGINE_ARGUMENTS

    def search_space(self) -> Mapping[str, Any]:
        ready = isinstance(self.given, AnomalibModule | Path)
        return {} if ready else space_for(self._class())

    def accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        del batch_size
        before = (options.engine_args or {}).get("accumulate_grad_batches", 1)
        return {"accumulate_grad_batches": steps * before}

    # --- the model -----------------------------------------------------------------------------------------------

    def _class(self) -> type[AnomalibModule]:
        model = self.given
        if isinstance(model, AnomalibModule):
            return type(model)
        if isinstance(model, Path):
            found = self.own_checkpoint
            if found is None:
                raise CheckpointError(f"The work dir {str(model)!r} has no checkpoint.")
            return checkpoints.class_of(checkpoints.read_checkpoint(found), found)
        return model_class(model)

    def check_options(self, options: TrainOptions) -> None:
        if self.task is not Task.ANOMALY:
            raise OptionError(f"task={self.task.value!r}: Anomalib's models are for the task 'anomaly'.")
        cls = self._class()
        begun = self.record.options if options.resume else {}
        native_data = self.has_native_data
        train.check_options(options, cls, self.given, native=native_data, device=self.setup.device, begun=begun)
        if not isinstance(self.given, AnomalibModule | Path):
            requirements.check(
                cls,
                self.setup.model_args,
                image_size=options.image_size_hw,
                batch_size=options.batch_size,
                native=native_data,
            )

    def build(self, options: TrainOptions | None = None) -> None:
        if self.task is not Task.ANOMALY:
            raise OptionError(f"task={self.task.value!r}: Anomalib's models are for the task 'anomaly'.")
        if options is None and self._model is not None:
            return
        with own_randomness(options.seed if options is not None else 0):
            self._build(options)
        if options is not None and not self.has_native_data and not is_answering_by_path(self.model):
            self._image_spec(self.model)  # raise before training if the model cannot be tested or deployed

    def _build(self, options: TrainOptions | None) -> None:
        given = self.given
        if isinstance(given, AnomalibModule):
            if options is not None and is_memory_bank(given) and bool(given._is_fitted):
                raise ModelError(
                    f"The {given.name} object is already fitted and would not learn anything new. Give a new one."
                )
            self._model = given
        elif isinstance(given, Path):
            self._build_from_checkpoint(given, options)
        else:
            size = options.image_size_hw if options is not None else None
            rate = options.learning_rate if options is not None else None
            self._model = build_model(self._class(), self.setup.model_args, image_size=size, learning_rate=rate)

    def _build_from_checkpoint(self, given: Path, options: TrainOptions | None) -> None:
        found = self.own_checkpoint
        if found is None:
            raise CheckpointError(f"The work dir {str(given)!r} has no checkpoint.")
        content = checkpoints.read_checkpoint(found)
        self._model = checkpoints.model_from(content, found)
        if options is not None and is_memory_bank(self._model):
            self._model = checkpoints.fresh_from(content, found)

    def load_state(self, checkpoint: Path) -> None:
        content = checkpoints.read_checkpoint(checkpoint)
        given = self.given
        if isinstance(given, AnomalibModule):
            checkpoints.fill_model(given, content, checkpoint)
            self._model = given
        else:
            cls = None if isinstance(given, Path) else self._class()
            self._model = checkpoints.model_from(content, checkpoint, cls, self.setup.model_args)

    def warm_start(self, checkpoint: Path, run: Run) -> None:
        taken, left = checkpoints.take_over(self.model, checkpoints.read_checkpoint(checkpoint))
        if not taken:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} has no tensor that fits {self.model.name}. "
                "Give a checkpoint of the same kind of model."
            )
        more = f"; {len(left)} did not fit, such as {left[0]}" if left else ""
        run.note(f"{taken} tensors were loaded from {checkpoint.name}{more}.")

    # --- verbs ---------------------------------------------------------------------------------------------------

    def fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        data = self.data.source if self.has_native_data else self.dataset
        last = run.checkpoints / "last.ckpt" if resume else None
        if last is not None and not isinstance(self.given, AnomalibModule | Path):
            self.load_state(last)  # it was trained at its own image size
        with untouched_process(), own_randomness(options.seed):
            return train.fit(self.model, data, options, run, device=self.setup.device, resume_from=last)

    def upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """By Anomalib's evaluator; a language model is asked once per image, and not again for this."""
        if is_answering_by_path(self.model) or not (dataset.anomalous >= 0).any():
            return {}
        size, spec = requirements.eval_batch_size(type(self.model), batch_size), image_spec(self.model)
        with at_sensitivity(self.model, self._sensitivity()):
            return native.upstream_test(self.model, dataset, batch_size=size, spec=spec, device=self.setup.device)

    def about_upstream(self, metrics: Mapping[str, float]) -> str:
        """Why Anomalib's AUROC is lower, where it is."""
        pairs = {f"upstream/{part}_AUROC": f"{part}_auroc" for part in ("image", "pixel")}
        lower = [name for name, ours in pairs.items() if metrics.get(name, 1.0) < metrics.get(ours, 0.0) - _VISIBLE]
        if not lower:
            return ""
        return (
            f"{' and '.join(lower)}: Anomalib cuts scores off at 0 and 1 before it ranks them, so those beyond what "
            f"validation saw count as equal. {' and '.join(pairs[name] for name in lower)} ranks them as they are."
        )

    def test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        del batch_size  # the datamodule has its own
        if self.sensitivity is None:
            return native.upstream_test_of(self.model, data, subset, self.setup.device)
        with at_sensitivity(self.model, self._sensitivity()):
            return native.upstream_test_of(self.model, data, subset, self.setup.device)

    def native_samples(self, data: Any, subset: str) -> Sequence[Sample] | None:
        """The images of Anomalib's own datamodule, for models that work on single images."""
        return native.samples_of(data, subset) if requirements.need_of(type(self.model)).data == "images" else None

    def infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        del confidence  # every image has one answer
        model = self.model
        if is_answering_by_path(model):
            yield from native.ask(model, images)
            return
        require_fitted(model)
        spec = self._image_spec(model)
        device = train.torch_device(self.setup.device)
        deployed = Deployed(model).eval().to(device)
        how = {"crop": crop_fraction(model), "sensitivity": self._sensitivity()}
        decoder = AnomalyDecoder(how, self.label_names, spec)
        stream, size = iter(images), requirements.eval_batch_size(type(model), batch_size)
        while group := list(islice(stream, size)):
            batch = torch.stack([to_tensor(resize_uint8(image, spec)) for _, image in group])
            with torch.inference_mode(), within_memory():
                outputs = deployed(batch.to(device))
            arrays = {name: value.cpu().numpy() for name, value in outputs.items()}
            for index, (path, image) in enumerate(group):
                own = {name: value[index : index + 1] for name, value in arrays.items()}
                yield decoder.decode(own, (image.shape[0], image.shape[1]), path)

    def features(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None
    ) -> Iterator[NDArray[np.float32]]:
        model = self.model
        if is_answering_by_path(model):
            raise UnsupportedError(f"{model.name} asks a language model, and has no features of its own.")
        require_fitted(model)
        size = requirements.eval_batch_size(type(model), batch_size)
        device = train.torch_device(self.setup.device)
        yield from embedding.features(model, images, spec=self._image_spec(model), batch_size=size, device=device)

    def export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        from drivetrain.engines.anomalib.export import export_source

        model = self.model
        if is_answering_by_path(model):
            raise UnsupportedError(f"{model.name} asks a language model and has no graph to export.")
        require_fitted(model)
        spec = self._image_spec(model)
        self._scratch = tempfile.TemporaryDirectory()
        scratch = Path(self._scratch.name)
        return export_source(
            model, spec, self.label_names, sensitivity=self._sensitivity(), graph_format=format, scratch=scratch
        )

    def _sensitivity(self) -> tuple[float, float]:
        """The sensitivity for the image and for the pixels: that given to the verb, else the model's own."""
        given = self.sensitivity
        return sensitivity_of(self.model) if given is None else (given, given)

    def used_sensitivity(self) -> float | None:
        if is_answering_by_path(self.model):
            return None
        return self._sensitivity()[0]

    def _image_spec(self, model: AnomalibModule) -> ImageSpec:
        spec = image_spec(model)
        if spec is None:
            raise UnsupportedError(
                f"The pre-processor of {model.name} does not start with a Resize to height and width, so images of any "
                "size cannot be brought to its input. Give the model one that starts with a "
                "Resize to [height, width] without antialiasing as its argument 'pre_processor'."
            )
        return spec
