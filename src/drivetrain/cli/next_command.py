"""The command to type after a verb, with the actual paths."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from drivetrain.cli.wording import command

if TYPE_CHECKING:
    from drivetrain.engine import Engine


def next_command(verb: str, engine: Engine, values: Mapping[str, Any], result: Any) -> str | None:
    """The command that usually follows.

    Args:
        verb: the verb that was run.
        engine: the engine that it was run on.
        values: its options.
        result: the result of the verb.
    """
    model = values["model"]
    if verb == "train":
        return command("drivetrain", "test", "--model", result.work_dir)
    if verb == "tune":
        return command("drivetrain", "train", "--config", result.config)
    if verb == "export":
        return command("drivetrain", "predict", "--model", result.path, "--source", _images(engine))
    if verb == "optimize":
        return command("drivetrain", "benchmark", "--model", result.path)
    if verb == "benchmark":
        return None
    can_export = "export_source" in engine.spec.hooks
    if verb == "test" and not can_export:
        return command("drivetrain", "predict", "--model", model, "--source", _images(engine), "--save_images")
    if verb in ("predict", "explain") and not values.get("save_images"):
        source = ["--source", values["source"]] if isinstance(values.get("source"), str) else []
        return command("drivetrain", verb, "--model", model, *source, "--save_images")
    if not can_export:
        return None
    data = ["--data", values["data"]] if isinstance(values.get("data"), str) else []
    return command("drivetrain", "export", "--model", model, *data)


def _images(engine: Engine) -> str:
    """The data as a source of images, or a placeholder for one."""
    source = engine.data.source if isinstance(engine.data.source, str) else engine.weights.run.data
    return source or "FOLDER"
