"""The entry point of the command line: find the command, run it, and turn errors into messages and exit codes."""

# ruff: noqa: T201, ARG001  (this module prints to the terminal; showwarning has a fixed signature)

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from typing import TextIO

from drivetrain.cli.commands import commands
from drivetrain.cli.streams import open_closed_streams, patient_stderr
from drivetrain.errors import (
    ArtifactExistsError,
    DrivetrainError,
    ExportError,
    MissingDependencyError,
    OptionError,
    OutOfMemoryError,
    StorageError,
    near,
)

EXIT_CODES = """\
exit codes:
  0    done
  1    the work itself failed (also: the exported artefact's answers differ from the model's,
       the repeated run has a different result, doctor found a problem)
  2    wrong input: an option, config file, model, data set, checkpoint or work dir
  3    a package is missing; the message says how to install it
  130  stopped by Ctrl-C; training saves its last state first
  143  terminated by SIGTERM; otherwise like Ctrl-C"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command of drivetrain.

    Args:
        argv: the words after ``drivetrain``; by default those of the process.

    Returns:
        The exit code; see :data:`EXIT_CODES`.
    """
    open_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    ended: list[int] = []
    try:
        with patient_stderr(), _short_warnings(), _termination_as_interrupt(ended):
            code = _dispatch(arguments)
        sys.stdout.flush()
        return code
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    except KeyboardInterrupt as error:
        return _fail(error, str(error) or "Stopped.", 143 if ended else 130, arguments)
    except BrokenPipeError:
        # The reader of our output is gone, as with "drivetrain find | head": there is nothing left to print.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except DrivetrainError as error:
        return _fail(error, str(error), exit_code(error), arguments)
    except Exception as error:
        traceback.print_exc()
        print(f"drivetrain: {type(error).__name__}: {error}", file=sys.stderr)
        return 1


@contextlib.contextmanager
def _termination_as_interrupt(ended: list[int]) -> Iterator[None]:
    """Treat SIGTERM, with which machines end a job, like Ctrl-C: training saves its last state and cleans up.

    Args:
        ended: receives the number of the signal.
    """

    def handle(number: int, _: object) -> None:
        ended.append(number)
        if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a background job of a shell
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.raise_signal(signal.SIGINT)

    ours = threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    if ours:
        signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


#: Warnings from packages to their callers about future changes, irrelevant to users of a command.
_ONLY_FOR_DEVELOPERS = (DeprecationWarning, PendingDeprecationWarning, FutureWarning)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Show a warning as one line, without the source line that caused it."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if not issubclass(category, _ONLY_FOR_DEVELOPERS) and not follows():
            print(f"warning: {message}", file=sys.stderr)

    from drivetrain.launch.ranks import follows

    before = warnings.showwarning
    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before


def exit_code(error: DrivetrainError) -> int:
    """The exit code of an error: 3 for a missing package, 1 for work that failed, 2 for wrong input."""
    if isinstance(error, MissingDependencyError):
        return 3
    failed = isinstance(error, StorageError | OutOfMemoryError) or (
        isinstance(error, ExportError) and not isinstance(error, ArtifactExistsError)
    )
    return 1 if failed or type(error) is DrivetrainError else 2


def _fail(error: BaseException, message: str, code: int, arguments: Sequence[str]) -> int:
    if "--debug" in arguments or os.environ.get("DRIVETRAIN_DEBUG", "0") not in ("", "0", "false", "no", "off"):
        traceback.print_exception(error)
    from drivetrain.cli.wording import reworded
    from drivetrain.launch.ranks import Ranks

    ranks = Ranks.here()
    who = "drivetrain" if ranks is None else f"drivetrain, {ranks}"
    print(f"{who}: {reworded(message, own=own_options(*_command_of(arguments)[:1]))}", file=sys.stderr)
    return code


def own_options(command: str = "") -> dict[str, str]:
    """The options of a command, and how they are written; positional ones have no name."""
    from drivetrain.cli.signature import options_of, verbs

    if command in commands():
        parameters = inspect.signature(commands()[command]).parameters.values()
        return {
            item.name: f"--{item.name}" if item.kind is item.KEYWORD_ONLY else item.name.upper() for item in parameters
        }
    return {name: f"--{name}" for name in options_of(command)} if command in verbs() else {}


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        print(overview(), file=sys.stderr)
        return 2
    command, rest = _command_of(arguments)
    if command in ("-h", "--help", "help"):
        print(overview())
        return 0
    if command == "--version":
        from drivetrain._version import __version__

        print(__version__)
        return 0
    if command in commands():
        from drivetrain.cli.command_line import run_command

        return run_command(command, commands()[command], rest)
    from drivetrain.cli.signature import verbs

    if command in verbs():
        from drivetrain.cli.verb import run

        return run(command, rest, verbs())
    known = [*verbs(), *commands()]
    raise OptionError(f"{command!r} is not a command.{near(command, known)} Commands: {', '.join(known)}.")


def _command_of(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command, which may consist of two words such as "data check", and the remaining words."""
    longest = " ".join(arguments[:2])
    if len(arguments) > 1 and longest in commands():
        return longest, list(arguments[2:])
    return (arguments[0] if arguments else ""), list(arguments[1:])


def overview() -> str:
    """The text of ``drivetrain --help``."""
    from drivetrain.cli.signature import summary_of, verbs

    lines = {verb: summary_of(verb) for verb in verbs()}
    lines |= {name: (inspect.getdoc(command) or "").partition("\n")[0] for name, command in commands().items()}
    width = max(map(len, lines))
    rows = "\n".join(f"  {name:{width}}  {text}" for name, text in lines.items())
    return (
        "usage: drivetrain COMMAND [--option value ...]\n\n"
        "One engine for every vision framework.\n\n"
        f"commands:\n{rows}\n\n"
        "  drivetrain COMMAND --help shows its options; drivetrain --version the version.\n\n"
        f"{EXIT_CODES}"
    )
