"""RF-DETR's own data modules, which are passed through unchanged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drivetrain.engines.rfdetr.variants import task_of
from drivetrain.errors import DataError, UnsupportedOptionError
from drivetrain.torch_training.trainer_limits import refuse_fixed
from drivetrain.types.options import TrainOptions

if TYPE_CHECKING:
    from drivetrain.data import Dataset

_FIXED = ("batch_size", "num_workers", "image_size")
#: Fields of its TrainConfig that options of ``train`` otherwise set, but that are used if the data module sets them.
_TAKEN = ("dataset_dir", "dataset_file", "batch_size", "num_workers", "epochs", "lr", "square_resize_div_64", "seed")
_SIZES = ("resolution", "patch_size", "num_windows")


def label_names(module: Any) -> tuple[str, ...]:
    """The class names, by RF-DETR's numbers.

    Raises:
        DataError: the data do not provide them.
    """
    module.setup("fit")
    names = module.class_names
    if not names:
        raise DataError(
            f"The data of the {type(module).__name__} do not provide class names. Give it a data set "
            "with COCO categories, or names in its data.yaml."
        )
    return tuple(map(str, names))


def keypoints(module: Any) -> int:
    """The number of keypoints per object according to the model's configuration; 0 if there are none."""
    config = module.model_config
    return max(config.num_keypoints_per_class, default=0) if config.use_grouppose_keypoints else 0


def check_options(options: TrainOptions, module: Any, set_elsewhere: Mapping[str, str]) -> None:
    """Refuse options that the data module already fixes, and fields in it that an option of ``train`` sets.

    Args:
        options: the options of ``train``.
        module: the data module.
        set_elsewhere: fields of RF-DETR's TrainConfig -> what sets them.

    Raises:
        UnsupportedOptionError: the message names the first of them.
    """
    own = module.train_config
    refuse_fixed(options.given(), _FIXED, module)
    for name in options.engine_args or {}:
        if name in type(own).model_fields:
            raise UnsupportedOptionError(
                f"engine_args: {name} is a field of the TrainConfig of your own {type(module).__name__}. Set it there."
            )
    for name in sorted(own.model_fields_set):
        value = getattr(own, name)
        if name in set_elsewhere and name not in _TAKEN and value != type(own).model_fields[name].get_default():
            raise UnsupportedOptionError(
                f"data: the TrainConfig of the {type(module).__name__} has {name}={value!r}, which is set by "
                f"{set_elsewhere[name]}. Leave it out of the TrainConfig."
            )


def given_fields(module: Any, set_elsewhere: Mapping[str, str]) -> dict[str, Any]:
    """The fields of the data module's TrainConfig that a training uses."""
    own = module.train_config
    names = [name for name in own.model_fields_set if name not in set_elsewhere or name in _TAKEN]
    return {name: getattr(own, name) for name in names if name != "seed"}


def check_model(module: Any, config: Any) -> None:
    """Refuse data that were created for another kind of model.

    Args:
        module: the data module.
        config: RF-DETR's configuration of the model.

    Raises:
        DataError: they do not match.
    """
    theirs = module.model_config
    if task_of(theirs) is not task_of(config):
        raise DataError(
            f"The {type(module).__name__} was created for the task {task_of(theirs).value!r}, the model is for "
            f"{task_of(config).value!r}. Create it with the model_config of the model."
        )
    for name in _SIZES:
        if getattr(theirs, name) != getattr(config, name):
            raise DataError(
                f"The {type(module).__name__} was created for a model with {name}={getattr(theirs, name)}, and this "
                f"one has {getattr(config, name)}. Create it with the model_config of the model."
            )


def dataset_of(module: Any, subset: str) -> Dataset | None:
    """A subset of the folder that the data module reads; ``None`` if only RF-DETR can read it."""
    from drivetrain.data import load_dataset

    try:
        found = load_dataset(module.train_config.dataset_dir, task=task_of(module.model_config))
    except DataError:
        return None
    return found.subset(subset) if subset in found.subsets else None


def upstream_metrics(module: Any, network: Any, trainer: Any, subset: str) -> dict[str, float]:
    """The metrics of RF-DETR's own evaluation.

    Args:
        module: the data module.
        network: RF-DETR's Lightning module.
        trainer: RF-DETR's own trainer.
        subset: "val" or "test".

    Raises:
        DataError: RF-DETR has no evaluation for this subset.
    """
    if subset not in ("val", "test"):
        raise DataError(f"subset={subset!r}: a {type(module).__name__} is tested on 'val' or 'test'.")
    rows = getattr(trainer, "validate" if subset == "val" else "test")(network, datamodule=module, verbose=False)
    return {f"upstream/{name}": float(value) for row in rows for name, value in row.items()}
