"""Making the plan: task, engine, model and options, each with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from drivetrain.data.split import small_parts
from drivetrain.data.tasks import servable_tasks
from drivetrain.data.trainable import require_trainable, unseen_labels
from drivetrain.machine.device import choose_device
from drivetrain.machine.resources import available_memory, core_count
from drivetrain.models.candidate import Candidate
from drivetrain.recommend import sizes
from drivetrain.recommend.data_facts import DataFacts, facts_of
from drivetrain.recommend.model import ModelChoice, choose
from drivetrain.recommend.plan import Decision, Plan
from drivetrain.recommend.usage import divide, read
from drivetrain.types import Task

_MEASURED_THREADS = 1
_MOST_SPEEDUP = 8.0
_CORE_GAIN = 0.7  # the gain of each additional core
_EPOCH_SECONDS = 1.5  # fixed cost of an epoch: validation, saving the state, writing the record
_FEW = 10


def recommend(
    data: Any,
    *,
    task: str | Task | None = None,
    engine: str | None = None,
    device: str = "auto",
    model_args: Mapping[str, Any] | None = None,
) -> Plan:
    """Decide from the data and the machine what to train and how.

    Args:
        data: anything that :func:`drivetrain.load_dataset` reads.
        task: the task, if the user specifies it.
        engine: the engine, if the user specifies it.
        device: as for ``Engine``.
        model_args: model arguments, if the user gives any; they override the chosen ones.

    Returns:
        The plan, with the data as read and divided into subsets.

    Raises:
        DataError: the data cannot be read, have no annotations or no training images.
        MissingDependencyError: only engines that are not installed serve the task.
        UnsupportedError: no engine serves the task.
    """
    found, for_task = read(data, Task.parse(task) if task is not None else None)
    divided, splits = divide(found)
    require_trainable(divided, divided.task)
    facts = facts_of(divided)
    others = [other for other in servable_tasks(found) if other is not found.task]
    machine = _Machine(device)
    choice = choose(found.task, engine, others, lambda item: machine.epoch_seconds(facts, item), model_args or {})
    made = [for_task, _engine(choice, engine), *_model(choice, model_args), splits]
    options, advice = _options(facts, choice, machine)
    warnings = [*unseen_labels(divided), *_warnings(facts, divided.task), *([advice] if advice else [])]
    if splits.value is not None and (small := small_parts({name: facts.images[name] for name in ("val", "test")})):
        warnings.insert(0, small)
    return Plan((*made, *options), tuple(warnings), divided)


def _engine(choice: ModelChoice, asked: str | None) -> Decision:
    if asked is not None:
        return Decision("engine", choice.spec.name, "given", given=True)
    return Decision("engine", choice.spec.name, choice.spec.summary or "it offers the model")


def _model(choice: ModelChoice, given: Mapping[str, Any] | None) -> list[Decision]:
    item = choice.candidate
    arguments = dict(item.model_args)
    if choice.weights is not None:
        arguments[item.weights_argument] = str(choice.weights)
    reason = "the pretrained weights found on this machine" if choice.weights is not None else "the model's arguments"
    made = [Decision("model", item.model, choice.why)]
    if given:
        return [*made, Decision("model_args", {**arguments, **given}, "given, besides what was chosen", given=True)]
    return [*made, Decision("model_args", arguments, reason)] if arguments else made


class _Machine:
    """The device to compute on, and its speed; torch is consulted only when needed.

    Args:
        device: as for ``Engine``.
    """

    def __init__(self, device: str) -> None:
        self.asked = device

    @cached_property
    def place(self) -> str:
        """The device."""
        return choose_device(self.asked)

    @property
    def is_cpu(self) -> bool:
        """Whether the training time matters."""
        return self.place == "cpu"

    @property
    def decision(self) -> Decision:
        """The device and the cores."""
        cores = core_count()
        has = f"{cores} {'core' if cores == 1 else 'cores'}, {available_memory() / 1e9:.1f} GB of free memory"
        if self.asked != "auto":
            return Decision("device", self.place, f"given; {has}", given=True)
        return Decision("device", self.place, f"what the machine has: {has}")

    def epoch_seconds(self, facts: DataFacts, item: Candidate) -> float:
        """How long an epoch of a model takes; 0 on accelerators, which were not measured and are fast enough."""
        if not self.is_cpu:
            return 0.0
        size = sizes.image_size(facts, item, on_cpu=self.is_cpu)[0].value
        speedup = min(_MOST_SPEEDUP, 1 + _CORE_GAIN * (core_count() - _MEASURED_THREADS))
        growth = sizes.growth(item, size)
        crowd: float = (facts.training_images * growth / item.measured_images) ** (item.images_power - 1)
        measured = item.measured_images * item.train_ms / 1000
        fixed = min(_EPOCH_SECONDS, measured / 2)
        each = (measured - fixed) / item.measured_images
        return fixed + facts.training_images * each * growth * crowd / speedup


def _options(facts: DataFacts, choice: ModelChoice, machine: _Machine) -> tuple[list[Decision], str | None]:
    item = choice.candidate
    size, advice = sizes.image_size(facts, item, on_cpu=machine.is_cpu)
    batch = sizes.batch_size(facts, item, size.value, available_memory())
    device = machine.decision
    steps = -(-facts.training_images // batch.value)
    epochs = sizes.epochs(facts, item, machine.epoch_seconds(facts, item), steps=steps, on_cpu=machine.is_cpu)
    decisions = [device, size, batch, epochs]
    if item.patience is not None:
        decisions.append(Decision("patience", item.patience, "waiting longer without an improvement does not help"))
    return [*decisions, *_balance(facts, choice)], advice


def _balance(facts: DataFacts, choice: ModelChoice) -> list[Decision]:
    """The metric that selects the best state, and the weights of rare classes."""
    item, decisions = choice.candidate, []
    present = {name: count for name, count in facts.counts.items() if count}
    rarest = min(present, key=lambda name: present[name]) if present else ""
    uneven = f"the classes are imbalanced: {rarest!r} is {facts.imbalance:.0f} times rarer than the most frequent one"
    if item.metrics:
        usual, fair = item.metrics
        if facts.is_unbalanced:
            decisions.append(Decision("metric", fair, f"{uneven}, and this weights all classes equally"))
        else:
            decisions.append(Decision("metric", usual, "the classes are roughly balanced"))
    if item.balances and facts.is_unbalanced:
        decisions.append(Decision("class_weights", "balanced", f"{uneven}, so that all count equally in the loss"))
    return decisions


def _warnings(facts: DataFacts, task: Task) -> list[str]:
    found = []
    if facts.missing_in_validation and task is not Task.ANOMALY:
        names = ", ".join(map(repr, facts.missing_in_validation[:5]))
        found.append(
            f"No validation image has {names}, so there is no measure of how well it is learned. Add images of it, or "
            "hold out more: splits=(0.6, 0.2, 0.2) of load_dataset, or --data.splits '[0.6, 0.2, 0.2]' in the shell."
        )
    few = {name: count for name, count in facts.counts.items() if 0 < count < _FEW}
    if few and task is not Task.ANOMALY:
        name = min(few, key=lambda name: few[name])
        found.append(
            f"{len(few)} of {len(facts.counts)} classes have fewer than {_FEW} training examples, such as {name!r} "
            f"with {few[name]}. Results will depend on chance; add examples."
        )
    if facts.is_unbalanced and task is not Task.ANOMALY:
        found.append(f"The classes are imbalanced by a factor of {facts.imbalance:.0f}; look at the metrics per class.")
    return found
