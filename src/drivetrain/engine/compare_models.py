"""Compare models of any framework: the same data, the same budget, the same metrics, one table and one page."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.engine.compared_run import CompareOrder, is_taken_as_it_is
from drivetrain.errors import DrivetrainError, ModelError, OptionError, TrainingInterrupted, WorkDirError, near
from drivetrain.types.comparison import ComparedModel, Comparison
from drivetrain.types.options import check_at_least
from drivetrain.types.task import Task

if TYPE_CHECKING:
    from drivetrain.data import Dataset
    from drivetrain.launch.worker import Worker
    from drivetrain.runs.progress import Progress

RECORD, REPORT, MODELS = "comparison.json", "report.html", "models"
_JOB = "drivetrain.engine.compared_run:run"
_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FEWEST = 2


def compare(
    models: str | Sequence[str | Path],
    data: Any,
    *,
    budget: str | float | None = None,
    max_epochs: int | None = None,
    image_size: int | tuple[int, int] | None = None,
    seed: int | None = None,
    metric: str | None = None,
    optimize: bool = False,
    task: str | None = None,
    device: str | None = None,
    work_dir: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    timing_seconds: float = 3.0,
    progress: Progress | None = None,
) -> Comparison:
    """Train, test, export and benchmark models of any framework on the same data, and write one page about them.

    Each model is trained in its own process, one by one; a model that fails gets a row with the reason. Accuracy,
    latency and size in a row belong to the same file, the exported artefact. Finished runs, checkpoints and
    artefacts among the models are not trained again.

    Args:
        models: names, recipes and paths, as a list or as one comma-separated text.
        data: a folder, file or zip, or a :class:`drivetrain.Dataset`; split once, so that all models see the same
            training, validation and test images.
        budget: total training time, such as ``"30m"``, ``"2h"`` or seconds. Each model gets an equal share,
            and trains for as many epochs as fit, judging by its first one; testing, exporting and timing are extra.
        max_epochs: epochs per model, or the maximum within a budget; by default each engine's own.
        image_size: the input size of all trained models; by default each engine's own.
        seed: the seed of everything random.
        metric: the metric to rank by; by default the task's main metric.
        optimize: add an INT8 row for each model.
        task: the task to train for; by default inferred from the data.
        device: the device to train on.
        work_dir: the folder for the runs, ``comparison.json`` and ``report.html``; by default new, below ``runs/``.
        resume: continue the comparison in the work dir; finished models are kept.
        overwrite: replace the comparison in the work dir.
        timing_seconds: the time for each stage of each model's benchmark.
        progress: receives the progress; by default nothing is shown.

    Returns:
        The rows; ``report`` is the page.

    Raises:
        ModelError: one of the names is unknown to every engine.
        OptionError: an option has a value that is not allowed.
        DataError: the data cannot be used.
        WorkDirError: the work dir is in use or contains another comparison.
        TrainingInterrupted: stopped by Ctrl-C; the same call with ``resume=True`` continues.
        DrivetrainError: none of the models could be measured.
    """
    names, seconds = _names(models), parse_budget(budget)
    check_at_least("max_epochs", max_epochs, 1)
    engines = _require_known(names)
    subject = _subject(data, task)
    options = {"max_epochs": max_epochs, "image_size": image_size, "seed": seed}
    order = partial(
        CompareOrder,
        data=subject.data,
        test_data=subject.test_data,
        task=subject.task,
        device=device,
        options=options,
        seconds=_share(seconds, names),
        optimize=optimize,
        timing_seconds=timing_seconds,
    )
    asked = {"models": names, "budget": seconds, "optimize": optimize, "options": options}
    settings = {**asked, "data": subject.dataset.source, "task": subject.task.value}
    from drivetrain.runs.progress import SilentProgress
    from drivetrain.runs.run import Run

    folder = _folder(work_dir, subject.dataset)
    lock = Run.open(folder, SilentProgress())
    try:
        done = _begin(folder, settings, names, resume=resume, overwrite=overwrite)
        rows = _run_all(folder, settings, engines, done, order, progress or SilentProgress())
        comparison = Comparison(
            models=tuple(rows),
            task=subject.task,
            metric=_metric(rows, subject.task, metric),
            source=str(subject.dataset.source),
            images=len(subject.test_data),
            work_dir=folder,
            budget=seconds,
        )
        _write(comparison, subject.test_data)
        return comparison
    finally:
        lock.release()


@dataclass(frozen=True, slots=True)
class _Subject:
    """The data that the models are compared on.

    Attributes:
        data: the data as given, for training; each engine reads and splits them in the same way.
        dataset: the same data, split.
        test_data: its test images.
        task: the task that the data are annotated for.
    """

    data: Any
    dataset: Dataset
    test_data: Dataset
    task: Task


def _subject(data: Any, task: str | None) -> _Subject:
    from drivetrain.data import load_dataset

    dataset = load_dataset(data, task=task).with_splits()
    test_data = dataset.subset("test" if "test" in dataset.subsets else "val")
    given = data if isinstance(data, str | Path) else dataset
    return _Subject(given, dataset, test_data, dataset.task if task is None else Task.parse(task))


def _share(seconds: float | None, names: Sequence[str]) -> float | None:
    """Each trained model's share of a budget."""
    trained = sum(not is_taken_as_it_is(name) for name in names)
    return None if seconds is None else seconds / max(1, trained)


def parse_budget(budget: str | float | None) -> float | None:
    """Convert ``"30m"``, ``"1.5h"``, ``"90s"`` or a number of seconds to seconds.

    Raises:
        OptionError: it is none of these.
    """
    if budget is None:
        return None
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h)?\s*", str(budget).lower())
    seconds = float(found[1]) * _UNITS[found[2] or "s"] if found and not isinstance(budget, bool) else 0.0
    if seconds <= 0:
        raise OptionError(f"budget={budget!r} must be a time above 0, such as '30m', '2h', '90s' or seconds.")
    return seconds


def _names(models: str | Sequence[str | Path]) -> list[str]:
    """The models as texts, without duplicates."""
    listed = models.split(",") if isinstance(models, str) else models
    wrong = next((model for model in listed if not isinstance(model, str | Path)), None)
    if wrong is not None:
        raise OptionError(
            f"models has a {type(wrong).__name__}; each model is trained in a process of its own, so give names "
            "(drivetrain find lists them), recipes or paths. Save an object's training as a run, and give its folder."
        )
    names = list(dict.fromkeys(str(model).strip() for model in listed))
    names = [name for name in names if name]
    if len(names) < _FEWEST:
        raise OptionError(f"models={models!r} names {len(names)} model; give at least two, with commas between.")
    return names


def _require_known(names: Sequence[str]) -> dict[str, str]:
    """The class path of each model's engine, ``""`` for recipes; all unknown names are reported together."""
    from drivetrain.models.resolve import resolve
    from drivetrain.recipes import list_recipes

    wrong: list[DrivetrainError] = []
    found = dict.fromkeys(names, "")
    for name in names:
        if name in list_recipes() or Path(name).suffix.lower() in (".yaml", ".yml"):
            continue
        try:
            found[name] = resolve(name).spec.class_path
        except DrivetrainError as error:
            wrong.append(error)
    if len(wrong) == 1:
        raise wrong[0]
    if wrong:
        raise ModelError("\n".join(str(error) for error in wrong))
    return found


def _folder(work_dir: str | Path | None, dataset: Dataset) -> Path:
    if work_dir is not None:
        return Path(work_dir).expanduser().absolute()
    from drivetrain.runs.run import default_work_dir

    return default_work_dir("compare", Path(dataset.source).name or "data")


def _begin(
    folder: Path, settings: Mapping[str, Any], names: Sequence[str], *, resume: bool, overwrite: bool
) -> dict[str, list[ComparedModel]]:
    """The rows finished by an earlier call, by model."""
    import shutil

    record = folder / RECORD
    if not record.is_file():
        if resume:
            raise WorkDirError(f"resume=True: work_dir={str(folder)!r} holds no comparison. Leave resume out.")
        return {}
    if overwrite:
        shutil.rmtree(folder / MODELS, ignore_errors=True)
        for name in (RECORD, REPORT):
            (folder / name).unlink(missing_ok=True)
        return {}
    if not resume:
        raise WorkDirError(
            f"work_dir={str(folder)!r} holds a comparison. Go on with it by resume=True, replace it by overwrite=True, "
            "or give another work_dir."
        )
    before = json.loads(record.read_text())
    plain = json.loads(json.dumps(settings))
    different = [name for name in plain if name != "models" and before["settings"].get(name) != plain[name]]
    if different:
        name = different[0]
        raise WorkDirError(
            f"work_dir={str(folder)!r} holds a comparison with another {name} ({before['settings'].get(name)!r}, now "
            f"{plain[name]!r}). Give the same, replace it by overwrite=True, or give another work_dir."
        )
    kept = {name: [ComparedModel.from_dict(row) for row in rows] for name, rows in before["rows"].items()}
    return {name: rows for name, rows in kept.items() if name in names and all(row.state == "finished" for row in rows)}


def _run_all(
    folder: Path,
    settings: Mapping[str, Any],
    engines: Mapping[str, str],
    done: Mapping[str, list[ComparedModel]],
    order: partial[CompareOrder],
    progress: Progress,
) -> list[ComparedModel]:
    """Process one model after the other, and save the rows after each."""
    from drivetrain.launch.worker import Worker
    from drivetrain.machine.files import write_text
    from drivetrain.runs.run import file_name, plain

    rows = {name: list(done.get(name, ())) for name in engines}

    def save() -> None:
        content = {
            "settings": settings,
            "rows": {name: [asdict(row) for row in found] for name, found in rows.items()},
        }
        write_text(folder / RECORD, json.dumps(plain(content), indent=2, allow_nan=False) + "\n")

    save()
    for number, (name, engine) in enumerate(engines.items()):
        if rows[name]:
            progress.note(f"[{number + 1}/{len(engines)}] {name}: finished before.")
            continue
        place = folder / MODELS / f"{number + 1:02d}-{file_name(_shown(name))}"
        worker = Worker(place / "log.txt", needs=[part for part in (_JOB, engine) if part])
        try:
            head = f"[{number + 1}/{len(engines)}] {name}"
            rows[name] = _run_one(worker, order(name=_shown(name), model=name, folder=place), head, progress)
        except KeyboardInterrupt as error:
            raise TrainingInterrupted(
                f"The comparison was stopped at {name}. Go on with it: resume=True, work_dir={str(folder)!r}."
            ) from error
        finally:
            worker.stop()
        save()
    return _distinct([row for found in rows.values() for row in found])


def _run_one(worker: Worker, order: CompareOrder, head: str, progress: Progress) -> list[ComparedModel]:
    """The rows of a model; if it failed, one row with the reason."""
    progress.note(f"{head}: starting.")
    worker.start(_JOB, order)
    while True:
        message = worker.receive()
        if message.kind == "done":
            found: list[ComparedModel] = message.value
            return found
        if message.kind == "failed":
            progress.note(f"{head}: failed. {message.value}")
            return [ComparedModel(order.name, state="failed", error=str(message.value), work_dir=str(order.folder))]
        progress.note(f"{head}: {message.value}")


def _shown(name: str) -> str:
    """A model's name for its row: for a path, the last two parts."""
    path = Path(name).expanduser()
    return "/".join(path.absolute().parts[-2:]) if path.exists() else name


def _distinct(rows: Sequence[ComparedModel]) -> list[ComparedModel]:
    seen: dict[str, int] = {}
    found = []
    for row in rows:
        seen[row.name] = seen.get(row.name, 0) + 1
        found.append(row if seen[row.name] == 1 else replace(row, name=f"{row.name} ({seen[row.name]})"))
    return found


def _metric(rows: Sequence[ComparedModel], task: Task, metric: str | None) -> str:
    """The metric to rank by.

    Raises:
        DrivetrainError: no model has any.
        OptionError: no model has the requested one.
    """
    known = list(dict.fromkeys(name for row in rows for name in row.metrics))
    if not known:
        reasons = "\n".join(f"  {row.name}: {row.error}" for row in rows)
        raise DrivetrainError(f"None of the models could be measured:\n{reasons}")
    if metric is not None and metric not in known:
        raise OptionError(f"metric={metric!r} is none of {', '.join(known)}.{near(metric, known)}")
    return metric or (task.main_metric if task.main_metric in known else known[0])


def _write(comparison: Comparison, test_data: Dataset) -> None:
    from drivetrain.engine.compared_pictures import hard_images
    from drivetrain.report.comparison_page import write_comparison_page

    write_comparison_page(comparison.report, comparison, pictures=hard_images(comparison, test_data))
