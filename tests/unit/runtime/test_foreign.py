# ruff: noqa: TID253 - tests use the frameworks outright
"""Models of other tools: what they say is understood, and ModelAPI answers about them as we do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import yaml

from drivetrain import Engine, load
from drivetrain.errors import ArtifactError, OptionError
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import Task

HEIGHT, WIDTH = 24, 32
LABELS = "cat dog cow"
#: Said outright, since ModelAPI keeps what its YOLO wrappers set for every model that is opened after them.
PLAIN = {"reverse_input_channels": False, "scale_values": "1 1 1", "resize_type": "standard", "pad_value": 0}
Build = Callable[[Any], Sequence[tuple[str, Any]]]


def constant(values: Any, kind: Any = np.float32) -> Any:
    return ov.opset13.constant(np.asarray(values, kind))


def tiny(image: Any) -> Any:
    """A number near 0 that depends on the image, so that no output is constant."""
    ops = ov.opset13
    mean = ops.reduce_mean(image, constant([1, 2, 3], np.int64), keep_dims=False)
    return ops.multiply(mean, constant(1e-4))


def write(path: Path, build: Build, shape: Sequence[int] = (1, 3, HEIGHT, WIDTH), **info: Any) -> Path:
    """An IR as another tool leaves it: no manifest, its metadata in the file."""
    image = ov.opset13.parameter(list(shape), np.float32, name="image")
    image.set_layout(ov.Layout("NCHW"))
    results = []
    for name, node in build(image):
        node.output(0).set_names({name})
        results.append(ov.opset13.result(node.output(0)))
    image.output(0).set_names({"image"})
    model = ov.Model(results, [image])
    for key, value in info.items():
        model.set_rt_info(value, ["model_info", key])
    ov.save_model(model, path, compress_to_fp16=False)
    return path


def model_api(path: Path) -> Any:
    """The model in ModelAPI, at full precision."""
    models = pytest.importorskip("model_api.models")
    core = ov.Core()
    core.set_property("CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return models.Model.create_model(
        pytest.importorskip("model_api.adapters").OpenvinoAdapter(core, str(path), device="CPU")
    )


@pytest.fixture
def image() -> np.ndarray[Any, Any]:
    """Larger than the model, without fine structure: resizers differ in that alone."""
    rows, columns = np.mgrid[0:96, 0:160]
    return np.stack([rows * 2, columns, 255 - rows], axis=2).astype(np.uint8)


def logits(image: Any) -> Any:
    means = ov.opset13.reduce_mean(image, constant([2, 3], np.int64), keep_dims=False)
    return ov.opset13.multiply(means, constant(0.05))


@pytest.mark.parametrize("reverse", [True, False])
def test_a_classifier_with_normalisation(tmp_path: Path, image: np.ndarray, reverse: bool) -> None:
    info = {"mean_values": "120 115 100", "scale_values": "60 57 57", "reverse_input_channels": reverse}
    path = write(
        tmp_path / "m.xml", lambda x: [("logits", logits(x))], model_type="Classification", labels=LABELS, **info
    )
    ours = load(path, precision="f32").predict(image)[0]
    theirs = model_api(path)(np.ascontiguousarray(image[..., ::-1]) if reverse else image)
    assert theirs.top_labels[0].name == ours.label_name
    # where the graph ends in logits ModelAPI takes them for probabilities unless it is told otherwise
    raw = np.asarray(theirs.raw_scores) if len(theirs.raw_scores) else ours.probabilities
    assert int(np.argmax(raw)) == ours.label


def boxes_and_labels(image: Any) -> list[tuple[str, Any]]:
    rows = [[2, 3, 12, 15, 0.9], [10, 5, 30, 20, 0.6], [0, 0, 5, 5, 0.05]]
    boxes = ov.opset13.add(constant([rows]), ov.opset13.unsqueeze(tiny(image), constant([1, 2], np.int64)))
    return [("boxes", boxes), ("labels", constant([[1, 0, 2]], np.int64))]


def boxes_scores_labels(image: Any) -> list[tuple[str, Any]]:
    rows = np.array([[2, 3, 12, 15], [10, 5, 30, 20]], np.float32) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
    boxes = ov.opset13.add(constant([rows]), ov.opset13.unsqueeze(tiny(image), constant([1, 2], np.int64)))
    return [("bboxes", boxes), ("scores", constant([[0.9, 0.6]])), ("labels", constant([[1, 0]], np.int64))]


@pytest.mark.parametrize("build", [boxes_and_labels, boxes_scores_labels])
@pytest.mark.parametrize("resize", ["standard", "fit_to_window_letterbox"])
def test_a_detector_for_ssd(tmp_path: Path, image: np.ndarray, build: Build, resize: str) -> None:
    info = {"model_type": "SSD", "labels": LABELS, "confidence_threshold": 0.3, "resize_type": resize}
    path = write(tmp_path / "m.xml", build, **info)
    ours = load(path, precision="f32").predict(image)[0]
    theirs = model_api(path)(image)
    assert len(ours.scores) == 2, "the box below the threshold is left out"
    off = 1.0 if resize == "standard" else 2.0  # ModelAPI rounds to whole pixels, and its padding too
    np.testing.assert_allclose(theirs.bboxes, ours.boxes, atol=off)
    np.testing.assert_allclose(theirs.scores, ours.scores, atol=2e-2)
    np.testing.assert_array_equal(theirs.labels, ours.labels)
    assert list(theirs.label_names) == [ours.name_of(number) for number in ours.labels]


def anchors(image: Any) -> list[tuple[str, Any]]:
    values = np.zeros((1, 4 + 3, 5), np.float32)
    values[0, :4] = [[8, 8.5, 20, 5, 25], [9, 9, 12, 4, 18], [10, 10, 16, 3, 6], [12, 12, 10, 3, 6]]
    values[0, 4:] = [[0.1, 0.2, 0.7, 0.0, 0.1], [0.9, 0.8, 0.1, 0.1, 0.0], [0.0, 0.0, 0.0, 0.1, 0.5]]
    return [
        ("output0", ov.opset13.add(constant(values), ov.opset13.unsqueeze(tiny(image), constant([1, 2], np.int64))))
    ]


@pytest.mark.parametrize("kind", ["YOLOv5", "YOLOv8", "YOLO11"])
def test_a_yolo_by_its_metadata(tmp_path: Path, image: np.ndarray, kind: str) -> None:
    path = write(tmp_path / "m.xml", anchors, model_type=kind, labels=LABELS)
    ours = load(path, precision="f32").predict(image)[0]
    theirs = model_api(path)(np.ascontiguousarray(image[..., ::-1]))
    order = np.argsort(-theirs.scores, kind="stable")
    assert len(ours.scores) == 3, "one of the five overlaps a better one, one says nothing"
    np.testing.assert_allclose(theirs.bboxes[order], ours.boxes, atol=1.0)
    np.testing.assert_allclose(theirs.scores[order], ours.scores, atol=1e-3)
    np.testing.assert_array_equal(theirs.labels[order], ours.labels)


def test_a_segmenter(tmp_path: Path, image: np.ndarray) -> None:
    path = write(
        tmp_path / "m.xml",
        lambda x: [("logits", ov.opset13.relu(x))],
        model_type="Segmentation",
        labels=LABELS,
        blur_strength=-1,
        return_soft_prediction=False,
        **PLAIN,
    )
    inside = np.ascontiguousarray(
        image[:HEIGHT, :WIDTH]
    )  # of the model's size: ModelAPI enlarges classes, we enlarge logits
    ours = load(path, precision="f32").predict(inside)[0]
    np.testing.assert_array_equal(model_api(path)(inside), ours.class_map)
    assert set(np.unique(ours.class_map)) <= {0, 1, 2}


def anomaly(image: Any) -> list[tuple[str, Any]]:
    ops = ov.opset13
    places = ops.reduce_mean(image, constant([1], np.int64), keep_dims=True)
    score = ops.reduce_max(places, constant([1, 2, 3], np.int64), keep_dims=False)
    half = constant(0.5)
    return [
        ("pred_score", score),
        ("pred_label", ops.greater_equal(score, half)),
        ("anomaly_map", places),
        ("pred_mask", ops.greater_equal(places, half)),
    ]


@pytest.mark.parametrize("info", [{}, {"model_type": "AnomalyDetection", "labels": "Normal Anomaly"}])
def test_an_anomaly_model(tmp_path: Path, image: np.ndarray, info: dict[str, str]) -> None:
    """As Anomalib exports it, without metadata, and with ModelAPI's."""
    path = write(tmp_path / "m.xml", anomaly, **info)
    inside = np.ascontiguousarray(image[:HEIGHT, :WIDTH])
    ours = load(path, precision="f32").predict(inside)[0]
    assert ours.anomaly_score == pytest.approx(inside.mean(axis=2).max() / 255, abs=1e-5)
    if info:
        theirs = model_api(path)(inside)
        assert theirs.pred_score == pytest.approx(ours.anomaly_score, abs=1e-5)
        np.testing.assert_allclose(theirs.anomaly_map / 255, ours.anomaly_map, atol=3e-3)
        np.testing.assert_array_equal(theirs.pred_mask.astype(bool), ours.anomaly_mask)


def test_preprocessing_that_model_api_put_into_the_graph_is_used(tmp_path: Path, image: np.ndarray) -> None:
    plain = write(
        tmp_path / "plain.xml",
        lambda x: [("logits", logits(x))],
        model_type="Classification",
        labels=LABELS,
        mean_values="10 20 30",
        output_raw_scores=True,
        **PLAIN,
    )
    saved = tmp_path / "embedded.xml"
    model_api(plain).save(str(saved))
    artifact = Artifact.open(saved)
    assert artifact.embedded
    assert artifact.image_spec.size == (HEIGHT, WIDTH)
    ours, unsaved = (load(path, precision="f32").predict(image)[0] for path in (saved, plain))
    np.testing.assert_allclose(ours.probabilities, unsaved.probabilities, atol=2e-2)


def test_an_export_folder_of_ultralytics(tmp_path: Path, image: np.ndarray) -> None:
    folder = tmp_path / "yolo11n_openvino_model"
    folder.mkdir()
    write(folder / "yolo11n.xml", anchors, model_type="YOLO", labels=LABELS)
    metadata = {"task": "detect", "imgsz": [HEIGHT, WIDTH], "names": {0: "cat", 1: "dog", 2: "cow"}}
    (folder / "metadata.yaml").write_text(yaml.safe_dump(metadata), encoding="utf-8")
    for place in (folder, folder / "yolo11n.xml"):
        predictor = load(place, precision="f32")
        assert (predictor.task, predictor.label_names) == (Task.DETECTION, ("cat", "dog", "cow"))
        assert len(predictor.predict(image)[0].scores) == 3
    assert len(Engine(folder).predict(image)[0].scores) == 3
    (folder / "metadata.yaml").write_text(yaml.safe_dump({**metadata, "task": "track"}), encoding="utf-8")
    with pytest.raises(ArtifactError, match="task='track', which is not read here"):
        load(folder)


DESCRIPTION = {
    "task": "detection",
    "label_names": ["cat", "dog", "cow"],
    "decoder": "boxes",
    "decoder_args": {"boxes": "boxes", "labels": "labels"},
}


def test_plain_outputs_with_a_description(tmp_path: Path, image: np.ndarray) -> None:
    path = write(tmp_path / "m.xml", boxes_and_labels)
    with pytest.raises(ArtifactError, match=r"lack model_type, labels\. Describe it: .*description=\{\.\.\.\}"):
        load(path)
    given = load(path, precision="f32", description=DESCRIPTION).predict(image)[0]
    assert [given.name_of(number) for number in given.labels] == ["dog", "cat"]
    (tmp_path / "m.drivetrain.yaml").write_text(yaml.safe_dump(DESCRIPTION), encoding="utf-8")
    beside = Engine(path).predict(image)[0]
    np.testing.assert_array_equal(beside.boxes, given.boxes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": None}, "task"),
        ({"label_name": ["cat"]}, "unknown key 'label_name'. Did you mean 'label_names'"),
        ({"task": "detecting"}, "Did you mean 'detection'"),
        ({"decoder": "box"}, "decoder='box' is not known. Did you mean 'boxes'"),
        ({"decoder_args": {"boxes": "boxes", "label": "labels"}}, "unknown arguments"),
        ({"std": [0, 1, 1]}, "must be positive"),
        ({"resize": "fit"}, "resize='fit'"),
        ({"label_names": None}, "lacks 'label_names'"),
    ],
)
def test_a_wrong_description_says_what_to_give(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write(tmp_path / "m.xml", boxes_and_labels)
    description = {key: value for key, value in {**DESCRIPTION, **changes}.items() if value is not None}
    with pytest.raises(ArtifactError, match=message.replace("(", r"\(")):
        load(path, description=description)


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({"model_type": "SSD"}, "lack labels"),
        ({"model_type": "MaskRCNN", "labels": LABELS}, "model_type='MaskRCNN', which is not read here"),
        ({"model_type": "Segmentation", "labels": LABELS}, "read is one of shape"),
        ({"model_type": "AnomalyDetection", "labels": LABELS}, "read are those with pred_score"),
        ({"model_type": "SSD", "labels": LABELS, "resize_type": "fill"}, "resize_type='fill'; allowed"),
    ],
)
def test_metadata_that_do_not_fit_are_named(tmp_path: Path, info: dict[str, str], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        load(write(tmp_path / "m.xml", boxes_and_labels, **info))


def test_an_input_of_open_size_asks_for_it(tmp_path: Path, image: np.ndarray) -> None:
    path = write(tmp_path / "m.xml", anomaly, shape=(1, 3, -1, -1))
    with pytest.raises(ArtifactError, match="does not say the height and width of its input"):
        load(path)
    found = load(path, precision="f32", description={"task": "anomaly", "height": HEIGHT, "width": WIDTH})
    assert 0 < found.predict(image)[0].anomaly_score <= 1


def test_an_artefact_of_ours_takes_no_description(tmp_path: Path) -> None:
    write(tmp_path / "m.xml", boxes_and_labels)
    (tmp_path / "manifest.json").write_text('{"schema_version": 1}', encoding="utf-8")
    with pytest.raises(OptionError, match="needs no description"):
        Artifact.open(tmp_path, description=DESCRIPTION)


def test_a_truncated_bin_is_an_error_in_words(tmp_path: Path) -> None:
    weights = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    path = write(
        tmp_path / "m.xml",
        lambda x: [("logits", ov.opset13.matmul(logits(x), constant(weights), False, False))],
        model_type="Classification",
        labels=LABELS,
    )
    whole = path.with_suffix(".bin").read_bytes()
    path.with_suffix(".bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ArtifactError, match="OpenVINO cannot load"):
        load(path)
