"""The artefact and its manifest: a round trip, and every way it can be broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from drivetrain.errors import ArtifactError
from drivetrain.runtime.artifact import Artifact
from drivetrain.types import ImageSpec, Task

XML = """<net name="m"><layers>
<layer id="0" name="x" type="Parameter"><data shape="1,3,20,30" element_type="f32"/></layer>
<layer id="1" name="y" type="Result" output_names="logits"/></layers>
<rt_info><model_info>{info}</model_info></rt_info></net>"""


def _write(folder: Path, **changes: Any) -> Artifact:
    folder.mkdir(parents=True)
    (folder / "model.xml").write_text("<net/>")
    (folder / "model.bin").write_bytes(b"12345")
    values: dict[str, Any] = {
        "path": folder,
        "format": "openvino",
        "precision": "fp16",
        "task": Task.DETECTION,
        "label_names": ("a b", "ü"),
        "image_spec": ImageSpec(20, 30, resize="letterbox", mean=(0.1, 0.2, 0.3)),
        "decoder": "boxes",
        "decoder_args": {"boxes": "b"},
        "model_file": "model.xml",
        "output_names": ("b",),
        "parity": {"passed": True},
    }
    return Artifact(**{**values, **changes}).write_manifest()


def test_round_trip_by_every_entrance(tmp_path: Path) -> None:
    artifact = _write(tmp_path / "a")
    for name in (".", "model.xml", "manifest.json"):
        assert Artifact.open(tmp_path / "a" / name) == artifact
    artifact.verify_files()
    assert set(artifact.files) == {"model.xml", "model.bin"}
    assert artifact.size_bytes == 11
    assert [path.name for path in (tmp_path / "a").iterdir() if path.name.startswith(".")] == []


def test_missing_and_changed_files_are_named(tmp_path: Path) -> None:
    artifact = _write(tmp_path / "a")
    (tmp_path / "a" / "model.bin").write_bytes(b"54321")
    Artifact.open(tmp_path / "a")
    with pytest.raises(ArtifactError, match=r"model\.bin.*changed"):
        artifact.verify_files()
    (tmp_path / "a" / "model.bin").write_bytes(b"123")
    with pytest.raises(ArtifactError, match="3 bytes"):
        Artifact.open(tmp_path / "a")
    (tmp_path / "a" / "model.bin").unlink()
    with pytest.raises(ArtifactError, match="lacks its file"):
        Artifact.open(tmp_path / "a")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 99}, "Upgrade"),
        ({"schema_version": "x"}, "schema"),
        ({"task": "detecton"}, "detection"),
        ({"format": "tflite"}, "tflite"),
        ({"image_spec": {"height": 0, "width": 3}}, "broken"),
        ({"label_names": None}, "broken"),
        ({"files": {"../../etc/passwd": {"size": 1, "sha256": ""}}}, "passwd"),
        ({"model_file": "../model.xml"}, "model_file"),
    ],
)
def test_broken_manifests_are_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    _write(tmp_path / "a")
    manifest = tmp_path / "a" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), **change}))
    with pytest.raises(ArtifactError, match=message):
        Artifact.open(tmp_path / "a")


def test_what_is_no_manifest_is_refused(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    for text in ("{", "[]", "{}", ""):
        (tmp_path / "a" / "manifest.json").write_text(text)
        with pytest.raises(ArtifactError, match="broken"):
            Artifact.open(tmp_path / "a")
    (tmp_path / "a" / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="no manifest"):
        Artifact.open(tmp_path / "a")
    with pytest.raises(ArtifactError, match="does not exist"):
        Artifact.open(tmp_path / "b")


def test_another_model_in_the_folder_is_not_the_artefact(tmp_path: Path) -> None:
    _write(tmp_path / "a")
    (tmp_path / "a" / "other.xml").write_text("<net/>")
    with pytest.raises(ArtifactError, match=r"other\.xml"):
        Artifact.open(tmp_path / "a" / "other.xml")


def _bare(tmp_path: Path, **info: str) -> Path:
    path = tmp_path / "bare.xml"
    path.write_text(XML.format(info="".join(f'<{key} value="{value}"/>' for key, value in info.items())))
    return path


def test_a_bare_model_is_opened_by_its_metadata(tmp_path: Path) -> None:
    path = _bare(
        tmp_path,
        model_type="Classification",
        labels="cat dog",
        mean_values="127.5 127.5 127.5",
        scale_values="51 51 51",
        multilabel="True",
        confidence_threshold="0.3",
    )
    artifact = Artifact.open(path)
    assert artifact.task is Task.MULTILABEL_CLASSIFICATION
    assert artifact.label_names == ("cat", "dog")
    assert artifact.image_spec.size == (20, 30)
    assert artifact.image_spec.mean == (0.5, 0.5, 0.5)
    assert artifact.image_spec.std == (0.2, 0.2, 0.2)
    assert artifact.decoder_args == {"confidence_threshold": 0.3}
    assert artifact.output_names == ("logits",)
    assert not artifact.embedded


@pytest.mark.parametrize(
    ("info", "message"),
    [
        ({}, "model_type, labels"),
        ({"model_type": "Classification"}, "lack labels"),
        ({"model_type": "SSD", "labels": "a"}, "SSD"),
        ({"model_type": "Classification", "labels": "a", "resize_type": "fit_to_window"}, "fit_to_window"),
        ({"model_type": "Classification", "labels": "a", "embedded_processing": "True"}, "height and width"),
    ],
)
def test_a_bare_model_that_does_not_say_enough_is_refused(tmp_path: Path, info: dict[str, str], message: str) -> None:
    with pytest.raises(ArtifactError, match=message):
        Artifact.open(_bare(tmp_path, **info))


def test_a_file_that_is_no_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text("no xml")
    (tmp_path / "a.onnx").write_text("no onnx")
    for name in ("a.xml", "a.onnx"):
        with pytest.raises(ArtifactError, match="is not an"):
            Artifact.open(tmp_path / name)
