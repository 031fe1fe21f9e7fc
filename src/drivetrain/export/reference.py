"""Reference pictures and the model's own answers, stored in the artefact so that it can be verified anywhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drivetrain.errors import ArtifactError
from drivetrain.images.object_boxes import OBJECT_FIELDS
from drivetrain.images.read import read_image
from drivetrain.types import ImageSpec, Prediction, Predictions, Task

FOLDER = "reference"
MOST = 3
"""The number of pictures that are stored."""

_ANSWERS = "answers.npz"
_LEAST_SCORE = 0.02  # below the score of a clear object in the comparison
_LEAST_OBJECTS = 10
_LEAST_SIDE = 512
_ARRAYS = tuple(
    item.name
    for item in fields(Prediction)
    if item.name not in ("path", "size", "label_names", "image", "explanation", "truth")
)


@dataclass(frozen=True, slots=True)
class Reference:
    """The content of an artefact's ``reference`` folder.

    Attributes:
        names: the names of the pictures, relative to the artefact.
        images: the pictures, ``(H, W, 3) uint8`` RGB.
        answers: the answers of the exported model, in the same order.
    """

    names: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]
    answers: Predictions


def pictures_to_keep(images: Sequence[NDArray[np.uint8]], spec: ImageSpec) -> list[NDArray[np.uint8]]:
    """The first few pictures, scaled down if they are much larger than the model's input.

    Args:
        images: ``(H, W, 3) uint8`` RGB.
        spec: the image spec of the model.
    """
    from PIL import Image

    longest = max(2 * max(spec.size), _LEAST_SIDE)
    kept = []
    for image in images[:MOST]:
        picture = Image.fromarray(image)
        picture.thumbnail((longest, longest), Image.Resampling.BOX)
        kept.append(np.array(picture))
    return kept


def write_reference(folder: Path, images: Sequence[NDArray[np.uint8]], answers: Predictions) -> None:
    """Write pictures (PNG, so that every pixel is preserved) and answers into the folder ``reference`` of an artefact.

    Args:
        folder: the folder of the artefact.
        images: ``(H, W, 3) uint8`` RGB.
        answers: the answers of the exported model. Objects with a score below 0.02 are dropped, except the first ten.
    """
    from PIL import Image

    place = folder / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, Any] = {}
    for number, (image, answer) in enumerate(zip(images, answers, strict=True)):
        Image.fromarray(image).save(place / f"{number}.png", optimize=True)
        arrays |= {f"{number}/{name}": value for name, value in _plain(answer).items()}
    np.savez_compressed(place / _ANSWERS, **arrays)


def _plain(answer: Prediction) -> dict[str, NDArray[Any]]:
    found = {name: getattr(answer, name) for name in _ARRAYS}
    if answer.scores is not None and answer.probabilities is None:
        clear = max(int((answer.scores >= _LEAST_SCORE).sum()), min(_LEAST_OBJECTS, len(answer.scores)))
        kept = np.argsort(-answer.scores, kind="stable")[:clear]
        found |= {name: found[name][kept] for name in OBJECT_FIELDS if found[name] is not None}
    return {name: np.asarray(value) for name, value in found.items() if value is not None}


def has_reference(folder: Path) -> bool:
    """Whether an artefact contains pictures and answers."""
    return (folder / FOLDER / _ANSWERS).is_file()


def read_reference(folder: Path, task: Task, label_names: tuple[str, ...]) -> Reference:
    """Read what :func:`write_reference` wrote.

    Raises:
        ArtifactError: it is missing or damaged.
    """
    file = folder / FOLDER / _ANSWERS
    if not file.is_file():
        raise ArtifactError(
            f"{str(folder)!r} holds no pictures with the model's own answers, so it cannot be verified without the "
            "model: it was exported by an older drivetrain, or by another tool. Export the model again."
        )
    try:
        with np.load(file, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        count = 1 + max(int(name.partition("/")[0]) for name in arrays)
        names = tuple(f"{FOLDER}/{number}.png" for number in range(count))
        images = tuple(read_image(folder / name) for name in names)
        answers = [_answer(arrays, number, names[number], image) for number, image in enumerate(images)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{str(file)!r} is broken: {error}. Export the model again.") from error
    return Reference(names, images, Predictions(answers, task=task, label_names=label_names))


def _answer(arrays: Mapping[str, NDArray[Any]], number: int, name: str, image: NDArray[np.uint8]) -> Prediction:
    values: dict[str, Any] = {
        key.partition("/")[2]: value for key, value in arrays.items() if key.startswith(f"{number}/")
    }
    if "anomaly_score" in values:
        values["anomaly_score"] = float(values["anomaly_score"])
    return Prediction(path=name, size=(image.shape[0], image.shape[1]), **values)
