"""Running a search: assign trials to workers, stop the bad ones, record the results."""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivetrain.errors import DrivetrainError, TrainingInterrupted, WorkDirError
from drivetrain.launch.worker import Failure, Message, Worker, next_speaker
from drivetrain.machine.openmp import child_environment
from drivetrain.runs.place import check_for_search
from drivetrain.runs.progress import SilentProgress
from drivetrain.runs.run import Run, file_name, plain
from drivetrain.tuning import outputs
from drivetrain.tuning.search_options import SearchOptions
from drivetrain.tuning.space import applied, check_space, flat, parse_space
from drivetrain.tuning.study import Proposal, Study
from drivetrain.tuning.subject import SearchSubject
from drivetrain.tuning.trial import TrialOrder
from drivetrain.types import TrialRecord, TuneResult
from drivetrain.types.options import TrainOptions

_TRIAL = "drivetrain.tuning.trial:run"
_ENOUGH_FAILURES = 3
_GRACE_SECONDS = 10.0
_TIME_IS_OVER = "the time budget is exhausted"
_WORSE = "others were better by then"


def search(
    subject: SearchSubject, options: TrainOptions, how: SearchOptions, folder: Path | None, *, overwrite: bool = False
) -> TuneResult:
    """Find the best values in the space; a search that was killed is resumed.

    Args:
        subject: the engine whose model and data are used.
        options: the options that are the same for all trials.
        how: how to search.
        folder: where everything is written; ``None`` for a folder below ``runs/`` determined by the search itself.
        overwrite: start over if the folder already holds a search.

    Returns:
        The best values, and every trial.

    Raises:
        OptionError: the space names something that is not an option, or contains values that are not allowed.
        WorkDirError: the folder holds another search, or another process holds it.
        DrivetrainError: no trial gave a result.
        TrainingInterrupted: stopped by Ctrl-C; the same call continues the search.
    """
    given = how.space if how.space is not None else subject.space
    space = parse_space(given)
    setup = subject.setup
    check_space(space, options, setup.model_args, subject.model_arguments)
    for end in (0, -1):
        subject.check(applied({name: domain.corners[end] for name, domain in space.items()}, options)[0])
    metric = options.metric or subject.main_metric()
    definition = plain({**subject.identity, "options": options.given(), "space": dict(flat(given)), "metric": metric})
    folder = folder or _default_folder(definition)
    check_for_search(folder)
    lock = Run.open(folder, SilentProgress())
    try:
        if overwrite:
            outputs.clear(folder)
        repeatable = bool(options.deterministic)
        with _open_workers(folder, how.workers, repeatable=repeatable, needs=(_TRIAL, setup.engine)) as workers:
            epochs = options.max_epochs
            study = Study(folder / outputs.JOURNAL, space, metric, how, seed=options.seed, max_epochs=epochs)
            _require_same(study.definition, definition, folder)
            study.define(definition)
            return _Search(subject, options, how, folder, study, workers).run(definition)
    finally:
        lock.release()


@contextlib.contextmanager
def _open_workers(folder: Path, count: int, *, repeatable: bool, needs: Sequence[str]) -> Iterator[list[Worker]]:
    """Open workers that share the free cores, and import what they need while this process opens the study."""
    environment = child_environment(processes=count, repeatable=repeatable)
    logs = [folder / "workers" / f"{number}.log" for number in range(count)]
    workers = [Worker(log, environment=environment, needs=needs) for log in logs]
    try:
        for worker in workers:
            worker.open()
        yield workers
    finally:
        for worker in workers:
            worker.stop()


def _default_folder(definition: Mapping[str, Any]) -> Path:
    """A folder name derived from the search, so that repeating a command continues it."""
    digest = hashlib.sha256(json.dumps(definition, sort_keys=True).encode()).hexdigest()[:8]
    return (Path("runs") / f"tune-{file_name(str(definition['model']))}-{digest}").absolute()


def _require_same(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    """Refuse to continue a search that differs from this one.

    Raises:
        WorkDirError: the message names the difference.
    """
    different = [name for name in now if name in before and before[name] != now[name]]
    if different:
        name = different[0]
        raise WorkDirError(
            f"work_dir={str(folder)!r} holds a search with another {name} ({before[name]!r}, now {now[name]!r}). Start "
            "over with overwrite=True, or give another work_dir."
        )


@dataclass(slots=True)
class _Job:
    """A trial that a worker is running."""

    proposal: Proposal
    began: float
    stopped: str = ""
    training_seconds: float = 0.0


class _Search:
    """A running search."""

    def __init__(
        self,
        subject: SearchSubject,
        options: TrainOptions,
        how: SearchOptions,
        folder: Path,
        study: Study,
        workers: Sequence[Worker],
    ) -> None:
        self.subject, self.options, self.how, self.folder, self.study = subject, options, how, folder, study
        self.workers = workers
        self.setup = subject.setup
        self.jobs: dict[Worker, _Job] = {}
        self.began = time.monotonic()

    def run(self, definition: Mapping[str, Any]) -> TuneResult:
        """Run all remaining trials."""
        self._say_where()
        try:
            while self._feed():
                self._listen()
        except KeyboardInterrupt as error:
            raise TrainingInterrupted(
                f"The search was stopped after {self.study.count()} trials. Repeat the command with "
                f"work_dir={str(self.folder)!r} to continue."
            ) from error
        return self._result(definition)

    def _say_where(self) -> None:
        again = self.study.retry_interrupted()
        done = self.study.count()
        more = f"; {again} interrupted ones are repeated" if again else ""
        state = f"continues after {done} trials{more}" if done or again else "starts"
        self.subject.progress.note(
            f"The search {state}: {self.how.trials} trials by {self.study.metric} in {self.folder}"
        )
        if threads := self.workers[0].environment.get("OMP_NUM_THREADS"):
            self.subject.progress.note(f"Threads in each of {len(self.workers)} worker processes: {threads}.")
        if pruning := self.how.what_pruning_does(self.options.max_epochs):
            self.subject.progress.note(pruning)

    # --- assigning work ------------------------------------------------------------------------------------------

    def _feed(self) -> bool:
        """Give every idle worker a trial; return whether any worker is busy."""
        for worker in self.workers:
            while worker not in self.jobs and self._goes_on():
                proposal = self.study.ask()
                twin = self.study.twin(proposal)
                if twin is not None:
                    self._answer_by(twin, proposal)
                    continue
                self._start(worker, proposal)
        return bool(self.jobs)

    def _goes_on(self) -> bool:
        return self.study.count() < self.how.trials and not self._is_late() and not self.study.is_exhausted()

    def _is_late(self, grace: float = 0.0) -> bool:
        budget = self.how.time_budget
        return budget is not None and time.monotonic() - self.began > budget + grace

    def _start(self, worker: Worker, proposal: Proposal) -> None:
        self.jobs[worker] = _Job(proposal, time.monotonic())
        try:
            options, model_args = applied(proposal.values, self.options)
            self.subject.check(options)
        except DrivetrainError as error:
            self._fail(worker, Failure.of(error))
            return
        worker.start(
            _TRIAL,
            TrialOrder(
                self.setup.with_model_args(model_args),
                options,
                proposal.values,
                self.study.metric,
                outputs.trial_folder(self.folder, proposal.number),
            ),
        )

    def _answer_by(self, twin: TrialRecord, proposal: Proposal) -> None:
        """Copy the outcome of a trial with the same values, which would train in the same way."""
        self.study.copy(twin, proposal.number)
        self._tell(proposal.number, f"the same values as trial {twin.number}")

    # --- receiving messages --------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """Handle messages from all workers that have sent one; wait for the first."""
        timeout = None if self.how.time_budget is None else 1.0
        for worker in next_speaker(self.workers, timeout):
            self._hear(worker, worker.receive())
        if self._is_late(grace=max(_GRACE_SECONDS, 0.1 * (self.how.time_budget or 0.0))):
            for worker, job in list(self.jobs.items()):
                worker.stop()
                self._end_early(worker, job, f"{_TIME_IS_OVER}, in the middle of an epoch")

    def _hear(self, worker: Worker, message: Message) -> None:
        job = self.jobs[worker]
        number, seconds = job.proposal.number, time.monotonic() - job.began
        if message.kind == "question":
            told = message.value
            job.training_seconds = told["training_seconds"]
            is_worse = self.study.report(number, told["epoch"], told["value"])
            job.stopped = "" if told["is_last"] else _TIME_IS_OVER if self._is_late() else _WORSE if is_worse else ""
            worker.answer(job.stopped)
        elif message.kind == "done":
            del self.jobs[worker]
            self.study.finish(number, message.value, seconds)
            self._tell(number)
        elif message.kind == "failed" and message.value.kind == "TrialPruned":
            self._end_early(worker, job, job.stopped)
        elif message.kind == "failed":
            self._fail(worker, message.value)

    def _end_early(self, worker: Worker, job: _Job, why: str) -> None:
        del self.jobs[worker]
        self.study.prune(job.proposal.number, why, time.monotonic() - job.began, job.training_seconds)
        self._tell(job.proposal.number)

    def _fail(self, worker: Worker, failure: Failure) -> None:
        job = self.jobs.pop(worker)
        self.study.fail(job.proposal.number, failure, time.monotonic() - job.began)
        self._tell(job.proposal.number)
        self._require_hope()

    def _require_hope(self) -> None:
        """Stop the search if every trial so far has failed in the same way.

        Raises:
            DrivetrainError: the message has the error.
        """
        records = [record for record in self.study.records() if record.state not in ("running", "interrupted")]
        errors = {record.error for record in records}
        if (
            len(records) >= _ENOUGH_FAILURES
            and all(record.state == "failed" for record in records)
            and len(errors) == 1
        ):
            raise DrivetrainError(
                f"The first {len(records)} trials all failed in the same way: {errors.pop()} The search was stopped; "
                f"the output of the trials is in {self.folder / 'workers'}."
            )

    # --- results -------------------------------------------------------------------------------------------------

    def _tell(self, number: int, more: str = "") -> None:
        """Display the outcome of a trial, update the best configuration, and delete weights no longer needed."""
        records, best = self.study.records(), self.study.best()
        record = records[number]
        value = "" if record.value is None else f" {self.study.metric} {record.value:.4g}"
        values = ", ".join(f"{name}={_short(item)}" for name, item in record.values.items())
        why = more or record.error.partition("\n")[0]
        tail = f" ({why})" if why else ""
        leader = f"; best: trial {best.number} with {best.value:.4g}" if best is not None else ""
        self.subject.progress.note(f"trial {number} {record.state}:{value} {values}{tail}{leader}")
        if best is not None and best.number == number:
            options, model_args = applied(best.values, self.options)
            config = _with_model_args(self.subject.config(options), model_args)
            outputs.write_config(self.folder / outputs.BEST, config, best, self.study.metric)
        outputs.forget_weights(self.folder, records, best)

    def _result(self, definition: Mapping[str, Any]) -> TuneResult:
        best = self.study.best()
        records = self.study.records()
        if best is None:
            errors = [f"trial {row.number}: {row.error.partition(chr(10))[0]}" for row in records if row.error]
            raise DrivetrainError(f"None of {len(records)} trials gave a result: {'; '.join(errors[:3]) or 'no time'}.")
        result = TuneResult(
            best=best.values,
            value=float(best.value or 0.0),
            metric=self.study.metric,
            trials=records,
            importances=self.study.importances(),
            config=self.folder / outputs.BEST,
            best_checkpoint=_checkpoint(outputs.trial_folder(self.folder, best.number)),
            work_dir=self.folder,
        )
        outputs.write_results(self.folder, result, definition, wall_seconds=time.monotonic() - self.began)
        return result


def _checkpoint(trial: Path) -> Path | None:
    found = [path for which in ("best", "last") for path in sorted((trial / "checkpoints").glob(f"{which}.*"))]
    return found[0] if found else None


def _with_model_args(config: Mapping[str, Any], model_args: Mapping[str, Any]) -> dict[str, Any]:
    both = {**(config.get("model_args") or {}), **model_args}
    return {**config, **({"model_args": both} if both else {})}


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
