"""The engine: the factory over the registry, and the list of verbs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

from drivetrain.engine.argument_types import require_types
from drivetrain.engine.data import EngineData, described
from drivetrain.engine.early import check_arguments, check_task
from drivetrain.engine.framework import NEEDED
from drivetrain.engine.objects import load_with
from drivetrain.engine.old_hooks import OldHooks, OldNames, old_framework
from drivetrain.engine.recipe import Recipe
from drivetrain.engine.state import EngineState
from drivetrain.engine.verbs import known_options, require_known
from drivetrain.engine.verbs.benchmark import benchmark as _benchmark
from drivetrain.engine.verbs.embed import embed as _embed
from drivetrain.engine.verbs.explain import explain as _explain
from drivetrain.engine.verbs.export import export as _export
from drivetrain.engine.verbs.optimize import optimize as _optimize
from drivetrain.engine.verbs.predict import predict as _predict
from drivetrain.engine.verbs.test import test as _test
from drivetrain.engine.verbs.train import train as _train
from drivetrain.engine.verbs.tune import tune as _tune
from drivetrain.engine.weights import Weights
from drivetrain.errors import OptionError
from drivetrain.launch.setup import Setup
from drivetrain.models.catalog import ModelEntry
from drivetrain.models.registry import load_engine
from drivetrain.models.resolve import resolve
from drivetrain.models.spec import EngineSpec, Resolution
from drivetrain.runs.progress import default_progress
from drivetrain.runs.record import RunRecord
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.recommend import Plan

_PLANNED_BY = ("task", "engine", "device", "model_args")


class Engine(OldNames, EngineState):
    """Train, test, predict and export one model; calling the class returns the engine of the model's framework.

    Example::

        engine = Engine("timm:resnet18", "flowers/")
        engine.train(max_epochs=5)
        engine.export("openvino")

    Args:
        model: an upstream object, a name (``drivetrain find`` lists them), a class path, a checkpoint, an exported
            artefact, a recipe (its name or YAML file; other arguments override it), or the work dir of a
            finished run. Without one, model and options are chosen by the data, see ``plan``.
        data: a folder, file or zip, a ``datumaro.Dataset``, a :class:`drivetrain.Dataset`, or the framework's own data.
        task: the task to train for; by default that of the data or the model.
        work_dir: the folder for everything the run writes; by default a new folder below ``runs/``.
        device: ``"auto"`` (the default), ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"xpu"``, ``"mps"``.
        engine: the name of the engine to use, regardless of the model.
        model_args: arguments of the model's constructor, if the model is given by name or class path.

    Raises:
        ModelError: no engine serves the model.
        MissingDependencyError: the engine's packages are not installed.
        DataNotFoundError: ``data`` is a path that does not exist.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse an engine without a framework, or whose framework lacks a required hook."""
        super().__init_subclass__(**more)
        framework = old_framework(cls) or cls.framework_class
        lacking = [name for name in NEEDED if name in framework.__abstractmethods__]
        if lacking:
            raise TypeError(f"{framework.__name__}, the framework of {cls.__name__}, must define {', '.join(lacking)}.")
        if framework.__dict__.get("spec") is not cls.spec:
            framework = type(framework.__name__, (framework,), {"spec": cls.spec, "__module__": framework.__module__})
        cls.framework_class = framework

    def __new__(cls, model: Any = None, data: Any = None, *, engine: str | None = None, **more: Any) -> Self:
        """Return an instance of the subclass that serves the model; without a model, one is chosen by the data."""
        if cls is not Engine:
            return super().__new__(cls)
        choice = _choose(model, data, engine, more)
        served_by = cast("type[Self]", load_engine(choice.resolution.spec))
        require_known(served_by.__init__, "Engine", more)
        chosen = object.__new__(served_by)
        vars(chosen)["_choice"] = choice  # for the constructor, which Python calls next
        return chosen

    _choice: _Choice | None = None

    def __init__(
        self,
        model: Any = None,
        data: Any = None,
        *,
        task: str | None = None,
        work_dir: str | Path | None = None,
        device: str | None = None,
        engine: str | None = None,
        model_args: Mapping[str, Any] | None = None,
    ) -> None:
        require_types(Engine.__init__, (), {"work_dir": work_dir, "model_args": model_args})
        more = {"task": task, "device": device, "model_args": model_args}
        choice = self._choice or _choose(model, data, engine, more, of=self.spec)
        self._choice = None
        self.resolution, self.plan, self.recipe = choice.resolution, choice.plan, choice.recipe
        if choice.engine not in (None, self.spec.name):
            raise OptionError(
                f"engine={choice.engine!r} contradicts {type(self).__name__}; leave it out, or give another model."
            )
        recipe = self.recipe or Recipe("", {})
        record, begun = RunRecord.of(self.resolution.model), choice.begun
        self.setup = _setup(self, choice, recipe, record, {**more, "data": data})
        work_dir = recipe.argument("work_dir", work_dir)
        run = begun if begun.directory is not None else record
        self.given_work_dir = Path(work_dir).expanduser().absolute() if work_dir is not None else run.directory
        self.data = EngineData(
            self.setup.data,
            recipe=recipe.name,
            dataset=self.plan.dataset if self.plan else None,
            recorded=record.data_source,
            normal=record.normal_labels,
        )
        self.weights = Weights(self.resolution.model, run, self.spec.suffixes)
        self.framework = self.framework_class(self.resolution.model, self.setup, self.data)
        if isinstance(self.framework, OldHooks):
            self.framework.engine = self
        self.progress = default_progress()
        self.config = None

    def __repr__(self) -> str:
        work = f", work_dir={str(self.given_work_dir)!r}" if self.given_work_dir is not None else ""
        return f"{type(self).__name__}({self.setup.model_name!r}, {described(self.data.source)}{work})"

    def used_value(self, name: str) -> Any:
        """The value that the last training actually used for an option, ``"model.NAME"`` or ``"engine_args.NAME"``.

        Raises:
            KeyError: the framework does not report it.
        """
        head, _, rest = name.partition(".")
        if rest and head == "model":
            return self.framework.used_model_argument(rest)
        return (self.weights.run.content.get("effective_options") or {})[rest or name]

    # --- verbs: the function is the method ---------------------------------------------------------------------------

    train = known_options(_train)
    tune = known_options(_tune)
    test = known_options(_test)
    predict = known_options(_predict)
    export = known_options(_export)
    optimize = known_options(_optimize)
    benchmark = known_options(_benchmark)
    explain = known_options(_explain)
    embed = known_options(_embed)


@dataclass(frozen=True, slots=True)
class _Choice:
    """The result of choosing an engine class, kept for its constructor.

    Attributes:
        resolution: which engine serves the model.
        model: the model as given, or as named by recipe or plan.
        engine: the name of the engine that was requested.
        plan: the plan, if the model was chosen by the data.
        recipe: the recipe, if one was given as the model.
        begun: the run that was given as the model, if it saved no state and starts over from its config.
    """

    resolution: Resolution
    model: Any
    engine: str | None
    plan: Plan | None = None
    recipe: Recipe | None = None
    begun: RunRecord = field(default_factory=RunRecord)


def _choose(
    model: Any, data: Any, engine: str | None, more: Mapping[str, Any], of: EngineSpec | None = None
) -> _Choice:
    """Choose engine and model.

    Args:
        model: the model as given.
        data: the data as given.
        engine: the name of the requested engine.
        more: the other arguments of the constructor.
        of: the engine whose class was called directly.
    """
    check_arguments(data, more.get("task"), more.get("device"))
    begun = _without_state(model)
    recipe = Recipe.of(model if begun.directory is None else begun.directory / "config.yaml")
    if recipe is not None:
        model, engine = recipe.argument("model", None), recipe.argument("engine", engine)
    plan = None
    if model is None and data is not None:
        plan = _plan(data, {**more, "engine": engine if of is None else of.name})
        model = plan["model"]
    resolution = resolve(model, engine=engine if of is None else of)
    check_task(resolution.model, recipe.argument("task", more.get("task")) if recipe else more.get("task"))
    return _Choice(resolution, model, engine, plan, recipe, begun)


def _without_state(model: Any) -> RunRecord:
    """The run that was given as the model, if it saved no state and can start over from its config; else empty."""
    run = RunRecord.of(Path(model).expanduser()) if isinstance(model, str | Path) else RunRecord()
    return run if run.has_no_checkpoint and run.directory and (run.directory / "config.yaml").is_file() else RunRecord()


def _plan(data: Any, given: Mapping[str, Any]) -> Plan:
    """The plan of what to train when no model is given."""
    from drivetrain.recommend import recommend

    return recommend(data, **{name: given[name] for name in _PLANNED_BY if given.get(name) is not None})


def _setup(engine: Engine, choice: _Choice, recipe: Recipe, record: RunRecord, given: Mapping[str, Any]) -> Setup:
    """The arguments of the engine: those given, else the recipe's, else the plan's, else those of the recorded run.

    Raises:
        OptionError: constructor arguments were given for an object that already exists.
    """
    model, plan = choice.model, choice.plan
    task, model_args = recipe.argument("task", given["task"]), recipe.argument("model_args", given["model_args"])
    data, data_args = recipe.data(given["data"], task)
    same = data is None or (isinstance(data, str | Path) and record.was_trained_on(str(data), ""))
    if same and task is None:
        task = record.data_task  # data read for another task are different data
    if record.data_args and same:
        data = load_with(record.data, record.data_args, task)
        data_args = record.data_args
    if plan is not None:
        task, model_args = plan["task"], plan.model_args
        data_args = {"splits": plan["splits"]} if "splits" in plan and plan["splits"] is not None else {}
    made_here = isinstance(choice.resolution.model, type | ModelEntry)
    if model_args and not made_here:
        raise OptionError(
            f"model_args={sorted(model_args)} cannot be given together with a ready model "
            f"({describe_model(model)}). Set them on the model itself, or give the model by name."
        )
    cls = type(engine)
    return Setup(
        engine=f"{cls.__module__}:{cls.__qualname__}",
        model=model,
        model_name=record.model_name or describe_model(model),
        model_args=dict(model_args or record.model_args),
        takes_model_args=made_here,
        data=data if data is not None else record.data,
        data_args=data_args,
        task=Task.parse(task).value if task is not None else None,
        device=recipe.argument("device", given["device"]) or "auto",
    )


def describe_model(model: Any) -> str:
    """The path or name of a model, the path of a loaded artefact, or the class of any other object."""
    if isinstance(model, str | Path):
        path = Path(model).expanduser()
        return str(path.absolute()) if path.exists() else str(model)
    from drivetrain.runtime.predictor import Predictor

    if isinstance(model, Predictor):
        return str(model.artifact.path)
    return f"{type(model).__module__}.{type(model).__qualname__}"
