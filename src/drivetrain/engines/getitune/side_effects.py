"""Checking the release of getitune, and undoing what its import does to the process."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

from drivetrain.engines.getitune import SPEC
from drivetrain.errors import MissingDependencyError
from drivetrain.machine.packages import version_of
from drivetrain.torch_training.process import only_errors

_MODULES = r"(getitune|lightning|torchmetrics|torch|torchvision|kornia|timm|datumaro|openvino|onnx\w*)\b.*"

#: Variables that getitune sets when imported, and some of its models read when built.
_NEEDED = ("PRETRAINED_WEIGHTS_CACHE_DIR",)
_theirs: dict[str, str] = {}


def require_release() -> None:
    """Refuse a release that the engine does not support, and OTX beside getitune: both bring a package ``otx``.

    Raises:
        MissingDependencyError: the installed getitune is too old or too new, or OTX is installed, too.
    """
    SPEC.require_release("getitune")
    old = version_of("otx")
    if old is not None:
        raise MissingDependencyError(
            f"otx {old} and getitune {version_of('getitune')} are both installed; they overwrite each other's package "
            "'otx'. Remove both and install getitune again: pip uninstall otx getitune; "
            'pip install "drivetrain[getitune]"'
        )


def imported(module: str) -> Any:
    """A module of getitune, imported on first use without side effects on the process.

    Args:
        module: its dotted name.
    """
    with contained():
        return importlib.import_module(module)


@contextlib.contextmanager
def contained() -> Iterator[None]:
    """Within the block, silence getitune except for errors; afterwards the environment variables are as before.

    Its import sets variables of Hugging Face's hub and of oneDNN, and it logs to the root logger.
    """
    before = dict(os.environ)
    for name, value in _theirs.items():
        os.environ.setdefault(name, value)
    try:
        with only_errors((None, "getitune", "getitune.data.module"), _MODULES):
            yield
    finally:
        _theirs.update({name: os.environ[name] for name in _NEEDED if name in os.environ})
        for name in set(os.environ) - set(before):
            del os.environ[name]
        os.environ.update(before)
