"""Telling the tracker names in ``logger=`` from objects of the framework."""

from __future__ import annotations

from typing import Any

from drivetrain.errors import MissingDependencyError, OptionError, near
from drivetrain.machine.packages import import_object, is_installed
from drivetrain.runs.tracking.trackers import Trackers

#: name -> (class, package it needs, drivetrain extra that installs it); metrics.csv needs no tracker.
TRACKERS = {
    "tensorboard": ("drivetrain.runs.tracking.tensorboard:TensorBoard", "tensorboardX", "tensorboard"),
    "mlflow": ("drivetrain.runs.tracking.mlflow:MLflow", "mlflow", "mlflow"),
    "wandb": ("drivetrain.runs.tracking.wandb:WandB", "wandb", "wandb"),
}
_CSV = "csv"


def open_trackers(logger: Any) -> Trackers:
    """The trackers named in ``logger``.

    Args:
        logger: ``"csv"`` (which is always written), a name of :data:`TRACKERS`, a logger object of the framework, a
            list of these, or ``None``.

    Raises:
        OptionError: a name is unknown.
        MissingDependencyError: the package of a tracker is not installed.
    """
    return Trackers([import_object(TRACKERS[name][0])() for name in require_trackers(logger) if name != _CSV])


def require_trackers(logger: Any) -> list[str]:
    """The names in ``logger``, each once; no tracker is imported.

    Raises:
        OptionError: a name is unknown.
        MissingDependencyError: the package of a tracker is not installed.
    """
    names = list(dict.fromkeys(item for item in _listed(logger) if isinstance(item, str)))
    for name in names:
        _require(name)
    return names


def framework_loggers(logger: Any) -> Any:
    """The framework's logger objects in ``logger``; ``None`` if there are none."""
    objects = [item for item in _listed(logger) if not isinstance(item, str)]
    if not objects:
        return None
    return objects if isinstance(logger, list | tuple) else logger


def _listed(logger: Any) -> list[Any]:
    if logger is None or logger is False:
        return []
    return list(logger) if isinstance(logger, list | tuple) else [logger]


def _require(name: str) -> None:
    if name == _CSV:
        return
    if name not in TRACKERS:
        known = [_CSV, *TRACKERS]
        raise OptionError(
            f"logger={name!r} is not allowed.{near(name, known)} Allowed: {', '.join(known)}, a list of these, or "
            "a logger object of the framework."
        )
    _, package, extra = TRACKERS[name]
    if not is_installed(package):
        raise MissingDependencyError(
            f"logger={name!r} needs the package {package!r}, which is not installed. "
            f'Install it with: pip install "drivetrain[{extra}]"'
        )
