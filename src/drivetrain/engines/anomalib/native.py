"""Anomalib's own data, metrics and question-answering models, beside our way through."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
from drivetrain.data.record import Record
from drivetrain.data.table import build_table
from drivetrain.engines.anomalib.choosing import prepare_test
from drivetrain.engines.anomalib.data import to_tensor
from drivetrain.engines.anomalib.fitting import quiet, torch_device
from drivetrain.engines.anomalib.memory import within_memory
from drivetrain.engines.anomalib.needs import need_of
from drivetrain.errors import DataError
from drivetrain.images.read import image_size
from drivetrain.types import ImageSpec, Metrics, Prediction, Task

if TYPE_CHECKING:
    from drivetrain.engines.anomalib.engine import AnomalibEngine

_SOME = 8


def upstream_test(
    model: AnomalibModule, dataset: Dataset, *, batch_size: int, spec: ImageSpec | None, device: str
) -> dict[str, float]:
    """What Anomalib's own evaluator says, its names under ``upstream/``."""
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
        # Before a test Anomalib's engine validates what was not trained, and would find a new threshold.
        if model.learning_type == LearningType.ONE_CLASS:
            tester: Any = UpstreamEngine(default_root_dir=folder, **options)
        else:
            tester = Trainer(default_root_dir=folder, logger=False, enable_checkpointing=False, **options)
        found = tester.test(model, datamodule=module, verbose=False)
    return {f"upstream/{name}": float(value) for name, value in (found[0] if found else {}).items()}


def test(engine: AnomalibEngine, data: AnomalibDataModule, subset: str, batch_size: int | None) -> Metrics:
    """Test on Anomalib's own datamodule: by our metrics, joined by path, and by its own.

    Models that look at something else than single images have Anomalib's only.
    """
    from drivetrain.metrics import evaluate

    data.prepare_data()
    data.setup()
    part = getattr(data, f"{subset}_data", None)
    if part is None or not len(part):
        raise DataError(f"subset={subset!r} of {type(data).__name__} has no images.")
    own = _run_test(engine.model, data, engine.device) if subset == "test" else {}
    if need_of(type(engine.model)).data != "images":
        return Metrics(own, count=len(part))
    dataset = dataset_from(part.samples, subset)
    images = engine._decode(dataset.paths, strict=False)
    answers = engine._collect(engine._infer(images, batch_size=batch_size, confidence=0.0), images)
    return evaluate(dataset, answers, task=engine.task, label_names=engine.label_names).merged(own)


def some_paths(data: AnomalibDataModule) -> list[str]:
    """A few images of a datamodule, to compare an artefact on.

    Raises:
        DataError: it has none.
    """
    data.prepare_data()
    data.setup()
    for subset in ("val", "test", "train"):
        part = getattr(data, f"{subset}_data", None)
        if part is not None and len(part):
            paths = [str(path) for path in part.samples["image_path"]]
            return paths[:: max(1, len(paths) // _SOME)][:_SOME]
    raise DataError(f"{type(data).__name__} has no images to compare the artefact on.")


def dataset_from(samples: Any, subset: str) -> Dataset:
    """The table of an Anomalib data set as a drivetrain data set; images stay where they are.

    Args:
        samples: a frame with ``image_path``, ``label_index`` (0 normal, 1 anomalous, else unknown) and, if there are
            masks, ``mask_path``.
        subset: the name to give them.
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
    return Dataset(build_table(records), Facts(("normal", "anomalous"), Task.ANOMALY, format="anomalib"))


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
