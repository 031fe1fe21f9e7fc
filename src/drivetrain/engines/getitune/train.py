"""Training getitune's models: Lightning's trainer with the callbacks of the recipe."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.engines.getitune.build import instantiate
from drivetrain.engines.getitune.recipes import SUBSETS, GetituneRecipe
from drivetrain.engines.getitune.side_effects import contained, imported
from drivetrain.torch_training.trainer import effective_options as effective_trainer_options
from drivetrain.torch_training.trainer import make_trainer as make_lightning_trainer
from drivetrain.torch_training.trainer import trainer_arguments
from drivetrain.types import Task
from drivetrain.types.options import TrainOptions

PACKAGE = "lightning.pytorch"
#: getitune's name of a logged value -> ours; others of the validation are recorded as ``upstream/...``.
_NAMES = {
    Task.CLASSIFICATION: {"val/accuracy": "val/accuracy"},
    Task.MULTILABEL_CLASSIFICATION: {},
}
_LOSSES = ("train/", "val/loss")


def metric_names(task: Task) -> Callable[[Mapping[str, float]], dict[str, float]]:
    """A function that maps the values logged by getitune to our names."""
    table = _NAMES[task]

    def named(values: Mapping[str, float]) -> dict[str, float]:
        return {
            table.get(name, name if name.startswith(_LOSSES) else f"upstream/{name}"): value
            for name, value in values.items()
            if not name.startswith("lr")
        }

    return named


def default_metric(recipe: GetituneRecipe | None, task: Task) -> str:
    """The metric that selects the best state: that of the recipe, under our name."""
    monitor = recipe.monitor if recipe is not None else None
    if monitor is None:
        return f"val/{task.main_metric}"
    return next(iter(metric_names(task)({monitor: 0.0})))


def recipe_callbacks(recipe: GetituneRecipe | None, options: TrainOptions, data: Any) -> list[Any]:
    """The callbacks of the recipe, and getitune's augmentation of batches.

    Left out are those that save states, as the run does, and those that an option replaces.

    Args:
        recipe: the recipe; ``None`` for the user's own model.
        options: the options of ``train``.
        data: getitune's data module.
    """
    with contained():
        made = [
            instantiate(_with_monitor(node, recipe.monitor))
            for node in (recipe.callbacks if recipe is not None else ())
            if recipe is not None and _is_kept(node, options)
        ]
        augment = augmentation(data)
    _share_epoch(made, data)
    return [*([augment] if augment is not None else []), *made]


def _with_monitor(node: Mapping[str, Any], monitor: str | None) -> Mapping[str, Any]:
    """Early stopping by the recipe's metric, which getitune's command line fills in; more of a score is better."""
    arguments = dict(node.get("init_args") or {})
    if not str(node["class_path"]).rpartition(".")[2].startswith("EarlyStopping") or monitor is None:
        return node
    best = "min" if "loss" in monitor else "max"
    return {**node, "init_args": {"monitor": monitor, "mode": best, **arguments}}


def _is_kept(node: Mapping[str, Any], options: TrainOptions) -> bool:
    name = str(node["class_path"]).rpartition(".")[2]
    if "Checkpoint" in name:
        return False
    if name.startswith("EarlyStopping"):
        return options.patience is None
    if name == "AdaptiveTrainScheduling":
        return options.check_val_every_n_epoch is None and options.val_check_interval is None
    return True


def augmentation(data: Any) -> Any:
    """The callback that augments and normalises batches, as getitune's own engine adds it; ``None`` without any."""
    configs = {name: getattr(data, f"{name}_subset", None) for name in SUBSETS}
    given = {name: cfg if cfg is not None and cfg.augmentations_gpu else None for name, cfg in configs.items()}
    if not any(given.values()):
        return None
    cls = imported("getitune.backend.lightning.callbacks.gpu_augmentation").GPUAugmentationCallback
    return cls(**{f"{name}_config": cfg for name, cfg in given.items()})


def _share_epoch(callbacks: Sequence[Any], data: Any) -> None:
    """Tell the training images which epoch it is, for recipes whose augmentation depends on it."""
    switch = next((found for item in callbacks if (found := getattr(item, "data_aug_switch", None)) is not None), None)
    if switch is None:
        return
    switch.set_shared_epoch(multiprocessing.get_context("spawn").Value("i", 0))
    images = data.subsets[data.train_subset.subset_name]
    if hasattr(images, "set_data_aug_switch"):
        images.set_data_aug_switch(switch)


def make_trainer(
    recipe: GetituneRecipe | None, options: TrainOptions, *, device: str, folder: Path, callbacks: Sequence[Any]
) -> Any:
    """Lightning's trainer with the settings of the recipe, which options and ``engine_args`` override.

    Raises:
        OptionError: the trainer refuses an option.
    """
    allowed = trainer_arguments(PACKAGE)
    own = recipe.trainer_args if recipe is not None else {}
    defaults = {name: value for name, value in own.items() if name in allowed}
    defaults |= {"num_sanity_val_steps": 0, "log_every_n_steps": 10}
    with contained():
        return make_lightning_trainer(
            PACKAGE, options, device=device, work_dir=folder, callbacks=callbacks, defaults=defaults
        )


def usual_epochs(recipe: GetituneRecipe | None) -> int:
    """The number of epochs without an option: the recipe's, else getitune's."""
    found = recipe.trainer_args.get("max_epochs") if recipe is not None else None
    return int(found) if found else 200


def effective_options(trainer: Any, module: Any, options: TrainOptions) -> dict[str, Any]:
    """The options that the trainer actually uses, under our names."""
    height, width = module.data_input_params.input_size
    return {**effective_trainer_options(trainer, module, options), "image_size": [int(height), int(width)]}
