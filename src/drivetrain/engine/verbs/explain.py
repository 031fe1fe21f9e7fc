"""Explain: show which parts of an image support the model's answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from drivetrain.engine.early import Start, check_images
from drivetrain.engine.state import EngineState
from drivetrain.errors import OptionError, UnsupportedError, UnsupportedOptionError, near
from drivetrain.machine.files import WORK_DIR, explained
from drivetrain.types.options import ExplainMethod, check_choice
from drivetrain.types.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.engine.perturbation import Explained
    from drivetrain.images.stream import ImageStream
    from drivetrain.types import Prediction
    from drivetrain.types.explanation import CellScores, Explanation, Explanations

    #: An explanation, or why there is none for an image.
    Outcome = Explanation | tuple[str, str]

NEEDS = ("infer",)

_OBJECTS_FROM = 0.05
"""The minimum score of an object under a mask: a half-hidden object still counts."""
#: The methods for each task, the best first.
_METHODS: Mapping[Task, tuple[ExplainMethod, ...]] = {
    Task.CLASSIFICATION: ("cam", "rise"),
    Task.MULTILABEL_CLASSIFICATION: ("cam", "rise"),
    Task.ANOMALY: ("map",),
    Task.DEPTH: (),
}


def check(start: Start, given: Mapping[str, Any]) -> None:
    """Refuse what can be refused before the framework is loaded; see :func:`drivetrain.engine.verbs.check_early`."""
    check_choice("method", given["method"], get_args(ExplainMethod))
    if start.task is not None:
        _check_method(given["method"], given["target"], start.task)
    check_images(start, given)


def explain(
    self: EngineState,
    source: Any = None,
    *,
    method: ExplainMethod = "auto",
    target: str | int | None = None,
    checkpoint: str | Path | None = None,
    save_images: bool = False,
) -> Explanations:
    """Show which parts of each image support the model's answer.

    Args:
        source: an array (H, W, 3) uint8 RGB, a file, folder, glob or video, a list of them, or a data set; the test
            images of the engine's data if not given.
        method: "cam" asks a classifier what each cell of its last feature map says alone, in one pass; "rise" asks any
            model about 600 copies of the image with random parts hidden (D-RISE for objects); "map" is an anomaly
            model's own map; "auto" takes the first of these that the task and the model have.
        target: what to explain: the name or number of a label; of a model that finds objects the number of an object
            in its answer, or the name of a label for the surest object of it; what the model answers (of several
            objects the surest) if not given.
        checkpoint: "best", "last" or a path; the best if there is one, else the last.
        save_images: draw the maps on the images, in the folder "explanations" of the work dir.

    Returns:
        A map (H, W) float32 in 0..1 over each image, with the label and score that it explains; images without an
        answer to explain are named in ``skipped``.

    Raises:
        OptionError: there is no such method or label.
        UnsupportedOptionError: the task or the model has no such method, or no target.
        UnsupportedError: the task has nothing to explain, or the anomaly model gives no map.
        DataError: there are no images, or none that can be read.
    """
    self.require("explain", NEEDS)
    check_choice("method", method, get_args(ExplainMethod))
    self.select(checkpoint)
    _check_method(method, target, self.task)
    self.warn_if_unfinished()
    from drivetrain.images.sources import is_held, require_readable
    from drivetrain.images.stream import ImageStream
    from drivetrain.types.explanation import Explanation, Explanations
    from drivetrain.types.truth import Truth

    asked = self.dataset.subset("test") if source is None else source
    images = ImageStream(asked if Truth.of(asked) is None else asked.paths, keep=save_images or is_held(asked))
    found = list(_explainer(self, method, target)(images))
    require_readable(found, images.skipped)
    without = [item for item in found if isinstance(item, tuple)]
    items = [item for item in images.with_images(found) if isinstance(item, Explanation)]
    result = Explanations(items, task=self.task, label_names=self.label_names, skipped=[*images.skipped, *without])
    if save_images:
        folder = self.work_dir / "explanations"
        with explained(folder, WORK_DIR):
            result.save(folder)
        self.progress.note(f"Drawn explanations: {folder}")
    return result


def _check_method(method: str, target: str | int | None, task: Task) -> None:
    allowed = _METHODS.get(task, ("rise",))
    if not allowed:
        raise UnsupportedError(f"There is nothing to explain in an answer of the task {task.value!r}: it has no label.")
    if method != "auto" and method not in allowed:
        raise UnsupportedOptionError(
            f"method={method!r} cannot be honoured for the task {task.value!r}. Allowed: "
            f"{', '.join(('auto', *allowed))}."
        )
    if task is Task.ANOMALY and target is not None:
        raise UnsupportedOptionError(
            f"target={target!r} cannot be honoured: an anomaly model says what is anomalous, and nothing else. "
            "Leave it out."
        )


def _explainer(
    engine: EngineState, method: ExplainMethod, target: str | int | None
) -> Callable[[ImageStream], Iterator[Outcome]]:
    """The function that explains a series of images by the method.

    Raises:
        OptionError: there is no such label.
        UnsupportedOptionError: the model has no such method.
    """
    if engine.task is Task.ANOMALY:
        return partial(_by_own_map, engine)
    label = None if engine.task.has_objects or target is None else _label_of(target, engine.label_names)
    if "cam" in _METHODS.get(engine.task, ()) and method != "rise":
        try:
            return partial(_by_cells, _cells_of(engine), label)
        except UnsupportedOptionError as error:
            if method == "cam":
                raise
            reason = str(error).partition(": ")[2].partition(". Allowed")[0]
            engine.progress.note(f"Explained by rise, not by cam: {reason}.")
    return partial(_by_masks, engine, partial(_chosen, engine, target, label))


def _cells_of(engine: EngineState) -> Callable[[ImageStream], Iterator[CellScores]]:
    if "cells" not in engine.spec.hooks:
        raise UnsupportedOptionError(
            f"method='cam' cannot be honoured: the engine {engine.spec.name!r} does not say what is in its models. "
            "Allowed: auto, rise."
        )
    return engine.framework.cells()


def _label_of(target: str | int, names: Sequence[str]) -> int:
    """The number of a label.

    Raises:
        OptionError: there is none of this name or number.
    """
    if isinstance(target, str) and target in names:
        return list(names).index(target)
    number = int(target) if str(target).isdecimal() else -1
    if not 0 <= number < len(names):
        few = ", ".join(map(repr, names[:10])) + (", ..." if len(names) > 10 else "")
        raise OptionError(
            f"target={target!r} is not a label of the model.{near(str(target), names)} Allowed: {few}, or a number "
            f"from 0 to {len(names) - 1}."
        )
    return number


# --- by each method --------------------------------------------------------------------------------------------------


def _by_own_map(engine: EngineState, images: ImageStream) -> Iterator[Outcome]:
    import numpy as np

    from drivetrain.types.explanation import Explanation

    for answer in engine.framework.infer(iter(images), batch_size=None, confidence=0.0):
        if answer.anomaly_map is None:
            raise UnsupportedError(
                f"{engine.setup.model_name} gives an image a score and no map, so it does not say what is anomalous in "
                "it. Models that do are Padim, Patchcore, EfficientAd, ..."
            )
        saliency = np.clip(np.nan_to_num(answer.anomaly_map), 0, 1).astype(np.float32)
        yield Explanation(answer.path, answer.size, saliency, "map", score=answer.anomaly_score)


def _by_cells(
    ask: Callable[[ImageStream], Iterator[CellScores]], label: int | None, images: ImageStream
) -> Iterator[Outcome]:
    from drivetrain.runtime.postprocess.maps import over_image
    from drivetrain.types.explanation import Explanation

    for found in ask(images):
        answer = found.prediction
        assert answer.probabilities is not None
        chosen = int(answer.probabilities.argmax()) if label is None else label
        saliency = over_image(found.scores[chosen], found.image_spec, answer.size)
        score = float(answer.probabilities[chosen])
        yield Explanation(answer.path, answer.size, saliency, "cam", label=chosen, score=score)


def _by_masks(
    engine: EngineState, choose: Callable[[Prediction], Explained | str], images: ImageStream
) -> Iterator[Outcome]:
    from drivetrain.engine.perturbation import MASKS, explain_by_masks
    from drivetrain.types.explanation import Explanation

    infer = partial(engine.framework.infer, batch_size=None, confidence=_OBJECTS_FROM)
    engine.progress.note(f"Explaining by {MASKS} masks: the model answers {MASKS + 1} times about each image.")
    for path, image in images:
        found = explain_by_masks(image, infer, choose, objects=engine.task.has_objects)
        if isinstance(found, str):
            yield path, found
            continue
        saliency, subject = found
        yield Explanation(
            path,
            (image.shape[0], image.shape[1]),
            saliency,
            "rise",
            label=subject.label,
            score=subject.score,
            box=_box_on(image, subject),
            index=subject.index,
        )


def _box_on(image: NDArray[np.uint8], subject: Explained) -> NDArray[np.float32] | None:
    """The box of an object in pixels of the original image; the model saw a reduced one."""
    if subject.index is None:
        return None
    import numpy as np

    from drivetrain.images.object_boxes import boxes_of

    height, width = subject.answer.size
    scale = np.array([image.shape[1] / width, image.shape[0] / height] * 2, np.float32)
    return np.asarray(boxes_of(subject.answer)[subject.index] * scale, np.float32)


def _chosen(engine: EngineState, target: str | int | None, label: int | None, answer: Prediction) -> Explained | str:
    """The subject to explain in an answer, or the reason why there is none."""
    import numpy as np

    from drivetrain.engine.perturbation import Explained

    if engine.task.has_objects:
        return _object(engine, target, answer)
    if answer.class_map is not None:
        classes, counts = np.unique(answer.class_map, return_counts=True)
        if label is None:
            label = _largest_class(classes, counts, engine.label_names)
        share = float(counts[classes == label].sum()) / answer.class_map.size
        return Explained(answer, label, share) if share else f"no pixel was called {engine.label_names[label]!r}"
    assert answer.probabilities is not None
    chosen = int(answer.probabilities.argmax()) if label is None else label
    return Explained(answer, chosen, float(answer.probabilities[chosen]))


def _largest_class(classes: NDArray[np.int64], counts: NDArray[np.int64], names: Sequence[str]) -> int:
    """The class with the most pixels, other than the background if there is another."""
    order = classes[(-counts).argsort(kind="stable")].tolist()
    shown = [label for label in order if 0 <= label < len(names) and names[label].lower() != "background"]
    return int((shown or order)[0])


def _object(engine: EngineState, target: str | int | None, answer: Prediction) -> Explained | str:
    from drivetrain.engine.perturbation import Explained

    assert answer.labels is not None
    assert answer.scores is not None
    scores: list[float] = answer.scores.tolist()
    sure = [n for n, score in enumerate(scores) if score >= engine.framework.default_confidence()]
    names = engine.label_names
    if target is None or target in names:
        wanted = [n for n in sure if target is None or names[int(answer.labels[n])] == target]
        if not wanted:
            return "no object was found" if target is None else f"no object {target!r} was found"
        index = max(wanted, key=scores.__getitem__)
    else:
        if not str(target).isdecimal():
            raise OptionError(
                f"target={target!r} is neither a label of the model nor the number of an object."
                f"{near(str(target), names)} Labels: {', '.join(map(repr, names[:10]))}."
            )
        index = int(target)
        if index >= len(sure):
            return f"there is no object {index}: the answer has {len(sure)}"
        index = sure[index]
    return Explained(answer, int(answer.labels[index]), scores[index], index)
