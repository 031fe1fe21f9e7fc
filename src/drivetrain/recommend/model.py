"""Choosing the model: the best of the measured candidates that can be trained here in time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivetrain.errors import MissingDependencyError, UnsupportedError
from drivetrain.models.candidate import Candidate
from drivetrain.models.registry import engine_specs, spec_by_name
from drivetrain.models.spec import EngineSpec
from drivetrain.recommend.local_weights import describe_places, find_weights
from drivetrain.recommend.sizes import BUDGET
from drivetrain.types import Task

#: Smaller differences in quality are noise; the faster model is taken.
_CHANCE = 0.02


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The chosen model.

    Attributes:
        spec: the engine.
        candidate: the model with its measurements.
        weights: the pretrained weights file, if the model starts from one.
        why: the reason, in one sentence.
    """

    spec: EngineSpec
    candidate: Candidate
    weights: Path | None
    why: str


def choose(
    task: Task,
    engine: str | None,
    others: Sequence[Task],
    epoch_seconds: Callable[[Candidate], float],
    model_args: Mapping[str, Any],
) -> ModelChoice:
    """Choose the model.

    Args:
        task: the task to train for.
        engine: the engine, if the user specifies it.
        others: other tasks that the annotations can serve, for messages.
        epoch_seconds: returns how long an epoch of a model takes here.
        model_args: the user's model arguments; if they refuse pretrained weights, these are not used.

    Raises:
        MissingDependencyError: only engines that are not installed serve the task.
        UnsupportedError: no engine serves the task.
    """
    specs = [spec_by_name(engine)] if engine is not None else list(engine_specs().values())
    offered = [(spec, item) for spec in specs for item in spec.candidates if item.task is task]
    ready = [(spec, item) for spec, item in offered if not spec.missing and not _is_refused(item, model_args)]
    if not ready:
        raise _nothing(task, engine, offered, others)
    found = {id(item): find_weights(item.weights) if item.weights else None for _, item in ready}
    usable = [(spec, item) for spec, item in ready if not item.weights or found[id(item)] is not None]
    if not usable:
        spec, item = ready[0]
        raise UnsupportedError(
            f"The task is {task.value}, and every model of the engine {spec.name!r} for it needs pretrained weights "
            f"that are not on this machine ({describe_places(item.weights)}). Put them there, or give a model and its "
            "weights."
        )
    least = {id(item): item.least_epochs * epoch_seconds(item) for _, item in usable}
    in_time = [pair for pair in usable if least[id(pair[1])] <= BUDGET]
    pool = in_time or [min(usable, key=lambda pair: least[id(pair[1])])]
    top = max(item.quality for _, item in pool)
    good = [pair for pair in pool if pair[1].quality >= top - _CHANCE]
    spec, best = min(good, key=lambda pair: pair[1].epochs * pair[1].train_ms)
    why = _why(best, pool, ready, found[id(best)], slow=len(usable) - len(in_time))
    return ModelChoice(spec, best, found[id(best)], why)


def _is_refused(item: Candidate, model_args: Mapping[str, Any]) -> bool:
    """Whether the model starts from pretrained weights and the user has refused them."""
    return bool(item.weights) and not model_args.get(item.weights_argument, True)


def _why(
    best: Candidate,
    pool: Sequence[tuple[EngineSpec, Candidate]],
    ready: Sequence[tuple[EngineSpec, Candidate]],
    weights: Path | None,
    *,
    slow: int,
) -> str:
    measured = f"quality {best.quality:.2f} in our measurements"
    text = f"{measured}, the best of {len(pool)} that can be trained here"
    if len(pool) == 1:
        text = f"the only one that can be trained here ({measured})"
    elif any(item.quality > best.quality for _, item in pool):
        text = f"{measured}, close to the best of {len(pool)} that can be trained here, and faster to train"
    if slow:
        text += f" in {BUDGET / 60:.0f} minutes ({slow} would take longer)"
    if weights is not None:
        return f"{text}; it starts from the weights in {weights.name}"
    absent = next((item for _, item in ready if item.weights and item.quality >= best.quality - _CHANCE), None)
    if absent is not None:
        places = describe_places(absent.weights)
        how = "better" if absent.quality > best.quality else "as good and needed fewer epochs"
        text += (
            f"; {absent.model} with pretrained weights was {how} ({absent.quality:.2f}), but they are not on this "
            f"machine (looked for {places}) and nothing is downloaded unless requested"
        )
    return f"{text}; it starts from random weights"


def _nothing(
    task: Task, engine: str | None, offered: Sequence[tuple[EngineSpec, Candidate]], others: Sequence[Task]
) -> Exception:
    able = [other.value for other in others if _installed_for(other, engine)]
    ways = " or ".join(f"task={name!r}" for name in able)
    instead = f" Or train for another task that the annotations serve: {ways}." if able else ""
    if offered:
        installs = dict.fromkeys(f"{spec.install} ({spec.summary.rstrip('.')})" for spec, _ in offered)
        return MissingDependencyError(
            f"The task is {task.value}, and no installed engine has a model for it. Install one: "
            f"{' or '.join(installs)}.{instead} Or choose a model yourself: model=..."
        )
    scope = f"the engine {engine!r}" if engine is not None else "any engine"
    return UnsupportedError(
        f"The task is {task.value}, and auto-configuration has no model of {scope} for it.{instead} "
        "Or choose a model: 'drivetrain find' lists them."
    )


def _installed_for(task: Task, engine: str | None) -> bool:
    specs = [spec_by_name(engine)] if engine is not None else list(engine_specs().values())
    return any(item.task is task and not spec.missing for spec in specs for item in spec.candidates)
