"""Imports by name, made at the time of use."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from drivetrain.errors import MissingDependencyError


def import_object(path: str) -> Any:
    """Import ``"package.module:Name"`` and return the object.

    Raises:
        ModuleNotFoundError: the module does not exist.
        AttributeError: the module has no such name.
    """
    module, _, name = path.partition(":")
    target: Any = importlib.import_module(module)
    for part in name.split("."):
        target = getattr(target, part)
    return target


def import_class(path: str) -> type:
    """Import the class at a dotted path (``package.module.Class``) without calling it.

    The standard library is not searched: it has no framework classes, and some of its modules have side effects on
    import.

    Raises:
        LookupError: no installed package has such a module.
        ImportError: the module cannot be imported, or has no such name.
        TypeError: what has the name is not a class.
    """
    module, _, name = path.replace(":", ".").rpartition(".")
    top = module.partition(".")[0]
    if not top.isidentifier() or top in sys.stdlib_module_names or not _can_be_found(module):
        raise LookupError(f"{path!r} is not a class of an installed package")
    try:
        found = getattr(importlib.import_module(module), name)
    except AttributeError as error:
        raise ImportError(str(error)) from error
    if not isinstance(found, type):
        raise TypeError(f"{path!r} is not a class but a {type(found).__name__}")
    return found


def _can_be_found(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def is_installed(package: str) -> bool:
    """Whether the top-level package can be found, without importing it."""
    return importlib.util.find_spec(package.partition(".")[0]) is not None


#: Distributions with the same code under another name, such as the one that brings ``ultralytics`` without a second
#: OpenCV.
SAME_CODE = {"ultralytics": ("ultralytics-opencv-headless",)}


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, or of one with the same code; ``None`` if neither is installed."""
    for name in (distribution, *SAME_CODE.get(distribution, ())):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def check_installed(module: str, extra: str, *, purpose: str = "") -> None:
    """Say how to install an optional module if it is missing; it is not imported.

    Args:
        module: dotted name of the module.
        extra: the extra of drivetrain that provides it.
        purpose: what it is needed for; starts the message.

    Raises:
        MissingDependencyError: the module is not installed.
    """
    if not is_installed(module):
        package = module.partition(".")[0]
        raise MissingDependencyError(
            f"{purpose or 'This'} needs the package {package!r}, which is not installed. "
            f'Install it with: pip install "drivetrain[{extra}]"'
        )


def require(module: str, extra: str, *, purpose: str = "") -> ModuleType:
    """Import an optional module, or raise an error that says how to install it.

    Args:
        module: dotted name of the module.
        extra: the drivetrain extra that installs it.
        purpose: what needs it; the beginning of the message.

    Raises:
        MissingDependencyError: the module is not installed.
    """
    check_installed(module, extra, purpose=purpose)
    return importlib.import_module(module)


_NO_TELEMETRY = {"CI": "true", "ORT_DISABLE_TELEMETRY": "1", "NNCF_CI": "1"}
"""Variables that silence ONNX Runtime, and OpenVINO and NNCF (by making them think they run in CI)."""


def openvino() -> ModuleType:
    """OpenVINO, imported so that it neither reports usage over the network nor writes to the user's home.

    It would do both on import, unless it detects continuous integration; it makes this decision only once.
    """
    return _import_silently("openvino")


def onnxruntime() -> ModuleType:
    """ONNX Runtime, imported so that it neither reports usage over the network nor writes to the user's home."""
    return _import_silently("onnxruntime")


def check_nncf() -> None:
    """Say how to install NNCF if it is missing.

    Raises:
        MissingDependencyError: it is not installed.
    """
    check_installed("nncf", "optimize", purpose="Quantising")


def nncf() -> ModuleType:
    """NNCF, imported so that it neither reports its use over the network nor says more than errors.

    Raises:
        MissingDependencyError: it is not installed.
    """
    check_nncf()
    with without_telemetry():
        package = importlib.import_module("nncf")
    package.set_log_level(logging.ERROR)
    return package


def _import_silently(name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    with without_telemetry():
        return importlib.import_module(name)


@contextmanager
def without_telemetry() -> Iterator[None]:
    """Within the block, set the variables that stop the runtimes from reporting usage."""
    before = {name: os.environ.get(name) for name in _NO_TELEMETRY}
    os.environ.update(_NO_TELEMETRY)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
