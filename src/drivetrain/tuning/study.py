"""The trials of a search, stored in a journal so that a search that was killed can be resumed."""

from __future__ import annotations

import contextlib
import itertools
import math
import random
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drivetrain.errors import WorkDirError
from drivetrain.launch.worker import Failure
from drivetrain.machine.packages import require
from drivetrain.runs.run import plain
from drivetrain.tuning.search_options import HALVING, MEDIAN_STARTS_AFTER, SearchOptions
from drivetrain.tuning.space import Domain, OneOf, Space
from drivetrain.tuning.trial import TrialOutcome
from drivetrain.types.options import MAX_SEED
from drivetrain.types.results import TrialRecord, TrialState, lower_is_better

if TYPE_CHECKING:
    import optuna

_NAME = "drivetrain"
_FIRST_SHARE = 18  # trials are first compared after one 18th of their epochs; later saves less and finds the same


@dataclass(frozen=True, slots=True)
class Proposal:
    """A trial to run: its number and its values."""

    number: int
    values: dict[str, Any]


class Study:
    """The trials of one search.

    Args:
        journal: the journal file; created, or read if it exists.
        space: what is searched.
        metric: the metric that trials are compared by.
        how: how to search.
        seed: the seed of the sampler.
        max_epochs: epochs per trial, if known.

    Raises:
        MissingDependencyError: Optuna is not installed.
        WorkDirError: the journal is damaged.
    """

    def __init__(
        self, journal: Path, space: Space, metric: str, how: SearchOptions, *, seed: int, max_epochs: int | None
    ) -> None:
        self._optuna = require("optuna", "tune", purpose="Searching options")
        self.space, self.metric = space, metric
        self.minimizes = lower_is_better(metric)
        with self._quiet():
            storage = self._storage(journal)
            trials = self._trials_in(storage)
            self._study: optuna.Study = self._optuna.create_study(
                storage=storage,
                study_name=_NAME,
                load_if_exists=True,
                direction="minimize" if self.minimizes else "maximize",
                sampler=self._sampler(how, (seed + trials) % (MAX_SEED + 1), trials),
                pruner=self._pruner(how, max_epochs),
            )
        self._open: dict[int, optuna.trial.Trial] = {}
        self._distributions = {name: self._distribution(domain) for name, domain in space.items()}
        if self._combinations <= how.trials:
            self._plan_all(seed)

    @property
    def _combinations(self) -> float:
        """The number of combinations of values."""
        return math.prod(domain.size for domain in self.space.values())

    def _plan_all(self, seed: int) -> None:
        """Enqueue every combination of a small space, in an order determined by the seed."""
        rows = list(itertools.product(*(domain.all_values for domain in self.space.values())))
        random.Random(seed).shuffle(rows)  # noqa: S311  (an order, not a secret)
        with self._quiet():
            for row in rows:
                values = {name: _encoded(value) for name, value in zip(self.space, row, strict=True)}
                self._study.enqueue_trial(values, skip_if_exists=True)

    # --- definition ----------------------------------------------------------------------------------------------

    @property
    def definition(self) -> dict[str, Any]:
        """The definition of the search, as first stored; empty for a new one."""
        found: dict[str, Any] = self._study.user_attrs.get("definition", {})
        return found

    def define(self, definition: Mapping[str, Any]) -> None:
        """Store the definition of the search."""
        self._study.set_user_attr("definition", plain(definition))

    def retry_interrupted(self) -> int:
        """Enqueue the trials that were running when the search was killed; return how many there are."""
        states = self._optuna.trial.TrialState
        running = self._study.get_trials(deepcopy=False, states=(states.RUNNING,))
        with self._quiet():
            for trial in running:
                self._study.tell(trial.number, state=states.FAIL)
                self._study.enqueue_trial(trial.params)
        return len(running)

    # --- trials --------------------------------------------------------------------------------------------------

    def ask(self) -> Proposal:
        """The next values to try."""
        with self._quiet():
            trial = self._study.ask(self._distributions)
        self._open[trial.number] = trial
        return Proposal(trial.number, self._decoded(trial.params))

    def report(self, number: int, epoch: int, value: float) -> bool:
        """Record the metric after an epoch; return whether the trial is worse than others and should stop."""
        trial = self._open[number]
        with self._quiet():
            trial.report(value, epoch + 1)
            return trial.should_prune()

    def finish(self, number: int, outcome: TrialOutcome, seconds: float) -> None:
        """Record a trial that was trained to the end."""
        self._note(number, used=outcome.used, seconds=seconds, training_seconds=outcome.training_seconds)
        if math.isnan(outcome.value):
            self._end(number, "failed", error=f"{self.metric} is NaN in every epoch")
        else:
            self._end(number, "finished", value=outcome.value)

    def prune(self, number: int, why: str, seconds: float, training_seconds: float) -> None:
        """Record a trial that was stopped early."""
        self._note(number, error=why, seconds=seconds, training_seconds=training_seconds)
        self._end(number, "pruned")

    def fail(self, number: int, failure: Failure, seconds: float) -> None:
        """Record a trial that failed."""
        self._note(number, seconds=seconds)
        self._end(number, "out of memory" if failure.out_of_memory else "failed", error=str(failure))

    def copy(self, twin: TrialRecord, number: int) -> None:
        """Record for a trial the outcome of another with the same values."""
        self._note(number, used=twin.used, error=f"the same values as trial {twin.number}, so it was not trained again")
        self._end(number, "finished", value=twin.value)

    def is_exhausted(self) -> bool:
        """Whether every combination of a small space has been started."""
        begun = {repr(row.values) for row in self.records() if row.state != "interrupted"}
        return len(begun) >= self._combinations

    def twin(self, proposal: Proposal) -> TrialRecord | None:
        """A finished trial with the same values, which would train identically."""
        return next((row for row in self.records() if row.state == "finished" and row.values == proposal.values), None)

    def _note(self, number: int, **facts: Any) -> None:
        for name, value in facts.items():
            self._open[number].set_user_attr(name, plain(value))

    def _end(self, number: int, state: TrialState, *, value: float | None = None, error: str = "") -> None:
        self._note(number, state=state, **({"error": error} if error else {}))
        states = self._optuna.trial.TrialState
        # a trial that ran out of memory counts as a bad result, so that the sampler learns to avoid it
        told = {"finished": states.COMPLETE, "failed": states.FAIL}.get(state, states.PRUNED)
        with self._quiet():
            self._study.tell(self._open.pop(number), value, state=told)

    # --- results -------------------------------------------------------------------------------------------------

    def records(self) -> tuple[TrialRecord, ...]:
        """Every trial that was started, in order."""
        states = self._optuna.trial.TrialState
        trials = self._study.get_trials(deepcopy=False)
        return tuple(self._record(trial) for trial in trials if trial.state != states.WAITING)

    def count(self) -> int:
        """How many trials were started, not counting those interrupted by a kill."""
        return sum(record.state != "interrupted" for record in self.records())

    def best(self) -> TrialRecord | None:
        """The best trial that was trained to the end; without one, the best that was stopped early."""
        records = self.records()
        for state in ("finished", "pruned"):
            rows = [row for row in records if row.state == state and row.value is not None]
            if rows:
                sign = 1.0 if self.minimizes else -1.0
                return min(rows, key=lambda row: (sign * (row.value or 0.0), row.number))
        return None

    def importances(self) -> dict[str, float]:
        """How much each option matters, as fractions of 1; empty if there are too few trials to tell."""
        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator
        finished = [row for row in self.records() if row.state == "finished"]
        if len(self.space) < 2 or len(finished) < 4 or len({row.value for row in finished}) < 2:
            return {}
        with self._quiet():
            found = self._optuna.importance.get_param_importances(self._study, evaluator=evaluator())
        return {name: float(share) for name, share in found.items()}

    def _record(self, trial: optuna.trial.FrozenTrial) -> TrialRecord:
        notes = trial.user_attrs
        curve = tuple((step - 1, value) for step, value in sorted(trial.intermediate_values.items()))
        finite = [value for _, value in curve if not math.isnan(value)]
        reached = (min if self.minimizes else max)(finite) if finite else None
        is_running = trial.state == self._optuna.trial.TrialState.RUNNING
        state: TrialState = "running" if is_running else notes.get("state", "interrupted")
        return TrialRecord(
            number=trial.number,
            state=state,
            values=self._decoded(trial.params),
            value=trial.value if state == "finished" else reached,
            curve=curve,
            used=notes.get("used", {}),
            seconds=notes.get("seconds", 0.0),
            training_seconds=notes.get("training_seconds", 0.0),
            error=notes.get("error", ""),
        )

    # --- Optuna --------------------------------------------------------------------------------------------------

    def _storage(self, journal: Path) -> Any:
        """The journal, repaired if its writer was killed: the caller holds the folder's lock, so nobody is writing."""
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
        if journal.is_file():
            content = journal.read_bytes()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):
                with journal.open("r+b") as file:
                    file.truncate(whole)
        journals = self._optuna.storages.journal
        try:
            return self._optuna.storages.JournalStorage(journals.JournalFileBackend(str(journal)))
        except (ValueError, KeyError) as error:
            raise WorkDirError(
                f"{str(journal)!r} cannot be read ({error}). Start the search over with overwrite=True, or give "
                "another work_dir."
            ) from error

    def _trials_in(self, storage: Any) -> int:
        names = self._optuna.get_all_study_names(storage)
        return len(self._optuna.load_study(storage=storage, study_name=_NAME).trials) if _NAME in names else 0

    def _sampler(self, how: SearchOptions, seed: int, known: int) -> Any:
        samplers = self._optuna.samplers
        if how.sampler == "random":
            return samplers.RandomSampler(seed=seed)
        first = max(4, min(10, how.trials // 4))
        return samplers.TPESampler(seed=seed, n_startup_trials=max(0, first - known), constant_liar=how.workers > 1)

    def _pruner(self, how: SearchOptions, max_epochs: int | None) -> Any:
        pruners = self._optuna.pruners
        if how.pruner == "halving":
            first = max(1, (max_epochs or 1) // _FIRST_SHARE)
            return pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=HALVING)
        if how.pruner == "median":
            return pruners.MedianPruner(n_startup_trials=MEDIAN_STARTS_AFTER, n_warmup_steps=1)
        return pruners.NopPruner()

    def _distribution(self, domain: Domain) -> Any:
        distributions = self._optuna.distributions
        if isinstance(domain, OneOf):
            return distributions.CategoricalDistribution(tuple(_encoded(value) for value in domain.values))
        if domain.is_whole:
            return distributions.IntDistribution(
                int(domain.low), int(domain.high), log=domain.log, step=domain.step or 1
            )
        return distributions.FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)

    def _decoded(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """The values as written in the space, in its order."""
        found = {}
        for name, domain in self.space.items():
            if name in params:
                value = params[name]
                known = {_encoded(item): item for item in domain.values} if isinstance(domain, OneOf) else {}
                found[name] = known.get(value, value)
        return found

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Silence Optuna's warnings about experimental features and its log of each trial."""
        before = self._optuna.logging.get_verbosity()
        self._optuna.logging.set_verbosity(self._optuna.logging.ERROR)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            self._optuna.logging.set_verbosity(before)


def _encoded(value: Any) -> Any:
    """The value in a form that Optuna accepts: pairs become strings."""
    return repr(value) if isinstance(value, tuple) else value
