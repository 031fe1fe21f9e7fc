"""Long-lived child processes that do one job after another and report their progress."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, Any, Literal

from drivetrain.errors import DrivetrainError, OptionError
from drivetrain.machine.openmp import child_environment
from drivetrain.machine.packages import import_object
from drivetrain.machine.resources import is_out_of_memory, yield_memory_first

_PARENT_CHECK_SECONDS = 1.0
_SERVE = "import sys; from drivetrain.launch.worker import serve; serve(int(sys.argv[1]), sys.argv[2:])"
_KILLED = "was killed from outside, most likely because the machine or its control group ran out of memory"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed.

    Attributes:
        kind: class of the error; ``"died"`` if the process has ended.
        text: its message.
        out_of_memory: whether it ran out of memory.
        traceback: for the record.
    """

    kind: str
    text: str
    out_of_memory: bool = False
    traceback: str = ""

    @classmethod
    def of(cls, error: BaseException) -> Failure:
        """The failure for an exception."""
        lines = "".join(traceback.format_exception(error))
        return cls(type(error).__name__, str(error), is_out_of_memory(error), lines)

    def __str__(self) -> str:
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True, slots=True)
class Message:
    """A message from a worker.

    Attributes:
        kind: an ``"event"``; a ``"question"``, which waits for :meth:`Worker.answer`; the result of a job that is
            ``"done"``; or the :class:`Failure` of one that ``"failed"``.
        value: the content.
    """

    kind: Literal["event", "question", "done", "failed"]
    value: Any


class Channel:
    """The job's end of the connection: it sends events and asks questions.

    Args:
        connection: the connection to the process that started the worker.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def tell(self, event: Any) -> None:
        """Send an event."""
        self.connection.send(Message("event", event))

    def ask(self, question: Any) -> Any:
        """Send a question and wait for the answer."""
        self.connection.send(Message("question", question))
        return self.connection.recv()


class Worker:
    """A child process, started with its first job and restarted if it died.

    It ends by itself when this process has ended. Ctrl-C in the terminal does not stop it; the process that started it
    decides.

    Args:
        log: file to which the output of the child is appended.
        environment: environment variables for the child in addition to those of this process; by default those that
            make its numerical libraries use the free cores.
        needs: objects ``"package.module:name"`` that the child imports before its first job.
    """

    def __init__(self, log: Path, *, environment: Mapping[str, str] | None = None, needs: Sequence[str] = ()) -> None:
        self.log, self.needs = log, tuple(needs)
        self.environment = child_environment() if environment is None else environment
        self.busy = False
        self._process: subprocess.Popen[bytes] | None = None
        self.connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The process id, while the process runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def open(self) -> None:
        """Start the process if it is not running, so that it imports what it needs while this one prepares the job."""
        if self.pid is None:
            self.stop()
            self._open()

    def start(self, function: str, *arguments: Any) -> None:
        """Start a job.

        Args:
            function: ``"package.module:name"``, called with a :class:`Channel` and the arguments.
            *arguments: anything picklable.

        Raises:
            OptionError: an argument cannot be sent to another process.
        """
        self.open()
        assert self.connection is not None
        try:
            self.connection.send((function, arguments))
        except (TypeError, AttributeError) as error:
            raise _unsendable(error) from error
        except Exception as error:
            if type(error).__name__ == "PicklingError":
                raise _unsendable(error) from error
            raise
        self.busy = True

    def answer(self, value: Any) -> None:
        """Answer a question; if the worker has died, :meth:`receive` finds out."""
        assert self.connection is not None
        with contextlib.suppress(BrokenPipeError):
            self.connection.send(value)

    def receive(self) -> Message:
        """Wait for the next message."""
        assert self.connection is not None
        try:
            message: Message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            message = Message("failed", self._bury())
        if message.kind in ("done", "failed"):
            self.busy = False
        return message

    def stop(self) -> None:
        """End the process immediately."""
        self.busy = False
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _open(self) -> None:
        ours, theirs = Pipe()
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own interpreter and module)
                [sys.executable, "-c", _SERVE, str(theirs.fileno()), *self.needs],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **self.environment},
            )
        theirs.close()
        self.connection = ours

    def _bury(self) -> Failure:
        assert self._process is not None
        code = self._process.wait()
        pid = self._process.pid
        self.stop()
        reason = _KILLED if code == -9 else f"ended with code {code}; see {self.log}"
        return Failure("died", f"the worker process {pid} {reason}.", out_of_memory=code == -9)


def next_speaker(workers: Sequence[Worker], timeout: float | None) -> list[Worker]:
    """Wait until a busy worker has something to say; return those that do.

    Args:
        workers: all workers.
        timeout: in seconds; ``None`` for no limit.
    """
    listening = {worker.connection: worker for worker in workers if worker.busy and worker.connection is not None}
    if not listening:
        return []
    return [
        listening[connection] for connection in wait(list(listening), timeout) if isinstance(connection, Connection)
    ]


def _unsendable(error: Exception) -> OptionError:
    return OptionError(
        f"The model or the data cannot be sent to a worker process ({error}). Give the model by its name or class "
        "path, and the data as a folder or file."
    )


# --- in the child ----------------------------------------------------------------------------------------------------


def serve(descriptor: int, needs: Sequence[str] = ()) -> None:
    """Do jobs until the other side closes the connection.

    Args:
        descriptor: file descriptor of the connection.
        needs: objects ``"package.module:name"`` to import before the first job.
    """
    connection = Connection(descriptor)
    threading.Thread(target=_leave_with, args=(os.getppid(),), daemon=True).start()
    yield_memory_first()
    for path in needs:
        try:
            import_object(path)
        except Exception:  # the job that needs it fails with the same error, which is then reported
            traceback.print_exc()
    while True:
        try:
            message = _do(connection)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return
        _flush(sys.stdout, sys.stderr)
        connection.send(message)


def _do(connection: Connection) -> Message:
    """Do one job; whatever it raises becomes its failure."""
    try:
        function, arguments = connection.recv()
    except (AttributeError, ImportError) as error:
        text = f"{error}. A class that is defined in the script itself must be moved to a module of its own."
        return Message("failed", Failure("OptionError", text))
    try:
        return Message("done", import_object(function)(Channel(connection), *arguments))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        raise
    except (Exception, KeyboardInterrupt) as error:
        if not isinstance(error, DrivetrainError):
            traceback.print_exc()
        return Message("failed", Failure.of(error))


def _leave_with(parent: int) -> None:
    """End this process when the one that started it has ended, even if that was killed."""
    while os.getppid() == parent:
        time.sleep(_PARENT_CHECK_SECONDS)
    os._exit(1)


def _flush(*streams: IO[str]) -> None:
    for stream in streams:
        stream.flush()
