"""The processes of one training on several devices: which of them this is, and starting those of this machine."""

from __future__ import annotations

import os
import platform
import signal
import socket
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

from drivetrain import errors
from drivetrain.errors import DrivetrainError, OptionError
from drivetrain.launch.worker import Failure, Worker, next_speaker
from drivetrain.machine.openmp import child_environment

#: How a rank says that it failed only because another one did.
LOST = "has lost the other ranks"
_NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
_OF_A_NODE = ("NODE_RANK", "MASTER_ADDR", "MASTER_PORT")
#: Seconds after the first failure, and after an interruption, until ranks that have not ended are killed.
_GRACE = 20.0
_TAIL = 2000


@dataclass(frozen=True, slots=True)
class Ranks:
    """The place of this process among those of a training, as launchers such as ``torchrun`` state it.

    Attributes:
        rank: the number of this process, 0-based over all nodes.
        size: the number of processes.
        local_rank: its number on this node.
        local_size: the number of processes on this node.
    """

    rank: int
    size: int
    local_rank: int
    local_size: int

    @classmethod
    def here(cls) -> Self | None:
        """The place of this process; ``None`` if it trains alone.

        Raises:
            OptionError: a variable of the launcher is not a number.
        """
        if any(not os.environ.get(name) for name in _NAMES):
            return None
        size = _whole("WORLD_SIZE")
        if size < 2:
            return None
        local = _whole("LOCAL_WORLD_SIZE") if os.environ.get("LOCAL_WORLD_SIZE") else size
        return cls(_whole("RANK"), size, _whole("LOCAL_RANK"), local)

    @property
    def leads(self) -> bool:
        """Whether this process writes the run."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """The number of machines."""
        return max(1, self.size // self.local_size)

    def __str__(self) -> str:
        return f"rank {self.rank} of {self.size}"


class Group(Protocol):
    """The processes of a training, able to exchange values."""

    @property
    def ranks(self) -> Ranks:
        """The place of this process."""

    def share(self, make: Callable[[], Any] | None) -> Any:
        """The value that rank 0 makes, in every rank; an error that it raises there ends the other ranks too."""

    def gather(self, value: Any) -> list[Any]:
        """The value of each rank, in their order."""


def follows() -> bool:
    """Whether this process is a rank that neither writes nor says anything."""
    ranks = Ranks.here()
    return ranks is not None and not ranks.leads


def run_ranks(
    function: str,
    arguments: Sequence[Any],
    *,
    devices: int,
    nodes: int,
    hear: Callable[[Any], None],
) -> Any:
    """Start the ranks of this node, each in a process of its own, and wait for them.

    Args:
        function: ``"package.module:name"``, called in each with a channel and the arguments.
        arguments: anything picklable.
        devices: processes on this node.
        nodes: machines that take part; on each, the same call must be made.
        hear: receives the events that rank 0, or the first rank of the node, sends.

    Returns:
        What the first rank of this node returned.

    Raises:
        DrivetrainError: a rank failed; the message names it.
        KeyboardInterrupt: stopped by the user; every rank has ended.
    """
    places = _places(devices, nodes)
    with tempfile.TemporaryDirectory(prefix="drivetrain-ranks-") as folder:
        workers = [
            Worker(Path(folder) / f"{place['RANK']}.txt", environment={**child_environment(processes=devices), **place})
            for place in places
        ]
        try:
            for worker in workers:
                worker.start(function, *arguments)
            return _wait(workers, places, hear)
        finally:
            for worker in workers:
                worker.stop()


def _wait(workers: Sequence[Worker], places: Sequence[Mapping[str, str]], hear: Callable[[Any], None]) -> Any:
    """Wait for every rank; after the first failure, only as long as the others need to save what they have."""
    results: dict[int, Any] = {}
    failures: list[tuple[int, Failure]] = []
    until: float | None = None
    while any(worker.busy for worker in workers):
        try:
            left = None if until is None else max(0.0, until - time.monotonic())
            speakers = next_speaker(workers, left)
        except KeyboardInterrupt:
            until = time.monotonic() + _GRACE
            for worker in workers:
                _interrupt(worker.pid)
            continue
        if not speakers:
            break
        for worker in speakers:
            number = workers.index(worker)
            pid = worker.pid
            message = worker.receive()
            if message.kind == "event" and number == 0:
                hear(message.value)
            elif message.kind == "done":
                results[number] = message.value
            elif message.kind == "failed":
                failures.append((number, _named(message.value, pid)))
                worker.stop()  # so that ranks that wait for this one learn that it is gone
                until = until or time.monotonic() + _GRACE
    if failures or len(results) < len(workers):
        raise _first_cause(failures, workers, places)
    return results[0]


def _interrupt(pid: int | None) -> None:
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)


def _named(failure: Failure, pid: int | None) -> Failure:
    """A failure whose process ended by a signal, in words."""
    if failure.kind != "died":
        return failure
    return Failure("died", failure.text.replace("the worker process", "its process"), failure.out_of_memory, str(pid))


def _first_cause(
    failures: Sequence[tuple[int, Failure]], workers: Sequence[Worker], places: Sequence[Mapping[str, str]]
) -> BaseException:
    """The error of the rank that failed by itself, not because another one did; it names the rank."""
    causes = [item for item in failures if LOST not in item[1].text] or list(failures)
    if not causes:
        return DrivetrainError("The ranks of the training did not end when they were asked to, and were killed.")
    number, failure = min(causes, key=lambda item: (item[1].kind != "died", item[1].kind == "TrainingInterrupted"))
    if failure.kind == "TrainingInterrupted":
        return errors.TrainingInterrupted(failure.text)
    where = f"Rank {places[number]['RANK']} of {places[number]['WORLD_SIZE']} on {platform.node()}"
    if failure.kind == "died":
        return DrivetrainError(f"{where} failed: {failure.text}")
    cls = getattr(errors, failure.kind, None)
    if isinstance(cls, type) and issubclass(cls, DrivetrainError):
        same = number == 0 or cls is not DrivetrainError
        error: BaseException = cls(failure.text if same else f"{where} failed: {failure.text}")
        return error
    log = workers[number].log
    said = log.read_text(encoding="utf-8", errors="replace")[-_TAIL:].strip() if log.is_file() else ""
    return DrivetrainError(f"{where} failed with {failure}\n{said}".rstrip())


def _places(devices: int, nodes: int) -> list[dict[str, str]]:
    """The variables of each rank of this node.

    Raises:
        OptionError: there are several nodes, and this process does not know which of them this is.
    """
    node = 0
    address, port = "127.0.0.1", ""
    if nodes > 1:
        absent = [name for name in _OF_A_NODE if not os.environ.get(name)]
        if absent:
            raise OptionError(
                f"nodes={nodes} needs the variables {', '.join(_OF_A_NODE)}, which say where the nodes meet; not set: "
                f"{', '.join(absent)}. Set them on each node, or start the same command on each by torchrun."
            )
        node, address, port = _whole("NODE_RANK"), os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"]
        if node >= nodes:
            raise OptionError(f"NODE_RANK={node} must be below nodes={nodes}.")
    port = port or str(_free_port())
    common = {
        "WORLD_SIZE": str(devices * nodes),
        "LOCAL_WORLD_SIZE": str(devices),
        "MASTER_ADDR": address,
        "MASTER_PORT": port,
        "GROUP_RANK": str(node),
    }
    return [{**common, "RANK": str(node * devices + local), "LOCAL_RANK": str(local)} for local in range(devices)]


def _free_port() -> int:
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        port: int = place.getsockname()[1]
        return port


def _whole(name: str) -> int:
    """A number from a variable of the launcher.

    Raises:
        OptionError: it is not one.
    """
    text = os.environ[name]
    if not text.isdigit():
        raise OptionError(f"{name}={text!r}, set by the launcher of this process, must be a whole number.")
    return int(text)
