"""Explaining by masks, by maps and by cells, with models whose reasons are known."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from drivetrain import Engine
from drivetrain.engine import Framework
from drivetrain.engine.perturbation import MASKS, explain_by_masks, masks, normalised
from drivetrain.errors import DataError, OptionError, UnsupportedError, UnsupportedOptionError
from drivetrain.models.spec import EngineSpec
from drivetrain.runs.progress import SilentProgress
from drivetrain.runtime.postprocess.maps import over_image
from drivetrain.types import ImageSpec, Prediction, Task

Images = Iterable[tuple[str, NDArray[np.uint8]]]
SPOT = (slice(60, 90), slice(20, 50))


class Known(Framework):
    """Looks for white in a square of a picture of 100 x 100, and answers as its task wants."""

    _object = None

    @property
    def model(self) -> Any:
        return self.given

    def build(self, options: Any = None) -> None:
        pass

    def find_task(self) -> Task:
        return Task(self.given.task)

    def find_label_names(self) -> tuple[str, ...]:
        return ("background", "spot") if self.task is Task.SEMANTIC_SEGMENTATION else ("spot", "none")

    def infer(self, images: Images, *, batch_size: int | None, confidence: float) -> Iterator[Prediction]:
        for path, image in images:
            yield self.answer(path, image, confidence)

    def answer(self, path: str, image: NDArray[np.uint8], confidence: float) -> Prediction:
        size = (image.shape[0], image.shape[1])
        scale = np.array(size * 2, np.float32) / 100
        rows, columns = (slice(int(s.start * scale[0]), int(s.stop * scale[0])) for s in SPOT)
        white = float(image[rows, columns].mean()) / 255
        if self.task is Task.CLASSIFICATION:
            probabilities = np.array([white, 1 - white], np.float32)
            best = probabilities.argmax(keepdims=True)
            return Prediction(path, size, labels=best, scores=probabilities[best], probabilities=probabilities)
        if self.task is Task.SEMANTIC_SEGMENTATION:
            classes = np.zeros(size, np.int64)
            classes[rows, columns] = image[rows, columns].mean(axis=2) > 127
            return Prediction(path, size, class_map=classes)
        if self.task is Task.ANOMALY:
            return Prediction(path, size, anomaly_score=0.9, anomaly_map=np.full(size, 0.25, np.float32))
        boxes = np.array([[20, 60, 50, 90], [0, 0, 10, 10]], np.float32) * scale
        scores = np.array([white, 0.3], np.float32)
        kept = np.flatnonzero(scores >= confidence)
        kept = kept[np.argsort(-scores[kept])]
        return Prediction(path, size, labels=np.array([0, 1])[kept], scores=scores[kept], boxes=boxes[kept])


TOP = __name__.partition(".")[0]
SPEC = EngineSpec(
    name="known", class_path=f"{__name__}:KnownEngine", install="", claims=(f"{TOP}:KnownModel",), hooks=("infer",)
)


class KnownModel:
    def __init__(self, task: str) -> None:
        self.task = task


class KnownEngine(Engine):
    spec = SPEC
    framework_class = Known


def engine_for(task: str, work: Path | None = None) -> Engine:
    engine = KnownEngine(KnownModel(task), work_dir=work)
    engine.progress = SilentProgress()
    return engine


@pytest.fixture
def image() -> NDArray[np.uint8]:
    picture = np.full((100, 100, 3), 40, np.uint8)
    picture[SPOT] = 255
    return picture


def is_on_spot(peak: tuple[int, int], scale: float = 1.0) -> bool:
    return 20 * scale <= peak[0] < 50 * scale and 60 * scale <= peak[1] < 90 * scale


@pytest.mark.parametrize("task", ["classification", "detection", "semantic_segmentation"])
def test_masks_find_what_a_black_box_looks_at(task: str, image: NDArray[np.uint8]) -> None:
    found = engine_for(task).explain(image)
    assert len(found) == 1
    item = found[0]
    assert (item.method, item.label_name) == ("rise", "spot")
    assert item.saliency.shape == (100, 100)
    assert item.saliency.dtype == np.float32
    assert (item.saliency.min(), item.saliency.max()) == (0, 1)
    assert is_on_spot(item.peak)
    assert item.saliency[SPOT].mean() > 2 * item.saliency.mean()
    assert np.array_equal(item.saliency, engine_for(task).explain(image)[0].saliency), "the masks are the same"


def test_a_large_image_is_looked_at_in_small_and_explained_in_full(image: NDArray[np.uint8]) -> None:
    large = image.repeat(9, axis=0).repeat(9, axis=1)
    item = engine_for("detection").explain(large)[0]
    assert item.saliency.shape == (900, 900)
    assert is_on_spot(item.peak, 9.0)
    np.testing.assert_allclose(item.box, [180, 540, 450, 810], atol=2)


def test_masks_are_pairs_and_as_many_as_stated(image: NDArray[np.uint8]) -> None:
    made = list(masks((30, 50), 8, MASKS))
    assert len(made) == MASKS
    for one, other in zip(made[::2], made[1::2], strict=True):
        assert one.shape == (30, 50)
        np.testing.assert_allclose(one + other, 1)
    asked = []

    def infer(images: Images) -> Iterator[Prediction]:
        for path, picture in images:
            asked.append(picture)
            yield Prediction(path, (100, 100), probabilities=np.array([0.5], np.float32))

    assert explain_by_masks(image, infer, lambda answer: "nothing there", objects=False) == "nothing there"
    assert len(asked) <= 2, "no more than what was read ahead"


def test_the_target_is_a_label_or_an_object(image: NDArray[np.uint8]) -> None:
    classifier, detector = engine_for("classification"), engine_for("detection")
    for target in ("none", "1", 1):
        item = classifier.explain(image, target=target)[0]
        assert (item.label, item.label_name) == (1, "none")
        assert not is_on_spot(item.peak)
    for target in ("none", 1, "1"):
        item = detector.explain(image, target=target)[0]
        assert (item.index, item.label_name, item.score) == (1, "none", pytest.approx(0.3))
    assert detector.explain(image, target=0)[0].label_name == "spot"
    with pytest.raises(OptionError, match=r"target='spott' is not a label of the model. Did you mean 'spot'"):
        classifier.explain(image, target="spott")
    with pytest.raises(OptionError, match="target=7 is not a label"):
        classifier.explain(image, target=7)
    with pytest.raises(OptionError, match="neither a label of the model nor the number of an object"):
        detector.explain(image, target="dog")


def test_images_without_what_is_asked_for_are_named(image: NDArray[np.uint8], tmp_path: Path) -> None:
    for name, picture in (("dark", np.zeros_like(image)), ("spot", image)):
        Image.fromarray(picture).save(tmp_path / f"{name}.png")
    dark, spot = str(tmp_path / "dark.png"), str(tmp_path / "spot.png")
    found = engine_for("detection").explain([dark, spot, image], target="spot")
    assert [item.path for item in found] == [spot, ""]
    assert found.skipped == ((dark, "no object 'spot' was found"),)
    assert found[1].image is image
    assert engine_for("detection").explain(spot, target=5).skipped == (
        (spot, "there is no object 5: the answer has 2"),
    )
    assert engine_for("semantic_segmentation").explain(dark, target="spot").skipped == (
        (dark, "no pixel was called 'spot'"),
    )


def test_an_anomaly_model_is_explained_by_its_own_map(image: NDArray[np.uint8]) -> None:
    item = engine_for("anomaly").explain(image)[0]
    assert (item.method, item.label, item.score) == ("map", None, 0.9)
    assert (item.saliency == 0.25).all(), "its own scale, in which 0.5 is the threshold"
    with pytest.raises(UnsupportedOptionError, match="says what is anomalous, and nothing else"):
        engine_for("anomaly").explain(image, target=0)


@pytest.mark.parametrize(
    ("task", "method", "message"),
    [
        ("detection", "cam", "method='cam' cannot be honoured for the task 'detection'. Allowed: auto, rise."),
        ("anomaly", "rise", "method='rise' cannot be honoured for the task 'anomaly'. Allowed: auto, map."),
        ("classification", "cam", "the engine 'known' does not say what is in its models. Allowed: auto, rise."),
    ],
)
def test_a_method_is_honoured_or_refused_by_name(
    task: str, method: Any, message: str, image: NDArray[np.uint8]
) -> None:
    with pytest.raises(UnsupportedOptionError) as refused:
        engine_for(task).explain(image, method=method)
    assert str(refused.value).endswith(message)
    with pytest.raises(OptionError, match=r"method='gradcam' is not allowed.*Allowed: auto, cam, rise, map"):
        engine_for(task).explain(image, method="gradcam")


def test_depth_has_nothing_to_explain(image: NDArray[np.uint8]) -> None:
    with pytest.raises(UnsupportedError, match="There is nothing to explain in an answer of the task 'depth'"):
        engine_for("depth").explain(image)


def test_a_map_lies_where_the_model_looked() -> None:
    values = np.array([[0, 0], [0, 4]], np.float32)
    whole = over_image(values, ImageSpec(10, 10), (40, 20))
    assert whole.shape == (40, 20)
    assert (whole[0, 0], whole[-1, -1]) == (0, 1)
    cut = over_image(values, ImageSpec(10, 10, resize="crop", crop_fraction=0.5), (40, 40))
    assert cut[:10].max() == cut[30:].max() == cut[:, :10].max() == 0, "what was cut off was not looked at"
    assert cut[29, 29] == 1
    boxed = over_image(values, ImageSpec(10, 10, resize="letterbox"), (20, 40))
    assert boxed[-1, -1] == 1
    assert over_image(np.ones((2, 2), np.float32), ImageSpec(10, 10), (4, 4)).max() == 0
    assert normalised(np.ones((2, 2))).max() == 0


def test_explanations_are_drawn_and_written(image: NDArray[np.uint8], tmp_path: Path) -> None:
    Image.fromarray(image).save(tmp_path / "spot.png")
    engine = engine_for("detection", tmp_path / "work")
    found = engine.explain([str(tmp_path / "spot.png"), image], save_images=True)
    assert len(list((tmp_path / "work" / "explanations").glob("*.jpg"))) == 2
    assert engine.explain(tmp_path / "spot.png", save_images=True)
    pictures = list(found.draw())
    assert [picture.ndim for picture in pictures] == [3, 3]
    assert pictures[0].shape[1] > 2 * 100, "the image stands beside it"
    with np.load(found.save(tmp_path / "maps.npz")) as file:
        assert set(file) == {"map_0", "map_1", "paths", "labels", "scores"}
        assert np.array_equal(file["map_1"], found[1].saliency)
        assert file["labels"].tolist() == [0, 0]
    assert found[0].save(tmp_path / "one.png").is_file()
    assert found._repr_html_().count("<img ") == 2
    assert found.to_dict()["explanations"][0]["label"] == "spot"
    assert repr(found) == "Explanations(2 images, detection)"
    with pytest.raises(DataError, match="would replace its image"):
        found[0].save(tmp_path / "spot.png")
    with pytest.raises(DataError, match=r"must be a folder .* or end in .npz"):
        found.save(tmp_path / "all.png")
