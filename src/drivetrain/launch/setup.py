"""The arguments of an engine: enough to create the same one again, in this process or another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from drivetrain.machine.packages import import_object


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The arguments of an engine, after recipe, plan and an earlier run have been taken into account.

    Attributes:
        engine: the class of the engine, ``"package.module:Class"``; importing it registers the engine.
        model: the model as passed to the engine.
        model_name: the model as written in the run record: a path, a name, or the class of an object.
        model_args: arguments of the model's constructor.
        takes_model_args: whether the engine creates the model, so that it can have arguments at all.
        data: the data as passed to the engine.
        data_args: the arguments the data were read with, if a recipe named a path or class and arguments.
        task: the task to train for; ``None`` if not given.
        device: the device to compute on; ``"auto"`` if not given.
    """

    engine: str
    model: Any
    model_name: str
    model_args: Mapping[str, Any] = field(default_factory=dict)
    takes_model_args: bool = False
    data: Any = None
    data_args: Mapping[str, Any] = field(default_factory=dict)
    task: str | None = None
    device: str = "auto"

    def make(self, work_dir: Path) -> Any:
        """Create the engine again, with another work dir."""
        return import_object(self.engine)(
            self.model,
            self.data,
            task=self.task,
            work_dir=work_dir,
            device=self.device,
            model_args=dict(self.model_args) or None,
        )

    def with_model_args(self, changes: Mapping[str, Any]) -> Setup:
        """The same setup with changed model arguments."""
        return replace(self, model_args={**self.model_args, **changes})

    def as_config(self) -> dict[str, Any] | None:
        """A config that recreates this engine; ``None`` for models and data that only exist in this process."""
        if not self.takes_model_args:
            return None
        source = self.data
        if "class_path" in self.data_args:
            source = None
        elif not isinstance(source, str | Path):
            if not self.data_args:
                return None
            source = self.data.source
        config = {
            "model": self.model_name,
            "data": None if source is None else str(Path(source).expanduser().absolute()),
            "data_args": dict(self.data_args),
            "model_args": dict(self.model_args),
            "task": self.task,
        }
        return {name: value for name, value in config.items() if value}
