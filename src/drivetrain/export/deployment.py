"""Folders ready for deployment: a container that predicts without PyTorch, or a repository of OpenVINO Model Server."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, Literal, get_args

from drivetrain._version import __version__
from drivetrain.errors import DataNotFoundError, OptionError
from drivetrain.export.deployed_texts import DOCKER_README, DOCKERFILE, PREDICT, SERVER_README
from drivetrain.export.whole_folder import building, take_name
from drivetrain.runs.place import require_new
from drivetrain.runtime.artifact import MANIFEST_NAME, Artifact
from drivetrain.types.options import check_choice

DeployForm = Literal["docker", "model_server"]


def deploy(
    artifact: Artifact | str | Path,
    folder: str | Path,
    *,
    form: DeployForm = "docker",
    name: str | None = None,
    wheel: str | Path | None = None,
    overwrite: bool = False,
) -> Path:
    """Write a folder that is ready for deployment.

    Args:
        artifact: an artefact or its folder; its files are checked first.
        folder: the folder to write, complete or not at all.
        form: "docker" for a Dockerfile with a predictor of ten lines, "model_server" for a repository of OpenVINO
            Model Server with its config.
        name: the name of the model there; by default taken from the model's name.
        wheel: the drivetrain wheel to install in the container; by default this version is required by name.
        overwrite: replace an existing folder.

    Returns:
        The folder.

    Raises:
        ArtifactError: the artefact cannot be opened, or a file was changed.
        ArtifactExistsError: the folder exists, and ``overwrite`` is not set.
        OptionError: an option has a value that is not allowed, or does not apply to the form.
        DataNotFoundError: the wheel does not exist.
        StorageError: the folder cannot be written; nothing incomplete is left.
    """
    check_choice("form", form, get_args(DeployForm))
    if wheel is not None and form != "docker":
        raise OptionError(f"wheel={str(wheel)!r} only applies to form='docker'. Leave it out.")
    if wheel is not None and not Path(wheel).is_file():
        raise DataNotFoundError(f"wheel={str(wheel)!r} does not exist.")
    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    if artifact.is_bare:
        raise OptionError(
            f"artifact={str(artifact.path)!r} has no {MANIFEST_NAME}: it was written by another tool. Optimize it "
            "first (precision='fp16' changes the least), which writes an artefact."
        )
    artifact.verify_files()
    final = Path(folder).expanduser().absolute()
    if not overwrite:
        require_new(final)
    used = name if name is not None else _usual_name(artifact)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", used):
        raise OptionError(f"name={used!r} must consist of letters, digits, '.', '_' and '-'.")
    with building(final) as place:
        shutil.copytree(artifact.path, place / "artifact")
        if form == "docker":
            _write_container(artifact, place, used, Path(wheel) if wheel is not None else None)
        else:
            _write_repository(artifact, place, used)
        take_name(place, final)
    return final


def _usual_name(artifact: Artifact) -> str:
    """The last part of the model's name, with everything but letters, digits, '.', '_' and '-' replaced."""
    last = re.split(r"[:/]", artifact.model_name)[-1]
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", last).strip("-.") or "model"


def _what(artifact: Artifact) -> str:
    return f"{artifact.model_name or 'A model'} ({artifact.task.value}, {artifact.format} {artifact.precision})"


def _write_container(artifact: Artifact, place: Path, name: str, wheel: Path | None) -> None:
    extra = "[onnx]" if artifact.format == "onnx" else ""
    wanted = f"drivetrain{extra}=={__version__}"
    copied = ""
    if wheel is not None:
        shutil.copyfile(wheel, place / wheel.name)
        wanted = f"./{wheel.name}{extra}"
        copied = f"COPY {wheel.name} .\n"
    tag = name.lower()
    _write(place / "requirements.txt", f"{wanted}\n")
    _write(place / "Dockerfile", DOCKERFILE.format(wheel=copied))
    _write(place / "predict.py", PREDICT)
    _write(place / "README.md", DOCKER_README.format(name=name, what=_what(artifact), tag=tag))


def _write_repository(artifact: Artifact, place: Path, name: str) -> None:
    version = place / "models" / name / "1"
    version.mkdir(parents=True)
    weights = artifact.model_path.with_suffix(".bin")
    files = [artifact.model_path, *([weights] if artifact.format == "openvino" and weights.is_file() else [])]
    for file in files:
        shutil.copyfile(file, version / f"model{file.suffix}")
    config: dict[str, Any] = {
        "model_config_list": [{"config": {"name": name, "base_path": f"/deploy/models/{name}"}}],
    }
    _write(place / "config.json", json.dumps(config, indent=2) + "\n")
    spec = artifact.image_spec
    if artifact.planes:
        form = "(1, 3, H, W) float32, RGB in 0..1, of any size"
    elif artifact.embedded:
        form = "(1, H, W, 3) uint8, RGB, of any size"
    else:
        form = f"(1, 3, {spec.height}, {spec.width}) float32, prepared as `image_spec` in the manifest says"
    text = SERVER_README.format(
        name=name,
        what=_what(artifact),
        input="image",
        input_form=form,
        outputs=", ".join(artifact.output_names),
        manifest=MANIFEST_NAME,
    )
    _write(place / "README.md", text)


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")
