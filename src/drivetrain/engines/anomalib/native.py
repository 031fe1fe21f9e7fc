"""Anomalib's own data, metrics and language models, used without conversion."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib import LearningType
from anomalib.data import AnomalibDataModule, ImageBatch
from anomalib.engine import Engine as UpstreamEngine
from anomalib.models.components import AnomalibModule
from lightning.pytorch import Trainer
from numpy.typing import NDArray

from drivetrain.data import Dataset
from drivetrain.data.facts import Facts
from drivetrain.data.read_record import Record
from drivetrain.data.table import build_table
from drivetrain.engines.anomalib.data import to_tensor
from drivetrain.engines.anomalib.memory import within_memory
from drivetrain.engines.anomalib.threshold import prepare_test
from drivetrain.engines.anomalib.train import quiet, torch_device
from drivetrain.errors import DataError
from drivetrain.images.read import image_size
from drivetrain.types import ImageSpec, Metrics, Prediction, Sample, Task
from drivetrain.types.task import ANOMALY_LABELS


def upstream_test(
    model: AnomalibModule, dataset: Dataset, *, batch_size: int, spec: ImageSpec | None, device: str
) -> dict[str, float]:
    """The metrics of Anomalib's own evaluator, as ``upstream/...``."""
    module = prepare_test(dataset, batch_size=batch_size, spec=spec)
    visualizer, model.visualizer = model.visualizer, None
    try:
        return _run_test(model, module, device)
    finally:
        model.visualizer = visualizer


def _run_test(model: AnomalibModule, module: AnomalibDataModule, device: str) -> dict[str, float]:
    chosen = torch_device(device)
    options: dict[str, Any] = {
        "accelerator": {"cuda": "gpu"}.get(chosen.type, chosen.type),
        "devices": 1,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with tempfile.TemporaryDirectory() as folder, quiet(), within_memory():
        # Before a test, Anomalib's engine validates models that were not trained, and would find a new threshold.
        if model.learning_type == LearningType.ONE_CLASS:
            tester: Any = UpstreamEngine(default_root_dir=folder, **options)
        else:
            tester = Trainer(default_root_dir=folder, logger=False, enable_checkpointing=False, **options)
        found = tester.test(model, datamodule=module, verbose=False)
    return {f"upstream/{name}": float(value) for name, value in (found[0] if found else {}).items()}


def upstream_test_of(model: AnomalibModule, data: AnomalibDataModule, subset: str, device: str) -> Metrics:
    """Anomalib's own metrics on a subset of its datamodule; it only tests on "test".

    Raises:
        DataError: there are no such images.
    """
    part = _part(data, subset)
    if part is None:
        raise DataError(f"subset={subset!r} of {type(data).__name__} has no images.")
    return Metrics(_run_test(model, data, device) if subset == "test" else {}, count=len(part))


def samples_of(data: AnomalibDataModule, subset: str) -> list[Sample] | None:
    """The images of a subset of Anomalib's own datamodule; ``None`` if it has none."""
    part = _part(data, subset)
    return None if part is None else list(dataset_from(part.samples, subset))


def _part(data: AnomalibDataModule, subset: str) -> Any:
    data.prepare_data()
    data.setup()
    part = getattr(data, f"{subset}_data", None)
    return part if part is not None and len(part) else None


def dataset_from(samples: Any, subset: str) -> Dataset:
    """The table of an Anomalib data set as a drivetrain data set; images stay in place.

    Args:
        samples: a data frame with ``image_path``, ``label_index`` (0 normal, 1 anomalous, else unknown) and, if there
            are masks, ``mask_path``.
        subset: the name of the subset.
    """
    records = []
    for number, row in enumerate(samples.itertuples()):
        kind = int(getattr(row, "label_index", -1))
        mask = str(getattr(row, "mask_path", "") or "")
        records.append(
            Record(
                path=str(row.image_path),
                subset=subset,
                size=image_size(row.image_path),
                image_id=number,
                labels=[kind] if kind in (0, 1) else [],
                mask_path=mask if kind == 1 and Path(mask).is_file() else None,
                anomalous={0: False, 1: True}.get(kind),
            )
        )
    return Dataset(build_table(records), Facts(ANOMALY_LABELS, Task.ANOMALY, format="anomalib"))


def ask(model: AnomalibModule, images: Iterable[tuple[str, NDArray[np.uint8]]]) -> Iterator[Prediction]:
    """Ask a model that answers in words; images without a file are written to a temporary one."""
    from PIL import Image

    with tempfile.TemporaryDirectory() as folder:
        for number, (path, image) in enumerate(images):
            file = path
            if not Path(path).is_file():
                file = str(Path(folder) / f"{number}.png")
                Image.fromarray(image).save(file)
            batch = ImageBatch(image=to_tensor(image).unsqueeze(0), image_path=[file])
            with torch.inference_mode():
                answer = model.predict_step(batch, number)
            label = bool(torch.as_tensor(answer.pred_label).reshape(-1)[0])
            text = answer.explanation[0] if answer.explanation else None
            score = 1.0 if label else 0.0
            size = (image.shape[0], image.shape[1])
            yield Prediction(path, size, anomaly_score=score, explanation=text)
