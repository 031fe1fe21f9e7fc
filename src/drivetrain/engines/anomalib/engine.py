"""Anomalib's models behind the common verbs; Anomalib's own engine does the work."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from anomalib.models.components import AnomalibModule
from lightning import seed_everything
from numpy.typing import NDArray

from drivetrain.engine import Engine, FitResult
from drivetrain.engines.anomalib import SPEC, checkpoints, fitting, native, needs
from drivetrain.engines.anomalib.build import (
    build_model,
    is_memory_bank,
    model_class,
)
from drivetrain.engines.anomalib.data import to_tensor
from drivetrain.engines.anomalib.deploy import (
    Deployed,
    crop_fraction,
    image_spec,
    is_answering_by_path,
    require_fitted,
)
from drivetrain.engines.anomalib.memory import within_memory
from drivetrain.engines.anomalib.searching import space_for
from drivetrain.errors import CheckpointError, ModelError, OptionError, UnsupportedError
from drivetrain.runtime.postprocess.anomaly import AnomalyDecoder
from drivetrain.runtime.preprocess import resize_uint8
from drivetrain.types import ImageSpec, Metrics, Prediction, Task
from drivetrain.types.options import ExportFormat, TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.export.source import ExportSource
    from drivetrain.runs.run import Run


class AnomalibEngine(Engine):
    """Trains and runs any Anomalib model through Anomalib's own engine.

    ``model_args`` are those of the model's constructor, and beside them ``pretrained`` (a local file with the weights
    of the backbone, ``True`` if they may be downloaded, ``False`` for random ones) and ``sensitivity`` (0..1).
    ``engine_args`` are the options of Lightning's ``Trainer``, and beside them ``threshold_source``: ``"auto"``,
    ``"val"``, ``"synthetic"`` (made-up defects on normal validation images) or ``"test"``.
    """

    spec = SPEC
    _model: AnomalibModule | None = None
    _scratch: tempfile.TemporaryDirectory[str] | None = None

    # --- what the engine knows -----------------------------------------------------------------------------------

    @property
    def model(self) -> AnomalibModule:
        """Anomalib's own model object, built at the first use."""
        if self._model is None:
            self._select_state(None)
        assert self._model is not None
        return self._model

    @property
    def dataset(self) -> Dataset:
        """The data as an anomaly data set, with train, val and test subsets."""
        self._task = self.task
        return super().dataset

    def _find_task(self) -> Task:
        return Task.ANOMALY

    def _find_label_names(self) -> tuple[str, ...]:
        if self._recorded.content.get("label_names"):
            return tuple(self._recorded.content["label_names"])
        return ("normal", "anomalous") if self.has_native_data or self._data is None else self.dataset.label_names

    def _engine_arg_names(self) -> Sequence[str]:
        return fitting.ENGINE_ARGUMENTS

    def _search_space(self) -> Mapping[str, Any]:
        ready = isinstance(self.resolution.model, AnomalibModule | Path)
        return {} if ready else space_for(self._class())

    def _accumulated(self, steps: int, batch_size: int, options: TrainOptions) -> Mapping[str, Any]:
        del batch_size
        before = (options.engine_args or {}).get("accumulate_grad_batches", 1)
        return {"accumulate_grad_batches": steps * before}

    # --- the model -----------------------------------------------------------------------------------------------

    def _class(self) -> type[AnomalibModule]:
        model = self.resolution.model
        if isinstance(model, AnomalibModule):
            return type(model)
        if isinstance(model, Path):
            found = self._own_checkpoint()
            if found is None:
                raise CheckpointError(f"The work dir {str(model)!r} has no checkpoint.")
            return checkpoints.class_of(checkpoints.read_checkpoint(found), found)
        return model_class(model)

    def _check_options(self, options: TrainOptions) -> None:
        super()._check_options(options)
        if self.task is not Task.ANOMALY:
            raise OptionError(f"task={self.task.value!r}: Anomalib's models are for the task 'anomaly'.")
        cls = self._class()
        fitting.check_options(options, cls, self.resolution.model, native=self.has_native_data)
        if not isinstance(self.resolution.model, AnomalibModule | Path):
            needs.check(
                cls,
                self.model_args,
                image_size=options.image_size_hw,
                batch_size=options.batch_size,
                native=self.has_native_data,
            )

    def _build(self, options: TrainOptions | None = None) -> None:
        if self.task is not Task.ANOMALY:
            raise OptionError(f"task={self.task.value!r}: Anomalib's models are for the task 'anomaly'.")
        if options is None and self._model is not None:
            return
        if options is not None:
            seed_everything(options.seed, workers=True, verbose=False)
        given = self.resolution.model
        if isinstance(given, AnomalibModule):
            if options is not None and is_memory_bank(given) and bool(given._is_fitted):
                raise ModelError(
                    f"The {given.name} object is fitted already and would not learn anything new. Give a new one."
                )
            self._model = given
        elif isinstance(given, Path):
            self._build_from_checkpoint(given, options)
        elif options is not None and options.resume:
            self._load_state(self._find_checkpoint("last"))
        else:
            size = options.image_size_hw if options is not None else None
            rate = options.learning_rate if options is not None else None
            self._model = build_model(self._class(), self.model_args, image_size=size, learning_rate=rate)
        if options is not None and not self.has_native_data and not is_answering_by_path(self.model):
            self._image_spec(self.model)  # what cannot be tested or deployed is said before training

    def _build_from_checkpoint(self, given: Path, options: TrainOptions | None) -> None:
        found = self._own_checkpoint()
        if found is None:
            raise CheckpointError(f"The work dir {str(given)!r} has no checkpoint.")
        content = checkpoints.read_checkpoint(found)
        self._model = checkpoints.model_from(content, found)
        if options is not None and is_memory_bank(self._model):
            self._model = checkpoints.fresh_from(content, found)

    def _load_state(self, checkpoint: Path) -> None:
        content = checkpoints.read_checkpoint(checkpoint)
        given = self.resolution.model
        if isinstance(given, AnomalibModule):
            checkpoints.fill_model(given, content, checkpoint)
            self._model = given
        else:
            cls = None if isinstance(given, Path) else self._class()
            self._model = checkpoints.model_from(content, checkpoint, cls, self.model_args)

    def _warm_start(self, checkpoint: Path, run: Run) -> None:
        taken, left = checkpoints.take_over(self.model, checkpoints.read_checkpoint(checkpoint))
        if not taken:
            raise CheckpointError(
                f"checkpoint={str(checkpoint)!r} has no tensor that fits {self.model.name}. "
                "Give a checkpoint of the same kind of model."
            )
        more = f"; {len(left)} did not fit, such as {left[0]}" if left else ""
        run.note(f"{taken} tensors were taken from {checkpoint.name}{more}.")

    # --- verbs ---------------------------------------------------------------------------------------------------

    def _fit(self, options: TrainOptions, run: Run, *, resume: bool) -> FitResult:
        data = self._data if self.has_native_data else self.dataset
        last = self._find_checkpoint("last") if resume else None
        return fitting.fit(self.model, data, options, run, device=self.device, resume_from=last)

    def _upstream_metrics(self, dataset: Dataset, batch_size: int | None) -> Mapping[str, float]:
        """By Anomalib's evaluator; a language model is asked once for each image, and not again for this."""
        if is_answering_by_path(self.model) or not (dataset.anomalous >= 0).any():
            return {}
        size, spec = needs.eval_batch_size(type(self.model), batch_size), image_spec(self.model)
        return native.upstream_test(self.model, dataset, batch_size=size, spec=spec, device=self.device)

    def _test_native(self, data: Any, subset: str, batch_size: int | None) -> Metrics:
        return native.test(self, data, subset, batch_size)

    def _infer(
        self, images: Iterable[tuple[str, NDArray[np.uint8]]], *, batch_size: int | None, confidence: float
    ) -> Iterator[Prediction]:
        del confidence  # every image has one answer
        model = self.model
        if is_answering_by_path(model):
            yield from native.ask(model, images)
            return
        require_fitted(model)
        spec = self._image_spec(model)
        device = fitting.torch_device(self.device)
        deployed = Deployed(model).eval().to(device)
        decoder = AnomalyDecoder({"crop": crop_fraction(model)}, self.label_names, spec)
        stream, size = iter(images), needs.eval_batch_size(type(model), batch_size)
        while group := list(islice(stream, size)):
            batch = torch.stack([to_tensor(resize_uint8(image, spec)) for _, image in group])
            with torch.inference_mode(), within_memory():
                outputs = deployed(batch.to(device))
            arrays = {name: value.cpu().numpy() for name, value in outputs.items()}
            for index, (path, image) in enumerate(group):
                own = {name: value[index : index + 1] for name, value in arrays.items()}
                yield decoder.decode(own, (image.shape[0], image.shape[1]), path)

    def _export_source(self, format: ExportFormat) -> ExportSource:  # noqa: A002
        from drivetrain.engines.anomalib.exporting import export_source

        model = self.model
        if is_answering_by_path(model):
            raise UnsupportedError(f"{model.name} asks a language model and has no graph to export.")
        require_fitted(model)
        spec = self._image_spec(model)
        self._scratch = tempfile.TemporaryDirectory()
        return export_source(model, spec, self.label_names, graph_format=format, scratch=Path(self._scratch.name))

    def _verification_images(self) -> list[str]:
        """Those of Anomalib's own datamodule where one was given."""
        return native.some_paths(self._data) if self.has_native_data else super()._verification_images()

    def _image_spec(self, model: AnomalibModule) -> ImageSpec:
        spec = image_spec(model)
        if spec is None:
            raise UnsupportedError(
                f"The pre-processor of {model.name} does not begin with Resize((height, width)), so images of any size "
                "cannot be brought to its input. Give it one that does: model_args={'pre_processor': PreProcessor("
                "transform=Compose([Resize((height, width), antialias=False), Normalize(...)]))}."
            )
        return spec
