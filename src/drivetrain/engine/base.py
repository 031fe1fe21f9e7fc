"""The engine: the factory over the registry and the common steps of every verb."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, cast

from drivetrain.engine.decoded import DecodedSource
from drivetrain.engine.describe import describe_data, describe_model
from drivetrain.engine.hooks import EngineHooks
from drivetrain.engine.planning import make_plan
from drivetrain.engine.recipe import Recipe, fitting_recipe
from drivetrain.engine.tracked import add_artifact, for_framework
from drivetrain.engine.training import finish, train_in
from drivetrain.engine.verbs import no_verb
from drivetrain.errors import (
    CheckpointNotFoundError,
    DataError,
    OptionError,
    TrainingInterrupted,
    TrialPruned,
    UnsupportedError,
    UnsupportedOptionError,
    WorkDirError,
)
from drivetrain.models.registry import load_engine
from drivetrain.models.resolve import resolve
from drivetrain.models.spec import EngineSpec, Resolution, claimed_by
from drivetrain.runs.progress import Progress, default_progress
from drivetrain.runs.record import RecordedRun, checkpoint_file
from drivetrain.runs.tracking import open_trackers
from drivetrain.types.options import (
    AdaptiveBatchSize,
    ExportFormat,
    ExportPrecision,
    Precision,
    Pruner,
    Sampler,
    TrainOptions,
    check_at_least,
    check_names,
)
from drivetrain.types.task import Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from drivetrain.data import Dataset
    from drivetrain.recommend import Plan
    from drivetrain.runtime.artifact import Artifact
    from drivetrain.types import Metrics, Prediction, Predictions, TrainResult, TuneResult

_VERIFY_IMAGES = 8
_NEEDED_HOOKS = ("model", "_build", "_infer")
TASKS_WITH_OBJECTS = (
    Task.DETECTION,
    Task.ORIENTED_DETECTION,
    Task.INSTANCE_SEGMENTATION,
    Task.KEYPOINT_DETECTION,
)


class Engine(EngineHooks):
    """Train, test, predict and export one model; calling it returns the engine of the model's framework.

    Example::

        engine = Engine("timm:resnet18", "flowers/")
        engine.train(max_epochs=5)
        engine.export("openvino")

    Args:
        model: an upstream object, a name (``drivetrain find`` lists them), a class path, a checkpoint, an exported
            artefact, a recipe (its name or YAML file; what is given beside it overrides it), or the work dir of a
            finished run. Without one, model and options are chosen by the data, see ``plan``.
        data: a folder, file or zip, a ``datumaro.Dataset``, a :class:`drivetrain.Dataset`, or the framework's own data.
        task: what to train for; taken from the data or the model if not given.
        work_dir: where everything the run writes goes; a new folder below ``runs/`` if not given.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"xpu"``, ``"mps"``.
        engine: the name of the engine to use, whatever the model says.
        model_args: arguments of the model's constructor, when the model is given by name or class path.

    Raises:
        ModelError: no engine serves the model.
        MissingDependencyError: the engine's packages are not installed.
        DataNotFoundError: ``data`` is a path that does not exist.
    """

    spec: ClassVar[EngineSpec]
    resolution: Resolution
    #: What was chosen by the data and why, if no model was given.
    plan: Plan | None = None
    #: What the model was given as, if it was a recipe.
    recipe: Recipe | None = None
    #: Options of ``train`` that this engine cannot honour: name -> why, and what to do instead.
    unsupported_options: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **more: Any) -> None:
        """Refuse an engine without the hooks that every engine needs."""
        super().__init_subclass__(**more)
        lacking = [name for name in _NEEDED_HOOKS if getattr(cls, name) is getattr(Engine, name)]
        if lacking:
            raise TypeError(f"The engine {cls.__name__} must define {', '.join(lacking)}.")

    def __new__(cls, model: Any = None, data: Any = None, *, engine: str | None = None, **more: Any) -> Self:
        """Return an object of the subclass that serves the model; without a model, one is chosen by the data."""
        if cls is not Engine:
            return super().__new__(cls)
        recipe = Recipe.of(model)
        if recipe is not None:
            model, engine = recipe.argument("model", None), recipe.argument("engine", engine)
        plan = make_plan(data, engine=engine, **more) if model is None and data is not None else None
        resolution = resolve(model if plan is None else plan["model"], engine=engine)
        chosen = object.__new__(cast("type[Self]", load_engine(resolution.spec)))
        chosen.resolution, chosen.plan, chosen.recipe = resolution, plan, recipe
        return chosen

    def __init__(
        self,
        model: Any = None,
        data: Any = None,
        *,
        task: str | None = None,
        work_dir: str | Path | None = None,
        device: str = "auto",
        engine: str | None = None,
        model_args: Mapping[str, Any] | None = None,
    ) -> None:
        if "resolution" not in vars(self):
            self.recipe = Recipe.of(model)
        if self.recipe is not None:
            model, engine = self.recipe.argument("model", None), self.recipe.argument("engine", engine)
            task, work_dir = self.recipe.argument("task", task), self.recipe.argument("work_dir", work_dir)
            model_args = self.recipe.argument("model_args", model_args)
            device = self.recipe.argument("device", None if device == "auto" else device) or device
            data = self.recipe.data(data, task)
        if engine not in (None, self.spec.name):
            raise OptionError(
                f"engine={engine!r} contradicts {type(self).__name__}; leave it out, or call Engine(...)."
            )
        if "resolution" not in vars(self):
            if model is None and data is not None:
                self.plan = make_plan(data, engine=self.spec.name, task=task, device=device, model_args=model_args)
            self.resolution = resolve(model if self.plan is None else self.plan["model"], engine=self.spec)
        if self.plan is not None:
            model, task, model_args = self.plan["model"], self.plan["task"], self.plan.model_args
        if model_args and not self._takes_model_args():
            raise OptionError(
                f"model_args={sorted(model_args)} cannot be given together with a ready model "
                f"({describe_model(model)}). Set them on the model itself, or give the model by its name."
            )
        self.device = device
        self._given_model = model
        self.progress: Progress = default_progress()
        #: What repeats the run on the command line; ``train`` saves it as ``config.yaml`` before it begins.
        self.config: Mapping[str, Any] | None = None
        self._recorded = RecordedRun.of(self.resolution.model)
        self._model_text: str = self._recorded.model_name or describe_model(model)
        self.model_args: dict[str, Any] = dict(model_args or self._recorded.model_args)
        self._data = self._check_data(data if data is not None else self._recorded.data)
        self._task = Task.parse(task) if task is not None else None
        self._work_dir = Path(work_dir).expanduser().absolute() if work_dir is not None else self._recorded.directory
        self._dataset: Dataset | None = self.plan.dataset if self.plan is not None else None
        self._label_names: tuple[str, ...] | None = None
        self._state: Path | None = None
        self._chosen: Path | None = None

    # --- what the engine knows -----------------------------------------------------------------------------------

    @property
    def task(self) -> Task:
        """What the model is trained for.

        Raises:
            OptionError: neither the model nor the data say it.
        """
        if self._task is None:
            self._task = self._find_task()
        return self._task

    @property
    def label_names(self) -> tuple[str, ...]:
        """The name of each label, by its number; those of the model, else of the data."""
        if self._label_names is None:
            self._label_names = self._find_label_names()
        return self._label_names

    @property
    def work_dir(self) -> Path:
        """Where everything the run writes goes."""
        if self._work_dir is None:
            from drivetrain.runs.run import default_work_dir

            self._work_dir = default_work_dir(self._model_text, describe_data(self._data))
        return self._work_dir

    @property
    def has_native_data(self) -> bool:
        """Whether the data are the framework's own and pass through untouched."""
        return self._data is not None and self._is_native(self._data)

    @property
    def dataset(self) -> Dataset:
        """The data as a drivetrain data set, with train, val and test subsets.

        Raises:
            DataError: no data were given, or they are the framework's own, which cannot be read from outside.
        """
        if self._dataset is None:
            if self._data is None:
                raise DataError(
                    f"{type(self).__name__} has no data. Give them to the constructor: Engine(model, data), "
                    "or --data on the command line."
                )
            if self.has_native_data:
                raise DataError(f"The data are a {type(self._data).__name__}; this needs a data set that can be read.")
            from drivetrain.data import load_dataset

            with fitting_recipe(self.recipe.name if self.recipe is not None else "", self._task, self._data):
                dataset = load_dataset(self._data, task=self._task)
            self._dataset = dataset.with_splits() if "train" in dataset.subsets else dataset
        return self._dataset

    # --- verbs ---------------------------------------------------------------------------------------------------

    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        image_size: int | tuple[int, int] | None = None,
        seed: int = 0,
        deterministic: bool = False,
        precision: Precision = "auto",
        patience: int | None = None,
        val_check_interval: int | None = None,
        num_workers: int | None = None,
        devices: int | Sequence[int] = 1,
        callbacks: Sequence[Any] | None = None,
        logger: Any = None,
        metric: str | None = None,
        checkpoint: str | Path | None = None,
        resume: bool = False,
        overwrite: bool = False,
        run_hpo: bool = False,
        hpo_config: Mapping[str, Any] | None = None,
        adaptive_bs: AdaptiveBatchSize = "none",
        engine_args: Mapping[str, Any] | None = None,
    ) -> TrainResult:
        """Train the model; what is not given is the engine's own default for it.

        Args:
            max_epochs: how many times to go through the training images.
            batch_size: images in a step.
            learning_rate: the highest learning rate of the schedule.
            image_size: of the model input in pixels, one number or (height, width).
            seed: of everything random.
            deterministic: use deterministic algorithms only.
            precision: "fp32", "fp16" or "bf16" mixed precision, or "auto" for what suits the device.
            patience: stop after this many validations without a better metric.
            val_check_interval: validate every so many epochs.
            num_workers: processes or threads that load data.
            devices: how many devices, or which.
            callbacks: objects of the framework's own callback class.
            logger: where to follow the training: "tensorboard", "mlflow", "wandb", or an object of the framework's own
                loggers, or a list of these; the table "csv" is always written.
            metric: the validation metric that chooses the best state, such as "val/accuracy".
            checkpoint: begin with the weights of this checkpoint, also of another label set (by class name).
            resume: go on from the last state of the work dir.
            overwrite: replace the run that the work dir holds.
            run_hpo: search the best options before training, in the folder "tuning" of the work dir.
            hpo_config: how to search: "space", "trials", "workers", "time_budget", "pruner", "sampler", as for tune.
            adaptive_bs: "safe" lowers the batch size to what fits the memory, "full" takes the fastest that fits, both
                measured by short trainings; when memory runs out after all, training goes on with half of it, once.
            engine_args: passed unchanged to the upstream trainer; checked against its own options.

        Returns:
            The checkpoints, the metrics, the history, and the options that the upstream replaced.

        Raises:
            OptionError: an option has a wrong value, or cannot be honoured by this engine.
            DataError: the data cannot be used for training.
            WorkDirError: the work dir is taken or cannot be written.
            CheckpointError: the checkpoint does not fit.
            TrainingInterrupted: stopped by Ctrl-C; the last state is saved.
        """
        given = {name: value for name, value in locals().items() if name in TrainOptions.names()}
        options = self._planned(TrainOptions(**given))
        self._require("train")
        self._check_options(for_framework(options))
        trackers = open_trackers(options.logger)
        if self._data is None:
            raise DataError("There are no data to train on. Give them: Engine(model, data), or --data FOLDER.")
        from drivetrain.runs.run import Run

        run = Run.open(self.work_dir, self.progress, resume=options.resume, overwrite=options.overwrite)
        run.trackers = trackers
        try:
            if options.run_hpo:
                from drivetrain.engine.automatic import tune_before

                options = tune_before(self, options, run)
            return finish(self, run, train_in(self, run, options))
        except KeyboardInterrupt as error:
            run.close("interrupted")
            raise TrainingInterrupted(
                f"Training was stopped; the last state is in {run.checkpoints}. Go on with it: resume=True, "
                f"work_dir={str(self.work_dir)!r}."
            ) from error
        except TrialPruned as error:
            run.close("pruned", error=str(error))
            raise
        except BaseException as error:
            run.close("failed", error=f"{type(error).__name__}: {error}")
            raise

    def tune(
        self,
        max_epochs: int | None = None,
        *,
        space: Mapping[str, Any] | None = None,
        trials: int = 20,
        workers: int = 1,
        time_budget: float | None = None,
        pruner: Pruner = "halving",
        sampler: Sampler = "tpe",
        metric: str | None = None,
        batch_size: int | None = None,
        learning_rate: float | None = None,
        image_size: int | tuple[int, int] | None = None,
        seed: int = 0,
        deterministic: bool = False,
        precision: Precision = "auto",
        patience: int | None = None,
        val_check_interval: int | None = None,
        num_workers: int | None = None,
        devices: int | Sequence[int] = 1,
        checkpoint: str | Path | None = None,
        overwrite: bool = False,
        engine_args: Mapping[str, Any] | None = None,
    ) -> TuneResult:
        """Search the best options and model arguments; a search that was stopped or killed goes on.

        The same call goes on with the search in its work dir; without a work dir it is "runs/tune-..." of the same name
        each time. Options that are given are the same for all trials.

        Args:
            max_epochs: of each trial.
            space: what to search: options of train, "model.NAME" and "engine_args.NAME", each with a list of values or
                {low, high, log, step}; the engine's own if not given.
            trials: how many to begin.
            workers: how many trials run at the same time, each in a process of its own.
            time_budget: seconds after which no trial begins and those that run end.
            pruner: ends trials early: "halving" (successive halving), "median", or "none".
            sampler: proposes values: "tpe" (from what was good before) or "random".
            metric: the validation metric that trials are compared by, such as "val/accuracy".
            batch_size: images in a step.
            learning_rate: the highest learning rate of the schedule.
            image_size: of the model input in pixels, one number or (height, width).
            seed: of everything random, and of the proposals.
            deterministic: use deterministic algorithms only.
            precision: "fp32", "fp16" or "bf16" mixed precision, or "auto" for what suits the device.
            patience: stop a trial after this many validations without a better metric.
            val_check_interval: validate every so many epochs.
            num_workers: processes or threads that load data.
            devices: how many devices, or which.
            checkpoint: begin each trial with the weights of this checkpoint.
            overwrite: begin anew where the work dir holds a search.
            engine_args: passed unchanged to the upstream trainer; checked against its own options.

        Returns:
            The best values, the configuration that repeats them, and every trial with what it really used.

        Raises:
            OptionError: an option or the space has a wrong name or value, or cannot be honoured by this engine.
            WorkDirError: the work dir holds another search, or another process holds it.
            DrivetrainError: no trial could be trained.
            TrainingInterrupted: stopped by Ctrl-C; the same call goes on.
        """
        given = locals()
        from drivetrain.engine.automatic import tune
        from drivetrain.tuning import SearchOptions

        how = SearchOptions(**{name: given[name] for name in SearchOptions.names()})
        shared = {name: given[name] for name in TrainOptions.names() if name in given and name != "overwrite"}
        options = TrainOptions(**shared)
        if self.recipe is not None:
            options = self.recipe.filled(options, but=tuple(space or ()))
        self._require("train")
        if self._data is None:
            raise DataError("There are no data to train on. Give them: Engine(model, data), or --data FOLDER.")
        return tune(self, options, how, overwrite=overwrite)

    def test(
        self,
        data: Any = None,
        *,
        subset: str = "test",
        checkpoint: str | Path | None = None,
        batch_size: int | None = None,
    ) -> Metrics:
        """Measure the model on images with known answers.

        Args:
            data: other data than the engine's; all of them, if they are not divided into subsets.
            subset: "train", "val" or "test".
            checkpoint: "best", "last" or a path; the best if there is one, else the last.
            batch_size: images in a step.

        Returns:
            The metrics of the task, the same for every engine; the upstream's own are under "upstream/...".

        Raises:
            DataError: there are no such images, or their labels are not those of the model.
            CheckpointError: the checkpoint does not fit.
        """
        self._require("test")
        check_at_least("batch_size", batch_size, 1)
        self._select_state(checkpoint)
        if data is None and self.has_native_data:
            return self._test_native(self._data, subset, batch_size)
        if data is not None and self._is_native(data):
            return self._test_native(data, subset, batch_size)
        from drivetrain.metrics import evaluate

        dataset = self._dataset_for_test(data, subset)
        images = self._decode(dataset.paths, strict=False)
        predictions = self._collect(self._infer(images, batch_size=batch_size, confidence=0.0), images)
        metrics = evaluate(dataset, predictions, task=self.task, label_names=self.label_names)
        unread = {path for path, _ in predictions.skipped}
        if unread:
            dataset = dataset.select(number for number, path in enumerate(dataset.paths) if path not in unread)
        return metrics.merged(self._upstream_metrics(dataset, batch_size))

    def predict(
        self,
        source: Any = None,
        *,
        checkpoint: str | Path | None = None,
        batch_size: int | None = None,
        confidence: float | None = None,
        strict: bool = False,
        save_images: bool = False,
    ) -> Predictions:
        """Ask the model about images.

        Args:
            source: an array (H, W, 3) uint8 RGB, a file, folder, glob or video, a list of them, or a data set; the test
                images of the engine's data if not given.
            checkpoint: "best", "last" or a path; the best if there is one, else the last.
            batch_size: images in a step.
            confidence: leave out objects with a lower score (0..1).
            strict: an unreadable image is an error; otherwise it is left out and named in ``Predictions.skipped``.
            save_images: draw the answers on the images, in the folder "predictions" of the work dir.

        Returns:
            One prediction for each image, in the order of the images, in pixels of the original image.

        Raises:
            DataError: there are no images.
            ImageError: no image can be read, or one cannot be and ``strict`` is set.
            UnsupportedOptionError: the task has no use for ``confidence``.
        """
        self._require("predict")
        check_at_least("batch_size", batch_size, 1)
        if confidence is not None and not 0.0 <= confidence <= 1.0:
            raise OptionError(f"confidence={confidence} must be between 0 and 1.")
        self._select_state(checkpoint)
        if confidence is not None and self.task not in TASKS_WITH_OBJECTS:
            raise UnsupportedOptionError(
                f"confidence={confidence} cannot be honoured: {self.task.value} has no objects to leave out."
            )
        if source is None:
            source = self.dataset.subset("test").paths
        from drivetrain.images.sources import require_readable

        images = self._decode(source, strict=strict, keep=save_images)
        threshold = self._default_confidence() if confidence is None else confidence
        predictions = self._collect(self._infer(images, batch_size=batch_size, confidence=threshold), images)
        require_readable(predictions, predictions.skipped)
        if save_images:
            from drivetrain.report import save_drawings

            folder = self.work_dir / "predictions"
            save_drawings(predictions, folder, images=images.again(predictions))
            self.progress.note(f"Drawn predictions: {folder}")
        return predictions

    def export(
        self,
        format: ExportFormat = "openvino",  # noqa: A002  (the field's word)
        *,
        precision: ExportPrecision = "fp32",
        checkpoint: str | Path | None = None,
        name: str | None = None,
        images: Sequence[str | Path] | None = None,
        overwrite: bool = False,
    ) -> Artifact:
        """Write a deployable artefact, compared with the model on real images before it gets its name.

        Args:
            format: "openvino" or "onnx".
            precision: of the stored weights, "fp32" or "fp16".
            checkpoint: "best", "last" or a path; the best if there is one, else the last.
            name: of the folder below "artifacts" in the work dir; format and precision if not given.
            images: files to compare on; some validation or test images of the data if not given.
            overwrite: replace an artefact of that name.

        Returns:
            The artefact; its report of the comparison lies beside it.

        Raises:
            DataError: there are no images to compare on.
            ExportError: the model cannot be exported.
            ArtifactExistsError: there is an artefact of that name, and ``overwrite`` is not set.
            ParityError: the artefact does not answer as the model does; nothing is left under its name.
        """
        self._require("export")
        self._select_state(checkpoint)
        from drivetrain.export import export_artifact

        pictures = [str(path) for path in images] if images is not None else self._verification_images()
        artifact = export_artifact(
            self._export_source(format),
            self._artifact_dir(name or self._artifact_name(format, precision)),
            format=format,
            precision=precision,
            reference=self._reference,
            images=pictures,
            engine=self.spec.name,
            model_name=self._model_text,
            overwrite=overwrite,
        )
        add_artifact(self, artifact.path)
        return artifact

    @no_verb
    def used_value(self, name: str) -> Any:
        """What the last training really used for an option, ``"model.NAME"`` or ``"engine_args.NAME"``.

        Raises:
            KeyError: the framework does not tell.
        """
        head, _, rest = name.partition(".")
        if rest and head == "model":
            return self._used_model_argument(rest)
        return (self._recorded.record.get("effective_options") or {})[rest or name]

    # --- what an engine may do otherwise -------------------------------------------------------------------------

    def _takes_model_args(self) -> bool:
        """Whether the model is made here, so that constructor arguments make sense."""
        from drivetrain.models.catalog import ModelEntry

        return isinstance(self.resolution.model, type | ModelEntry)

    def _is_native(self, data: Any) -> bool:
        """Whether the data are the framework's own."""
        return claimed_by(type(data), self.spec.data_claims) is not None

    def _find_task(self) -> Task:
        """The task of the model, else of the data."""
        if self._recorded.record.get("task"):
            return Task.parse(self._recorded.record["task"])
        if self._data is None or self.has_native_data:
            raise OptionError(
                f"The task is not known. Give task=... to Engine; one of: {', '.join(task.value for task in Task)}."
            )
        return self.dataset.task

    def _find_label_names(self) -> tuple[str, ...]:
        """The labels of the model, else of the data."""
        if self._recorded.record.get("label_names"):
            return tuple(self._recorded.record["label_names"])
        return self.dataset.label_names

    # --- common steps --------------------------------------------------------------------------------------------

    def _require(self, verb: str) -> None:
        if verb not in self.spec.verbs:
            raise UnsupportedError(
                f"{type(self).__name__} cannot {verb}; it can {', '.join(self.spec.verbs)}. "
                f"The model is {self._model_text}."
            )

    def _check_options(self, options: TrainOptions) -> None:
        for name, value in options.given().items():
            if name in self.unsupported_options:
                raise UnsupportedOptionError(f"{name}={value!r} cannot be honoured: {self.unsupported_options[name]}.")
        if options.adaptive_bs != "none":
            from drivetrain.engine.memory import check_adaptive

            check_adaptive(self, options)
        if options.run_hpo:
            from drivetrain.engine.automatic import check_hpo_config

            check_hpo_config(options.hpo_config)
        allowed = self._engine_arg_names()
        check_names(f"engine_args of {type(self).__name__}", list(options.engine_args or {}), allowed)

    def _planned(self, options: TrainOptions) -> TrainOptions:
        """The options with those of the recipe or of the plan where the user gave none."""
        if self.recipe is not None:
            options = self.recipe.filled(options)
        if self.plan is None:
            return options
        plan = self.plan.as_recorded(RecordedRun.of(self.work_dir).record) if options.resume else self.plan
        self.plan = plan.overridden(options)
        return self.plan.filled(options)

    def _decode(self, source: Any, *, strict: bool, keep: bool = False) -> DecodedSource:
        """The images of a source, decoded ahead in threads; ``keep`` those that have no file, to draw on them."""
        return DecodedSource(source, strict=strict, keep=keep)

    def _collect(self, answers: Iterable[Prediction], images: DecodedSource) -> Predictions:
        from drivetrain.types.prediction import Predictions

        items = list(answers)
        return Predictions(items, task=self.task, label_names=self.label_names, skipped=images.skipped)

    def _reference(self, images: Sequence[NDArray[np.uint8]]) -> Predictions:
        """The model's own answers, for the comparison with an artefact."""
        from drivetrain.types.prediction import Predictions

        answers = self._infer(((f"#{n}", image) for n, image in enumerate(images)), batch_size=None, confidence=0.0)
        return Predictions(answers, task=self.task, label_names=self.label_names)

    def _dataset_for_test(self, data: Any, subset: str) -> Dataset:
        if data is None:
            dataset = self.dataset
        else:
            from drivetrain.data import load_dataset

            dataset = load_dataset(self._check_data(data), task=self.task)
        if dataset.label_names != self.label_names:
            dataset = dataset.relabel(self.label_names)
        if data is not None and subset not in dataset.subsets and len(dataset.subsets) == 1:
            self.progress.note(
                f"The data have no subset {subset!r}, so the test is on all of their {len(dataset)} images."
            )
            return dataset
        return dataset.subset(subset)

    def _verification_images(self) -> list[str]:
        if self._data is None or self.has_native_data:
            raise DataError(
                "The artefact is compared with the model on real images, and there are none. Give data to Engine, "
                "or images=[...] to export."
            )
        for subset in ("val", "test", "train"):
            if subset in self.dataset.subsets:
                paths = self.dataset.subset(subset).paths
                step = max(1, len(paths) // _VERIFY_IMAGES)
                return list(paths[::step][:_VERIFY_IMAGES])
        raise DataError("The data have no images to compare the artefact on.")

    def _artifact_dir(self, name: str) -> Path:
        if not name or Path(name).name != name or name.startswith("."):
            raise OptionError(f"name={name!r} must be the name of a folder, without slashes.")
        folder = self.work_dir / "artifacts"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise WorkDirError(f"work_dir={str(self.work_dir)!r} cannot be written ({error.strerror}).") from error
        return folder / name

    # --- checkpoints ---------------------------------------------------------------------------------------------

    def _select_state(self, checkpoint: str | Path | None) -> None:
        """Bring the model into the state that is asked for; without a wish and a run, it stays as it is."""
        wanted = self._chosen or self._own_checkpoint() if checkpoint is None else self._find_checkpoint(checkpoint)
        if wanted is None:
            self._build()
        elif wanted != self._state:
            self._load_state(wanted)
            self._state = wanted

    def _own_checkpoint(self) -> Path | None:
        """The checkpoint that the model was given as, if it was."""
        model: Any = self.resolution.model
        if not isinstance(model, Path) or model.suffix in self.spec.suffixes:
            return None
        if model.is_dir():
            return self._recorded.state() if self._recorded.directory is not None else None
        return model

    def _find_checkpoint(self, checkpoint: str | Path) -> Path:
        if checkpoint not in ("best", "last"):
            return checkpoint_file(checkpoint)
        found = self._recorded.checkpoint(str(checkpoint), self._work_dir)
        if found is None:
            raise CheckpointNotFoundError(
                f"checkpoint={checkpoint!r}: the run in {str(self.work_dir)!r} has none. Train first, or give a path."
            )
        return found

    def _check_data(self, data: Any) -> Any:
        if isinstance(data, str | Path) and not Path(data).expanduser().exists():
            from drivetrain.errors import DataNotFoundError

            raise DataNotFoundError(
                f"data={str(data)!r} does not exist. Give a folder, a file or a zip that is there. "
                f"Looked in: {Path.cwd()}"
            )
        return data
