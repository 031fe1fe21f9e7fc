# ruff: noqa: TID253 - tests use the frameworks outright
"""One artefact folder of an Ultralytics model, opened by Ultralytics' own loader and by ModelAPI."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest

from drivetrain import Engine, load
from drivetrain.export.compare import box_iou
from drivetrain.images.read import read_image
from drivetrain.runs.progress import SilentProgress
from drivetrain.testing import data
from drivetrain.types import Prediction, Predictions

pytestmark = pytest.mark.slow

COUNTS = {"train": 64, "val": 4, "test": 4}
SOURCES: dict[str, Callable[..., Path]] = {
    "yolo11n": data.coco,
    "yolo11n-seg": data.coco,
    "yolo11n-cls": data.class_folders,
    "yolo26n-sem": data.class_maps,
    "yolo11n-pose": functools.partial(data.coco, keypoints=("left", "right", "top")),
    "yolo11n-obb": data.oriented,
    "yolo26n": data.coco,
    "yolo26n-depth": data.depth,
}
LEAST = 0.1


class Case:
    """A trained model, its images, its artefact and its own answers."""

    def __init__(self, name: str, root: Path) -> None:
        source = SOURCES[name](root / "data", subsets=COUNTS, size=64 if name == "yolo26n-sem" else 96)
        self.engine = Engine(f"ultralytics:{name}", source, work_dir=root / "work")
        self.engine.progress = SilentProgress()
        epochs = 3 if name == "yolo11n-cls" else 14
        options: dict[str, Any] = {"learning_rate": 0.005, "engine_args": {"warmup_epochs": 0, "mosaic": 0.0}}
        self.engine.train(epochs, batch_size=8, image_size=64, **options)
        self.folder = self.engine.export("openvino").path
        root = source if source.is_dir() else source.parent
        self.paths = [str(path) for path in sorted(root.rglob("*.png")) if _is_test_image(path)]
        objects = name not in ("yolo11n-cls", "yolo26n-sem", "yolo26n-depth")
        self.answers: Predictions = self.engine.predict(self.paths, confidence=LEAST if objects else None)


def _is_test_image(path: Path) -> bool:
    """From any layout of the toy data; masks and depth maps are in folders of these names."""
    if {"SegmentationClass", "depth"} & set(path.parts):
        return False
    return "test" in path.parts or path.name.startswith("test_")


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Case]:
    made: dict[str, Case] = {}

    def case(name: str) -> Case:
        if name not in made:
            made[name] = Case(name, tmp_path_factory.mktemp(name))
        return made[name]

    return case


def _by_ultralytics(case: Case, path: str) -> Any:
    """The answer of Ultralytics' own loader, at f32; by default it leaves the precision to the processor."""
    from drivetrain.engines.ultralytics.containment import ultralytics

    model = ultralytics().YOLO(str(case.folder), task=case.engine.model.task)
    compile_model = ov.Core.compile_model

    def at_f32(core: Any, graph: Any, device_name: str, config: dict[str, Any]) -> Any:
        return compile_model(core, graph, device_name, {**config, "INFERENCE_PRECISION_HINT": "f32"})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ov.Core, "compile_model", at_f32)
        return model.predict(path, imgsz=64, conf=LEAST, verbose=False, save=False)[0]


def _by_model_api(case: Case, path: str, **configuration: Any) -> Any:
    from model_api.adapters import OpenvinoAdapter, create_core
    from model_api.models import Model

    xml = next(case.folder.glob("*.xml"))
    hint = {"INFERENCE_PRECISION_HINT": "f32"}
    adapter = OpenvinoAdapter(create_core(), str(xml), device="CPU", plugin_config=hint)
    return Model.create_model(adapter, configuration=configuration)(read_image(path))


def _matched(ours: Prediction, boxes: Any, scores: Any, within: float) -> list[tuple[int, int]]:
    """Pairs of the same object; every one of ours has one."""
    assert ours.boxes is not None
    assert ours.scores is not None
    assert len(ours.boxes) == len(boxes)
    overlap = box_iou(ours.boxes, np.asarray(boxes))
    pairs = list(enumerate(overlap.argmax(axis=1).tolist()))
    for mine, other in pairs:
        np.testing.assert_allclose(ours.boxes[mine], boxes[other], atol=within)
        assert scores[other] == pytest.approx(ours.scores[mine], abs=1e-2)
    return pairs


def test_the_folder_is_called_as_ultralytics_wants(cases: Callable[[str], Case]) -> None:
    folder = cases("yolo11n").folder
    assert folder.name.endswith("_openvino_model")
    assert (folder / "metadata.yaml").is_file()
    assert len(list(folder.glob("*.xml"))) == 1


def test_ultralytics_opens_a_detector(cases: Callable[[str], Case]) -> None:
    case = cases("yolo11n")
    assert sum(len(item.boxes) for item in case.answers if item.boxes is not None) > 0
    for ours in case.answers:
        theirs = _by_ultralytics(case, ours.path)
        assert tuple(theirs.names.values()) == case.engine.label_names
        _matched(ours, theirs.boxes.xyxy.numpy(), theirs.boxes.conf.numpy(), 0.5)


def test_ultralytics_opens_a_segmenter(cases: Callable[[str], Case]) -> None:
    case = cases("yolo11n-seg")
    for ours in case.answers:
        theirs = _by_ultralytics(case, ours.path)
        _matched(ours, theirs.boxes.xyxy.numpy(), theirs.boxes.conf.numpy(), 0.5)


def test_ultralytics_opens_a_classifier(cases: Callable[[str], Case]) -> None:
    case = cases("yolo11n-cls")
    for ours in case.answers:
        assert ours.probabilities is not None
        theirs = _by_ultralytics(case, ours.path).probs.data.numpy()
        assert theirs == pytest.approx(ours.probabilities, abs=5e-3)


def test_ultralytics_opens_a_semantic_segmenter(cases: Callable[[str], Case]) -> None:
    case = cases("yolo26n-sem")
    for ours in case.answers:
        theirs = np.asarray(_by_ultralytics(case, ours.path).semantic_mask.data).squeeze()
        assert theirs.shape == ours.size
        assert np.mean(theirs == ours.class_map) > 0.98


def test_ultralytics_opens_a_model_of_keypoints(cases: Callable[[str], Case]) -> None:
    case = cases("yolo11n-pose")
    assert sum(len(item.boxes) for item in case.answers if item.boxes is not None) > 0
    for ours in case.answers:
        theirs = _by_ultralytics(case, ours.path)
        assert ours.keypoints is not None
        for mine, other in _matched(ours, theirs.boxes.xyxy.numpy(), theirs.boxes.conf.numpy(), 0.5):
            np.testing.assert_allclose(theirs.keypoints.xy[other].numpy(), ours.keypoints[mine, :, :2], atol=0.5)


def test_ultralytics_opens_a_model_of_turned_boxes(cases: Callable[[str], Case]) -> None:
    """It also drops a rotated box that overlaps a dropped one, so it may return fewer weak ones."""
    case = cases("yolo11n-obb")
    assert sum(len(item.corners) for item in case.answers if item.corners is not None) > 0
    for ours in case.answers:
        theirs = _by_ultralytics(case, ours.path).obb
        assert ours.corners is not None
        assert ours.scores is not None
        assert len(theirs) <= len(ours.corners)
        for corners, score in zip(theirs.xyxyxyxy.numpy(), theirs.conf.numpy(), strict=True):
            # the same four may start at a different corner
            distances = np.linalg.norm(ours.corners[:, :, None] - corners[None, None], axis=3).min(axis=2).max(axis=1)
            nearest = int(distances.argmin())
            assert distances[nearest] < 0.75
            assert ours.scores[nearest] == pytest.approx(score, abs=5e-3)
        if len(ours.scores):
            assert theirs.conf.numpy().max() == pytest.approx(ours.scores[0], abs=5e-3)


def test_ultralytics_opens_an_end_to_end_detector(cases: Callable[[str], Case]) -> None:
    case = cases("yolo26n")
    assert sum(len(item.boxes) for item in case.answers if item.boxes is not None) > 0
    for ours in case.answers:
        theirs = _by_ultralytics(case, ours.path)
        _matched(ours, theirs.boxes.xyxy.numpy(), theirs.boxes.conf.numpy(), 0.5)


def test_ultralytics_opens_a_model_of_depth(cases: Callable[[str], Case]) -> None:
    case = cases("yolo26n-depth")
    for ours in case.answers:
        theirs = np.asarray(_by_ultralytics(case, ours.path).depth.data).squeeze()
        assert ours.depth_map is not None
        assert theirs.shape == ours.size
        np.testing.assert_allclose(theirs, ours.depth_map, rtol=0.02)


def test_model_api_opens_a_detector(cases: Callable[[str], Case]) -> None:
    case = cases("yolo11n")
    for ours in case.answers:
        theirs = _by_model_api(case, ours.path, confidence_threshold=LEAST)
        _matched(ours, theirs.bboxes, theirs.scores, 0.75)  # it rounds to whole pixels


def test_model_api_opens_a_segmenter(cases: Callable[[str], Case]) -> None:
    """ModelAPI's masks equal ours, except for the border of the box.

    ModelAPI crops the prototypes to the box before upscaling them, so its borders fade over one of their cells;
    here they are upscaled first and cropped in pixels. At this small input a cell is 6 pixels of objects of 20 to 40.
    """
    case = cases("yolo11n-seg")
    cell = 4 * 96 / 64  # a prototype has a quarter of the input's side, which is 64 for an image of 96
    whole: list[float] = []
    within: list[float] = []
    for ours in case.answers:
        theirs = _by_model_api(case, ours.path, confidence_threshold=LEAST)
        assert ours.masks is not None
        assert ours.boxes is not None
        for mine, other in _matched(ours, theirs.bboxes, theirs.scores, 0.75):
            first, second = ours.masks[mine], theirs.masks[other].astype(bool)
            whole.append((first & second).sum() / max((first | second).sum(), 1))
            left, top, right, bottom = np.rint(ours.boxes[mine] + cell * np.array([1, 1, -1, -1])).astype(int)
            if right - left > 1 and bottom - top > 1:
                inside = (slice(top, bottom), slice(left, right))
                within.append(float(np.mean(first[inside] == second[inside])))
    assert within
    assert np.mean(within) >= 0.99
    assert np.mean(whole) > 0.75


def test_model_api_opens_a_classifier(cases: Callable[[str], Case]) -> None:
    """ModelAPI resizes without antialiasing, so the images here have the model's own size."""
    case = cases("yolo11n-cls")
    image = np.random.default_rng(0).integers(0, 255, (64, 64, 3)).astype(np.uint8)
    ours = case.engine.predict(image)[0]
    from PIL import Image

    path = case.engine.work_dir / "own_size.png"
    Image.fromarray(image).save(path)
    theirs = _by_model_api(case, str(path))
    assert ours.probabilities is not None
    assert theirs.raw_scores == pytest.approx(ours.probabilities, abs=1e-3)


def test_model_api_opens_a_semantic_segmenter(cases: Callable[[str], Case]) -> None:
    case = cases("yolo26n-sem")
    assert len(np.unique(np.concatenate([item.class_map.ravel() for item in case.answers]))) > 1  # type: ignore[union-attr]  # of this task
    for ours in case.answers:
        theirs = _by_model_api(case, ours.path)
        assert theirs.resultImage.shape == ours.size
        assert np.mean(theirs.resultImage == ours.class_map) > 0.98


def test_masks_of_the_artefact_are_those_of_torch(cases: Callable[[str], Case]) -> None:
    case = cases("yolo11n-seg")
    found = load(case.folder, precision="f32").predict(case.paths, confidence=LEAST)
    overlaps: list[float] = []
    for ours, theirs in zip(case.answers, found, strict=True):
        assert ours.masks is not None
        assert theirs.masks is not None
        assert len(ours.masks) == len(theirs.masks)
        both = (ours.masks & theirs.masks).sum(axis=(1, 2)) / np.maximum(
            (ours.masks | theirs.masks).sum(axis=(1, 2)), 1
        )
        overlaps += both.tolist()
    assert overlaps
    assert np.mean(overlaps) >= 0.99


def test_masks_are_those_of_ultralytics_at_the_size_of_the_image(cases: Callable[[str], Case]) -> None:
    """Except for the outermost pixels: a mask ends here where the box does, and there at the next whole pixel."""
    case = cases("yolo11n-seg")
    overlaps: list[float] = []
    for ours in case.answers:
        theirs = case.engine.model.predict(
            ours.path, imgsz=64, conf=LEAST, rect=False, retina_masks=True, verbose=False, save=False
        )[0]
        assert ours.masks is not None
        assert ours.boxes is not None
        if not len(ours.masks):
            continue
        for mine, other in _matched(ours, theirs.boxes.xyxy.numpy(), theirs.boxes.conf.numpy(), 0.05):
            left, top, right, bottom = np.rint(ours.boxes[mine] + [1, 1, -1, -1]).astype(int)
            inside = (slice(top, bottom), slice(left, right))
            first, second = ours.masks[mine][inside], theirs.masks.data[other].numpy().astype(bool)[inside]
            overlaps.append(float((first & second).sum() / max((first | second).sum(), 1)))
    assert overlaps
    assert np.mean(overlaps) >= 0.99
