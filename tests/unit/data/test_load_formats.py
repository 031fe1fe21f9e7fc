from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from drivetrain.data import load_dataset
from drivetrain.errors import DataError, DataFormatError, DataNotFoundError
from drivetrain.images import rle as run_length
from drivetrain.types import Task

CATEGORIES = [{"id": 7, "name": "bolt"}, {"id": 3, "name": "nut"}]


def coco_document(count: int = 3, first: int = 1) -> dict:
    """``count`` images of 24 x 32 with a polygon of 7, an RLE crowd of 3 and a list-counts mask of 7."""
    images, annotations = [], []
    for index in range(count):
        identity = 10 * (first + index)
        images.append({"id": identity, "file_name": f"{first + index:02}.jpg", "height": 24, "width": 32})
        mask = np.zeros((24, 32), np.uint8)
        mask[2:9, 3 : 9 + index] = 1
        counts = coco_mask.encode(np.asfortranarray(mask))
        crowd = {"size": [24, 32], "counts": counts["counts"].decode()}
        plain = {"size": [24, 32], "counts": run_length.counts_of(crowd)}
        polygon = [[1, 1, 11, 1, 11, 6.5, 1, 8]]
        for number, (segmentation, category, iscrowd) in enumerate([(polygon, 7, 0), (crowd, 3, 1), (plain, 7, 0)]):
            box = [1, 1, 10, 7] if number == 0 else [3, 2, 6 + index, 7]
            annotations.append(
                {
                    "id": len(annotations) + 1, "image_id": identity, "category_id": category, "iscrowd": iscrowd,
                    "bbox": box, "area": 62.5 if number == 0 else 7.0 * (6 + index), "segmentation": segmentation,
                }
            )  # fmt: skip
    return {"images": images, "annotations": annotations, "categories": CATEGORIES}


@pytest.fixture
def coco(tmp_path, make_image):
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    for subset, first in (("train2017", 1), ("val2017", 11)):
        for index in range(3):
            make_image(root / subset / f"{first + index:02}.jpg")
        (root / "annotations" / f"instances_{subset}.json").write_text(json.dumps(coco_document(first=first)))
    return root


def change(file: Path, edit) -> None:
    document = json.loads(file.read_text())
    edit(document)
    file.write_text(json.dumps(document))


class TestCoco:
    def test_equals_the_reading_of_pycocotools(self, coco):
        data = load_dataset(coco)
        assert (data.format, data.task) == ("coco", Task.INSTANCE_SEGMENTATION)
        assert data.subsets == {"train": 3, "val": 3}
        assert data.label_names == ("nut", "bolt")
        reference = COCO(str(coco / "annotations" / "instances_train2017.json"))
        names = {c["id"]: c["name"] for c in reference.loadCats(reference.getCatIds())}
        part = data.subset("train")
        assert part.image_ids.tolist() == sorted(reference.getImgIds())
        for sample in part:
            truth = reference.loadAnns(reference.getAnnIds(imgIds=[sample.image_id]))
            info = reference.loadImgs([sample.image_id])[0]
            assert sample.size == (info["height"], info["width"])
            assert Path(sample.path).name == info["file_name"]
            assert [data.label_names[i] for i in sample.box_labels] == [names[a["category_id"]] for a in truth]
            xywh = np.concatenate([sample.boxes[:, :2], sample.boxes[:, 2:] - sample.boxes[:, :2]], axis=1)
            np.testing.assert_allclose(xywh, [a["bbox"] for a in truth], atol=1e-5)
            np.testing.assert_allclose(sample.area, [a["area"] for a in truth])
            assert sample.iscrowd.tolist() == [bool(a["iscrowd"]) for a in truth]
            assert sample.polygons[0][0].reshape(-1).tolist() == truth[0]["segmentation"][0]
            for index in (1, 2):
                mine = coco_mask.decode(sample.rles[index])
                np.testing.assert_array_equal(mine, reference.annToMask(truth[index]))

    def test_one_file(self, coco):
        data = load_dataset(coco / "annotations" / "instances_val2017.json")
        assert data.subsets == {"val": 3}
        assert Path(data.paths[0]).parent.name == "val2017"

    def test_roboflow_layout(self, tmp_path, make_image):
        for subset, first in (("train", 1), ("valid", 5), ("test", 9)):
            document = coco_document(2, first)
            document["categories"] = [{"id": 0, "name": "parts", "supercategory": "none"}] + [
                {**c, "supercategory": "parts"} for c in CATEGORIES
            ]
            for image in document["images"]:
                make_image(tmp_path / subset / image["file_name"])
            (tmp_path / subset / "_annotations.coco.json").write_text(json.dumps(document))
        data = load_dataset(tmp_path)
        assert data.subsets == {"train": 2, "val": 2, "test": 2}
        assert data.label_names == ("nut", "bolt")
        assert any("'parts' only groups others" in note for note in data.notes)

    def test_keypoints(self, coco):
        def edit(document):
            document["categories"][0]["keypoints"] = ["head", "tip"]
            document["annotations"][0] |= {"keypoints": [1, 2, 2, 3, 4, 1], "num_keypoints": 2}

        for subset in ("train2017", "val2017"):
            source = coco / "annotations" / f"instances_{subset}.json"
            target = source.with_name(f"person_keypoints_{subset}.json")
            target.write_text(source.read_text())
            change(target, edit)
        assert load_dataset(coco).task is Task.INSTANCE_SEGMENTATION
        data = load_dataset(coco, task="keypoint_detection")
        assert data.keypoint_names == ("head", "tip")
        assert data[0].keypoints[0].tolist() == [[1, 2, 2], [3, 4, 1]]
        assert not data[0].keypoints[1:].any()

    def test_boxes_alone_are_detection(self, coco):
        for file in (coco / "annotations").iterdir():
            change(file, lambda document: [a.pop("segmentation") for a in document["annotations"]])
        assert load_dataset(coco).task is Task.DETECTION
        with pytest.raises(DataError, match="no polygons or masks of the objects"):
            load_dataset(coco, task="instance_segmentation")

    def test_boxes_are_clipped_and_empty_ones_left_out(self, coco):
        def edit(document):
            document["annotations"][0]["bbox"] = [-5, 2, 50, 3]
            document["annotations"][3]["bbox"] = [40, 2, 5, 5]

        change(coco / "annotations" / "instances_train2017.json", edit)
        data = load_dataset(coco)
        assert data[0].boxes[0].tolist() == [0, 2, 32, 5]
        assert (len(data[1].boxes), len(data[1].rles), data[1].polygons) == (2, 2, None)
        assert any(note.startswith("2 boxes extended beyond their image") for note in data.notes)
        assert any(note.startswith("1 objects without an extent") for note in data.notes)

    @pytest.mark.parametrize("orientation", [5, 6, 7, 8])
    def test_annotations_of_the_unrotated_image_are_turned(self, coco, make_image, orientation):
        before = load_dataset(coco)[0]
        path = make_image(coco / "train2017" / "01.jpg", (24, 32), orientation=orientation)
        data = load_dataset(coco)
        sample = data[0]
        assert sample.size == (32, 24)
        assert any("1 image is stored sideways" in note for note in data.notes)
        from PIL import ImageOps

        for index in (1, 2):
            stored = Image.fromarray(run_length.decode_mask(before.rles[index]).astype(np.uint8))
            stored.getexif()[0x0112] = orientation
            upright = np.asarray(ImageOps.exif_transpose(stored))
            np.testing.assert_array_equal(run_length.decode_mask(sample.rles[index]), upright)
            assert sample.boxes[index].tolist() == list(run_length.box_of(sample.rles[index]))
        assert sample.polygons[0][0].min(axis=0).tolist() == sample.boxes[0][:2].tolist()
        assert path.exists()

    def test_missing_images_are_counted(self, coco):
        (coco / "train2017" / "01.jpg").unlink()
        data = load_dataset(coco)
        assert len(data) == 5
        assert any("1 annotated images do not exist" in note for note in data.notes)
        for path in coco.rglob("*.jpg"):
            path.unlink()
        with pytest.raises(DataNotFoundError, match="none of the 6 images"):
            load_dataset(coco)

    def test_unknown_category_and_broken_json(self, coco):
        file = coco / "annotations" / "instances_train2017.json"
        change(file, lambda d: d["annotations"][1].update(category_id=99))
        with pytest.raises(DataFormatError, match=r"annotation 2 has the category id 99, but the categories are 7, 3"):
            load_dataset(coco)
        file.write_text('{"images": ')
        with pytest.raises(DataFormatError, match=r"instances_train2017\.json is not valid JSON"):
            load_dataset(file)

    def test_images_without_annotations_are_counted(self, coco):
        change(coco / "annotations" / "instances_train2017.json", lambda d: d["annotations"].clear())
        data = load_dataset(coco)
        assert data.subset("train").object_counts.tolist() == [0, 0, 0]
        assert any("3 of 6 images have no annotations" in note for note in data.notes)

    def test_labels_of_images_from_objects(self, coco):
        data = load_dataset(coco, task="multilabel_classification")
        assert data.label_matrix.all()


@pytest.mark.parametrize("seed", range(5))
def test_rle_equals_pycocotools(seed):
    random = np.random.default_rng(seed)
    mask = (random.random((random.integers(1, 90), random.integers(1, 90))) < 0.05 * (seed + 1)).astype(np.uint8)
    mine, reference = run_length.encode_mask(mask), coco_mask.encode(np.asfortranarray(mask))
    assert mine["counts"] == reference["counts"].decode()
    np.testing.assert_array_equal(run_length.decode_mask(mine), mask)
    assert run_length.area_of(mine) == mask.sum()
    if mask.any():
        x, y, width, height = coco_mask.toBbox(reference)
        assert run_length.box_of(mine) == (x, y, x + width, y + height)


def yolo_tree(root: Path, make_image, lines: str, layout: str = "images/{}", config: dict | None = None) -> Path:
    for subset in ("train", "val"):
        images = root / layout.format(subset)
        make_image(images / "a.jpg", (100, 200))
        make_image(images / "b.jpg", (100, 200))
        labels = root / layout.format(subset).replace("images", "labels")
        labels.mkdir(parents=True, exist_ok=True)
        (labels / "a.txt").write_text(lines)
    if config is not None:
        (root / "data.yaml").write_text(yaml.safe_dump(config))
    return root


BOXES = "0 0.5 0.5 0.1 0.2\n1 0.25 0.1 0.5 0.2\n"


class TestYolo:
    @pytest.mark.parametrize("layout", ["images/{}", "{}/images", "{}"])
    def test_folders(self, tmp_path, make_image, layout):
        data = load_dataset(yolo_tree(tmp_path, make_image, BOXES, layout))
        assert (data.format, data.task, data.subsets) == ("yolo", Task.DETECTION, {"train": 2, "val": 2})
        np.testing.assert_allclose(data[0].boxes, [[90, 40, 110, 60], [0, 0, 100, 20]], atol=1e-4)
        assert data[0].box_labels.tolist() == [0, 1]
        np.testing.assert_allclose(data[0].area, [400, 2000], rtol=1e-5)
        assert data[1].boxes.shape == (0, 4)
        assert data.label_names == ("class_0", "class_1")
        assert any("2 of 4 images have no annotations" in note for note in data.notes)

    @pytest.mark.parametrize(
        "config",
        [
            {"train": "images/train", "val": "images/val", "names": ["x", "y"]},
            {"path": ".", "train": ["images/train"], "val": "images/val", "names": {0: "x", 1: "y"}},
            {"train": "../images/train", "val": "../images/val", "nc": 2, "names": ["x", "y"]},
        ],
    )
    def test_data_yaml(self, tmp_path, make_image, config):
        root = yolo_tree(tmp_path, make_image, BOXES, config=config)
        for source in (root, root / "data.yaml"):
            data = load_dataset(source)
            assert data.label_names == ("x", "y")
            assert data.subsets == {"train": 2, "val": 2}

    def test_list_of_images(self, tmp_path, make_image):
        root = yolo_tree(tmp_path, make_image, BOXES, config={"train": "t.txt", "names": ["x", "y"]})
        (root / "t.txt").write_text("./images/train/a.jpg\nimages/train/b.jpg\n")
        assert load_dataset(root).subsets == {"train": 2}

    def test_polygons(self, tmp_path, make_image):
        data = load_dataset(yolo_tree(tmp_path, make_image, "1 0.1 0.1 0.5 0.1 0.5 0.9\n0 0 0 1 0 1 1 0 1\n"))
        assert data.task is Task.INSTANCE_SEGMENTATION
        np.testing.assert_allclose(data[0].polygons[0][0], [[20, 10], [100, 10], [100, 90]], atol=1e-4)
        np.testing.assert_allclose(data[0].boxes[0], [20, 10, 100, 90], atol=1e-4)
        np.testing.assert_allclose(data[0].area, [3200, 20000], rtol=1e-5)

    def test_oriented_boxes_by_their_shape_yaml_or_task(self, tmp_path, make_image):
        line = "0 0.5 0.2 0.7 0.5 0.5 0.8 0.3 0.5\n"
        root = yolo_tree(tmp_path, make_image, line)
        data = load_dataset(root)
        assert data.task is Task.ORIENTED_DETECTION
        assert any(note.startswith("Every outline is a rectangle, so these are oriented boxes") for note in data.notes)
        assert load_dataset(root, task="instance_segmentation").task is Task.INSTANCE_SEGMENTATION
        data = load_dataset(root, task="oriented_detection")
        assert data.task is Task.ORIENTED_DETECTION
        np.testing.assert_allclose(data[0].polygons[0][0], [[100, 20], [140, 50], [100, 80], [60, 50]], atol=1e-4)
        yolo_tree(tmp_path, make_image, line, config={"train": "images/train", "names": ["x"], "task": "obb"})
        assert load_dataset(root).task is Task.ORIENTED_DETECTION
        outline = "0 0.5 0.2 0.7 0.5 0.5 0.9 0.3 0.5\n"
        assert load_dataset(yolo_tree(tmp_path / "b", make_image, outline)).task is Task.INSTANCE_SEGMENTATION

    @pytest.mark.parametrize(("dimensions", "points"), [(3, "0.1 0.2 2 0.3 0.4 1"), (2, "0.1 0.2 0 0")])
    def test_keypoints(self, tmp_path, make_image, dimensions, points):
        config = {"train": "images/train", "names": ["x"], "kpt_shape": [2, dimensions]}
        data = load_dataset(yolo_tree(tmp_path, make_image, f"0 0.5 0.5 0.1 0.2 {points}\n", config=config))
        assert data.task is Task.KEYPOINT_DETECTION
        assert len(data.keypoint_names) == 2
        expected = [[20, 20, 2], [60, 40, 1]] if dimensions == 3 else [[20, 20, 2], [0, 0, 0]]
        np.testing.assert_allclose(data[0].keypoints[0], expected, atol=1e-4)
        assert data[1].keypoints.shape == (0, 2, 3)

    def test_class_outside_the_names(self, tmp_path, make_image):
        config = {"train": "images/train", "names": ["x"]}
        root = yolo_tree(tmp_path, make_image, BOXES, config=config)
        with pytest.raises(DataError, match=r"a\.txt:2 has the class number 1, but 'names' has only 0 to 0 \(x\)"):
            load_dataset(root)

    def test_malformed_lines(self, tmp_path, make_image):
        root = yolo_tree(tmp_path, make_image, "0 0.5 0.5 0.1\n0 0.5 0.5 0.1 0.2\n0 a b c d\n")
        data = load_dataset(root)
        assert len(data[0].boxes) == 1
        assert any(note.startswith("4 lines of label files are malformed") and "a.txt:1" in note for note in data.notes)
        with pytest.raises(DataFormatError, match="strict=True: 4 lines"):
            load_dataset(root, strict=True)

    def test_fractions_are_of_the_upright_image(self, tmp_path, make_image):
        root = yolo_tree(tmp_path, make_image, BOXES)
        make_image(root / "images" / "train" / "a.jpg", (100, 200), orientation=6)
        sample = load_dataset(root)[0]
        assert sample.size == (200, 100)
        np.testing.assert_allclose(sample.boxes[0], [45, 80, 55, 120], atol=1e-4)

    def test_missing_folder(self, tmp_path):
        (tmp_path / "data.yaml").write_text("train: images/train\nnames: [x]\n")
        with pytest.raises(DataNotFoundError, match=r"names train: images/train, which do not exist"):
            load_dataset(tmp_path / "data.yaml")


VOC_XML = """<annotation><filename>{name}.jpg</filename><size><width>32</width><height>24</height></size>
<object><name>dog</name><bndbox><xmin>3</xmin><ymin>4</ymin><xmax>10</xmax><ymax>12.5</ymax></bndbox></object>
<object><name>cat</name><bndbox><xmin>0</xmin><ymin>0</ymin><xmax>5</xmax><ymax>5</ymax></bndbox></object>
</annotation>"""


@pytest.fixture
def voc(tmp_path, make_image):
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for name in ("a", "b", "c"):
        make_image(root / "JPEGImages" / f"{name}.jpg")
        (root / "Annotations").mkdir(exist_ok=True)
        (root / "Annotations" / f"{name}.xml").write_text(VOC_XML.format(name=name))
    (root / "ImageSets" / "Main").mkdir(parents=True)
    for subset, names in (("train", "a\nb\n"), ("val", "c\n"), ("trainval", "a\nb\nc\n")):
        (root / "ImageSets" / "Main" / f"{subset}.txt").write_text(names)
    return tmp_path


class TestVoc:
    def test_boxes_and_sets(self, voc):
        data = load_dataset(voc)
        assert (data.format, data.task, data.subsets) == ("voc", Task.DETECTION, {"train": 2, "val": 1})
        assert data[0].boxes.tolist() == [[3, 4, 10, 12.5], [0, 0, 5, 5]]
        assert [data.label_names[i] for i in data[0].box_labels] == ["dog", "cat"]

    @pytest.mark.parametrize("coloured", [False, True])
    def test_class_maps(self, voc, coloured):
        folder = voc / "VOCdevkit" / "VOC2012"
        (folder / "SegmentationClass").mkdir()
        (folder / "ImageSets" / "Segmentation").mkdir()
        (folder / "ImageSets" / "Segmentation" / "val.txt").write_text("b\n")
        indices = np.zeros((24, 32), np.uint8)
        indices[:4], indices[4:8] = 2, 255
        colours = np.array([[0, 0, 0], [128, 0, 0], [0, 128, 0]] + [[224, 224, 192]] * 253, np.uint8)
        for name in ("a", "b"):
            image = Image.fromarray(indices)
            image.putpalette(colours.reshape(-1).tolist())
            image = image.convert("RGB") if coloured else image
            image.save(folder / "SegmentationClass" / f"{name}.png")
        data = load_dataset(voc, task="semantic_segmentation")
        assert data.label_names[:3] == ("background", "aeroplane", "bicycle")
        assert data.subsets == {"train": 1, "val": 1}
        with Image.open(data[0].mask_path) as mask:
            np.testing.assert_array_equal(np.asarray(mask), indices)

    def test_xml_beside_the_images(self, tmp_path, make_image):
        for subset in ("train", "valid"):
            make_image(tmp_path / subset / "a.jpg")
            (tmp_path / subset / "a.xml").write_text(VOC_XML.format(name="a"))
        data = load_dataset(tmp_path)
        assert (data.format, data.subsets, data.label_names) == ("voc", {"train": 1, "val": 1}, ("cat", "dog"))

    def test_broken_xml_and_missing_image(self, voc):
        folder = voc / "VOCdevkit" / "VOC2012"
        (folder / "JPEGImages" / "a.jpg").unlink()
        data = load_dataset(voc)
        assert len(data) == 2
        assert data.skipped[0][0].endswith("a.xml")
        (folder / "Annotations" / "b.xml").write_text("<annotation>")
        with pytest.raises(DataFormatError, match=r"b\.xml is not valid XML"):
            load_dataset(voc, "voc")


@pytest.fixture
def mvtec(tmp_path, make_image):
    root = tmp_path / "bottle"
    for path in ("train/good/000.png", "train/good/001.png", "test/good/000.png", "test/crack/000.png"):
        make_image(root / path)
    mask = np.zeros((24, 32), np.uint8)
    mask[3:6] = 255
    (root / "ground_truth" / "crack").mkdir(parents=True)
    Image.fromarray(mask).save(root / "ground_truth" / "crack" / "000_mask.png")
    return root


class TestMvtec:
    def test_one_category(self, mvtec):
        data = load_dataset(mvtec)
        assert (data.format, data.task, data.label_names) == ("mvtec", Task.ANOMALY, ("good", "crack"))
        assert data.subsets == {"train": 2, "test": 2}
        defect = next(sample for sample in data if sample.anomalous)
        assert defect.mask_path.endswith("ground_truth/crack/000_mask.png")
        assert defect.labels.tolist() == [1]
        assert load_dataset(mvtec.parent).subsets == data.subsets

    def test_several_categories_are_named(self, mvtec, make_image):
        for path in ("train/good/0.png", "test/good/0.png", "test/hole/0.png"):
            make_image(mvtec.parent / "cable" / path)
        with pytest.raises(
            DataFormatError, match=r"contains 2 data sets: bottle, cable.*Give one of them, such as .*bottle"
        ):
            load_dataset(mvtec.parent)

    def test_mask_of_another_size_is_skipped(self, mvtec):
        Image.fromarray(np.zeros((5, 5), np.uint8)).save(mvtec / "ground_truth" / "crack" / "000_mask.png")
        data = load_dataset(mvtec)
        assert len(data) == 3
        assert "24x32 pixels, but its mask" in data.skipped[0][1]

    def test_test_images_stay_and_val_comes_from_train(self, mvtec):
        data = load_dataset(mvtec).with_splits()
        assert data.subsets == {"train": 1, "val": 1, "test": 2}


def test_kitti(tmp_path, make_image):
    line = "{} 0.00 0 -1.58 3.5 4 10 12 1.65 1.67 3.64 -0.65 1.71 46.70 -1.59"
    for name in ("000000", "000001", "000002"):
        make_image(tmp_path / "training" / "image_2" / f"{name}.png")
    (tmp_path / "training" / "label_2").mkdir()
    (tmp_path / "training" / "label_2" / "000000.txt").write_text(line.format("Car") + "\n" + line.format("DontCare"))
    (tmp_path / "training" / "label_2" / "000001.txt").write_text(line.format("Van"))
    data = load_dataset(tmp_path)
    assert (data.format, data.label_names, data.subsets) == ("kitti", ("Car", "Van"), {"train": 2})
    assert data[0].boxes.tolist() == [[3.5, 4, 10, 12]]
    assert any("1 images have no label file" in note for note in data.notes)
