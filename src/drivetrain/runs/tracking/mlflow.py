"""Tracking a run in MLflow."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from drivetrain.machine.packages import require
from drivetrain.runs.tracking.parameters import parameters

#: So that an unreachable server costs seconds rather than the minutes of MLflow's default retries.
_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "20"}
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "pruned": "KILLED", "failed": "FAILED"}
_LONGEST = 500
_NOT_ALLOWED = re.compile(r"[^\w\-./ :]")


class MLflow:
    """Logs to the server of ``MLFLOW_TRACKING_URI``, else to a database below ``tracking/mlflow`` in the work dir."""

    name = "mlflow"
    _client: Any = None
    _run_id = ""

    def begin(self, directory: Path, record: Mapping[str, Any], before: Mapping[str, Any]) -> dict[str, str]:
        """Open a run in the experiment ``MLFLOW_EXPERIMENT_NAME``, or continue the one that is resumed."""
        place = os.environ.get("MLFLOW_TRACKING_URI") or _local(directory / "tracking" / "mlflow")
        with _in_a_hurry():
            client = require("mlflow", "mlflow", purpose="logger='mlflow'").MlflowClient
            self._client = client(tracking_uri=place)
            if before.get("run_id") and before.get("uri") == place:
                self._run_id = before["run_id"]
                self._client.update_run(self._run_id, status="RUNNING")
            else:
                self._run_id = self._new_run(directory, record, place)
        return {"uri": place, "run_id": self._run_id}

    def _new_run(self, directory: Path, record: Mapping[str, Any], place: str) -> str:
        entities = require("mlflow.entities", "mlflow")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME", "drivetrain")
        experiment = self._client.get_experiment_by_name(name)
        if experiment is None:
            files = directory / "tracking" / "mlflow" / "files" if place.startswith("sqlite:") else None
            number = self._client.create_experiment(name, artifact_location=files.as_uri() if files else None)
        else:
            number = experiment.experiment_id
        run = self._client.create_run(number, run_name=directory.name, tags={"drivetrain.work_dir": str(directory)})
        params = [
            entities.Param(_NOT_ALLOWED.sub("_", key), value[:_LONGEST]) for key, value in parameters(record).items()
        ]
        for start in range(0, len(params), 100):
            self._client.log_batch(run.info.run_id, params=params[start : start + 100])
        return str(run.info.run_id)

    def log_epoch(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Send all metrics of the epoch in one request; characters that MLflow refuses become underscores."""
        metric = require("mlflow.entities", "mlflow").Metric
        now = int(time.time() * 1000)
        rows = [metric(_NOT_ALLOWED.sub("_", name), value, now, epoch) for name, value in metrics.items()]
        with _in_a_hurry():
            self._client.log_batch(self._run_id, metrics=rows)

    def log_file(self, path: Path, folder: str) -> None:
        """Log an artefact of the run."""
        with _in_a_hurry():
            self._client.log_artifact(self._run_id, str(path), folder)

    def log_picture(self, name: str, path: Path) -> None:
        """Log an artefact that MLflow displays as an image."""
        with _in_a_hurry():
            self._client.log_artifact(self._run_id, str(path), f"pictures/{Path(name).parent.as_posix()}")

    def close(self, status: str) -> None:
        """End the run."""
        with _in_a_hurry():
            self._client.set_terminated(self._run_id, _STATUS[status])


def _local(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'mlflow.db'}"


@contextlib.contextmanager
def _in_a_hurry() -> Iterator[None]:
    """Within the block, limit MLflow's retries (unless the user has set them) and silence its logs."""
    added = [name for name in _PATIENCE if name not in os.environ]
    os.environ.update({name: _PATIENCE[name] for name in added})
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        for name in added:
            os.environ.pop(name, None)
