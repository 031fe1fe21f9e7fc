"""Checking the release of getitune, and undoing what its import does to the process."""

from __future__ import annotations

import contextlib
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from typing import Any

from packaging.specifiers import SpecifierSet

from drivetrain.engines.getitune import SPEC
from drivetrain.errors import MissingDependencyError
from drivetrain.machine.packages import version_of

_MODULES = r"(getitune|lightning|torchmetrics|torch|torchvision|kornia|timm|datumaro|openvino|onnx\w*)\b.*"

#: Variables that getitune sets when imported, and some of its models read when built.
_NEEDED = ("PRETRAINED_WEIGHTS_CACHE_DIR",)
_theirs: dict[str, str] = {}


def require_release() -> None:
    """Refuse a release that the engine does not support, and OTX beside getitune: both bring a package ``otx``.

    Raises:
        MissingDependencyError: the installed getitune is too old or too new, or OTX is installed, too.
    """
    installed, wanted = version_of("getitune"), SPEC.upstream["getitune"]
    if installed is not None and installed not in SpecifierSet(wanted, prereleases=True):
        raise MissingDependencyError(
            f"getitune {installed} is installed, but the engine 'getitune' supports {wanted}. "
            f"Install one of these: pip install 'getitune{wanted}'"
        )
    old = version_of("otx")
    if old is not None:
        raise MissingDependencyError(
            f"otx {old} and getitune {installed} are both installed; they overwrite each other's package 'otx'. "
            "Remove both and install getitune again: pip uninstall otx getitune; "
            'pip install "drivetrain[getitune]"'
        )


def imported(module: str) -> Any:
    """A module of getitune, imported on first use without side effects on the process.

    Args:
        module: its dotted name.
    """
    with contained():
        return importlib.import_module(module)


class _ErrorsOnly(logging.Filter):
    """Lets only errors pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is an error."""
        return record.levelno >= logging.ERROR


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Within the block, silence getitune except for errors; afterwards the environment variables are as before.

    Its import sets variables of Hugging Face's hub and of oneDNN, and it logs to the root logger.
    """
    before = dict(os.environ)
    for name, value in _theirs.items():
        os.environ.setdefault(name, value)
    loggers, errors = [logging.getLogger(name) for name in (None, "getitune", "getitune.data.module")], _ErrorsOnly()
    for logger in loggers:
        logger.addFilter(errors)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=_MODULES)
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(errors)
        _theirs.update({name: os.environ[name] for name in _NEEDED if name in os.environ})
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
