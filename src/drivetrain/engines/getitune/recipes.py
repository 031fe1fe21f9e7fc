"""The recipes of the installed getitune, read as files: nothing of getitune is imported."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivetrain.errors import ModelError, near
from drivetrain.types.task import Task

#: getitune's name of a task -> ours; those of other tasks are refused by name.
TASKS = {
    "MULTI_CLASS_CLS": Task.CLASSIFICATION,
    "MULTI_LABEL_CLS": Task.MULTILABEL_CLASSIFICATION,
}
SUBSETS = ("train", "val", "test")
_REPLACED = ("augmentations_cpu", "augmentations_gpu")


@dataclass(frozen=True, slots=True)
class GetituneRecipe:
    """One recipe: a model for a task, with its data, optimiser, schedule and callbacks.

    Attributes:
        name: the name of its file, such as ``atss_mobilenetv2``.
        task: the task.
        content: the recipe with the data settings it refers to, overrides applied.
    """

    name: str
    task: Task
    content: Mapping[str, Any]

    @property
    def class_path(self) -> str:
        """The class of the model, ``package.module.Class``."""
        return str(self.content["model"]["class_path"])

    @property
    def model_args(self) -> dict[str, Any]:
        """The arguments that the recipe gives to the class."""
        return copy.deepcopy(dict(self.content["model"].get("init_args") or {}))

    @property
    def input_size(self) -> tuple[int, int]:
        """``(height, width)`` of the model input."""
        height, width = self.content["data"]["input_size"]
        return int(height), int(width)

    @property
    def monitor(self) -> str | None:
        """The logged value that selects the best state."""
        found = self.content.get("callback_monitor")
        return str(found) if found else None

    @property
    def callbacks(self) -> list[dict[str, Any]]:
        """The callbacks, as ``class_path`` and ``init_args``."""
        return copy.deepcopy(list(self.content.get("callbacks") or []))

    @property
    def trainer_args(self) -> dict[str, Any]:
        """What it overrides of the trainer, such as ``max_epochs`` and ``gradient_clip_val``."""
        return {name: value for name, value in self.content["overrides"].items() if not isinstance(value, dict | list)}

    def subset(self, name: str) -> dict[str, Any]:
        """The settings of a subset: augmentation, sampler, batch size."""
        return copy.deepcopy(dict(self.content["data"][f"{name}_subset"]))


def recipe_folder() -> Path | None:
    """The folder of the installed getitune's recipes; ``None`` if it is not installed."""
    spec = importlib.util.find_spec("getitune")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return Path(folders[0]) / "recipe" if folders else None


def recipe_files(folder: Path) -> list[tuple[Task, str, Path, Mapping[str, Any]]]:
    """The recipes that the engine runs: task, name, file, content as written.

    Those of getitune's own wrappers around Ultralytics and transformers are left out, as engines of ours serve these;
    so are variants that differ only in tiling.
    """
    found = []
    for path in sorted(folder.rglob("*.yaml")):
        if "_base_" in path.parts or path.stem.endswith("_tile"):
            continue
        content = _read(path)
        task = TASKS.get(str(content.get("task")))
        if task is not None and runs_on_lightning(content):
            found.append((task, path.stem, path, content))
    return found


def runs_on_lightning(content: Mapping[str, Any]) -> bool:
    """Whether a recipe is for getitune's own Lightning models."""
    model = content.get("model")
    class_path = str(model.get("class_path", "")) if isinstance(model, Mapping) else ""
    return str(content.get("backend", "lightning")).lower() == "lightning" and ".backend.lightning." in class_path


def find_recipe(name: str, task: Task | None) -> GetituneRecipe:
    """The recipe of a name.

    Args:
        name: the name of its file.
        task: the task, for names that several tasks have; ``None`` for the first of them.

    Raises:
        ModelError: there is no such recipe for the task.
    """
    folder = recipe_folder()
    known = recipe_files(folder) if folder is not None else []
    named = [row for row in known if row[1] == name]
    for found, _, path, content in named:
        if task is None or found is task:
            return GetituneRecipe(name, found, _complete(content, path))
    if named:
        tasks = ", ".join(repr(row[0].value) for row in named)
        wanted = task.value if task is not None else ""
        raise ModelError(
            f"getitune's recipe {name!r} is for {tasks}, not for the task {wanted!r}. List models for it with: "
            f"drivetrain find --task {wanted}"
        )
    hint = served_elsewhere(name) or f"getitune has no recipe {name!r}.{near(name, [row[1] for row in known])}"
    raise ModelError(hint)


def default_recipe(task: Task) -> GetituneRecipe:
    """The recipe whose data settings serve a user's own model of a task: the first one of the task.

    Raises:
        ModelError: there is none.
    """
    folder = recipe_folder()
    for found, name, path, content in recipe_files(folder) if folder is not None else []:
        if found is task:
            return GetituneRecipe(name, found, _complete(content, path))
    raise ModelError(f"getitune has no recipe for the task {task.value!r}.")


def served_elsewhere(name: str) -> str:
    """What to use instead of a recipe of getitune that the engine leaves out; ``""`` for names that it does not have.

    Args:
        name: the name of its file.
    """
    folder = recipe_folder()
    for path in sorted(folder.rglob("*.yaml")) if folder is not None else []:
        if path.stem != name or "_base_" in path.parts:
            continue
        content = _read(path)
        backend = str(content.get("backend", "")).lower()
        if backend == "ultralytics":
            return (
                f"getitune's recipe {name!r} is a wrapper around Ultralytics. Use its own engine: "
                f"model='ultralytics:{ultralytics_name(name)}'."
            )
        if backend == "huggingface":
            return (
                f"getitune's recipe {name!r} is a wrapper around transformers, whose models drivetrain trains "
                "directly. List them with: drivetrain find transformers"
            )
        if name.endswith("_tile"):
            return (
                f"getitune's recipe {name!r} only adds tiles. Give model='getitune:{name.removesuffix('_tile')}', "
                "and tile=... to predict or test."
            )
        return (
            f"getitune's recipe {name!r} is for {content.get('task', 'no task')}, which drivetrain does not serve yet."
        )
    return ""


def ultralytics_name(name: str) -> str:
    """Ultralytics' own spelling of a recipe such as ``yolo11_n`` or ``yolo26_n_seg``."""
    parts = name.split("_")
    task = f"-{parts[2]}" if len(parts) > 2 else ""
    return f"{''.join(parts[:2])}{task}"


def _read(path: Path) -> Mapping[str, Any]:
    import yaml

    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content if isinstance(content, Mapping) else {}


def _complete(content: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The recipe with its data settings, which it gives as a file beside it, overrides applied."""
    whole = copy.deepcopy(dict(content))
    data = whole.get("data")
    if isinstance(data, str):
        whole["data"] = dict(_read((path.parent / data).resolve()))
    overrides = dict(whole.get("overrides") or {})
    reset = overrides.pop("reset", [])
    for key in [reset] if isinstance(reset, str) else reset:
        if key in overrides:
            whole[key] = overrides.pop(key)
    whole["data"] = _merged(whole["data"], overrides.pop("data", {}))
    whole["callbacks"] = merged_list(whole.get("callbacks") or [], overrides.pop("callbacks", []))
    overrides.pop("logger", None)
    whole["model"] = _merged(whole["model"], overrides.pop("model", {}))
    whole["overrides"] = overrides
    return whole


def _merged(base: Mapping[str, Any], change: Mapping[str, Any]) -> dict[str, Any]:
    """Nested settings with changes; augmentations are replaced as a whole, as getitune does."""
    result = dict(base)
    for key, value in change.items():
        before = result.get(key)
        if isinstance(value, Mapping) and isinstance(before, Mapping):
            other = "class_path" in value and value["class_path"] != before.get("class_path")
            result[key] = dict(value) if other else _merged(before, value)
        elif isinstance(value, list) and isinstance(before, list) and key not in _REPLACED and _are_nodes(value):
            result[key] = merged_list(before, value)
        else:
            result[key] = value
    return result


def _are_nodes(values: Sequence[Any]) -> bool:
    return bool(values) and all(isinstance(value, Mapping) and "class_path" in value for value in values)


def merged_list(base: Sequence[Mapping[str, Any]], change: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A list of classes with their arguments: those of the same class are changed, others are appended."""
    result = [dict(item) for item in base]
    for item in change:
        at = next((n for n, known in enumerate(result) if known["class_path"] == item["class_path"]), None)
        if at is None:
            result.append(dict(item))
        else:
            result[at] = _merged(result[at], item)
    return result
