"""Importing and running Ultralytics without its side effects on the process, the disk and the network."""

# ruff: noqa: TID253  (a module of the engine; it is loaded only when the engine is chosen)
from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import random
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch

from drivetrain.machine.files import cache_dir

_ENVIRONMENT = {
    "YOLO_OFFLINE": "true",
    "YOLO_AUTOINSTALL": "false",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "1",
}
_SETTINGS = {
    "sync": False,
    "api_key": "",
    "clearml": False,
    "comet": False,
    "dvc": False,
    "mlflow": False,
    "neptune": False,
    "raytune": False,
    "tensorboard": False,
    "wandb": False,
    "vscode_msg": False,
    "openvino_msg": False,
}
_FONTS = ("Arial.ttf", "Arial.Unicode.ttf")
_LICENCE = (
    "Ultralytics is licensed under AGPL-3.0 (or a commercial licence from Ultralytics). "
    "Whatever you train and distribute with it is subject to its terms."
)


def ultralytics() -> ModuleType:
    """The package, imported so that it stays offline, installs nothing and leaves this process unchanged.

    The user's own environment variables are respected. If the user has already imported the package, only its
    replacement of ``PIL.Image.open`` is undone, since that installs a package when an image is broken. On first use on
    a machine the licence is shown once.
    """
    if "ultralytics.utils" in sys.modules:
        _open_images_by_pillow()
        return sys.modules["ultralytics"]
    home = cache_dir() / "ultralytics"
    _tell_licence(home)
    given = dict(os.environ)
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in given})
    os.environ.setdefault("YOLO_CONFIG_DIR", str(home))
    _prepare_home(Path(os.environ["YOLO_CONFIG_DIR"]) / "Ultralytics")
    try:
        with _unchanged_process():
            package = importlib.import_module("ultralytics")
            importlib.import_module("ultralytics.utils")
            settings = importlib.import_module("ultralytics.utils").SETTINGS
            settings.update({name: value for name, value in _SETTINGS.items() if name in settings})
            importlib.import_module("ultralytics.engine.model")
    finally:
        _restore_environment(given)
    return package


@contextmanager
def contained() -> Iterator[None]:
    """Run Ultralytics code, then restore threads, seeds, deterministic flags and print options."""
    numpy_state, python_state, torch_state = np.random.get_state(), random.getstate(), torch.get_rng_state()
    deterministic = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    given = dict(os.environ)
    logger = logging.getLogger("ultralytics")
    level = logger.level
    os.environ.setdefault("MPLCONFIGDIR", str(cache_dir() / "matplotlib"))  # keeps its font list out of the home
    if not os.environ.get("YOLO_VERBOSE"):
        logger.setLevel(logging.ERROR)  # its bars and tables; drivetrain shows its own
    try:
        with _unchanged_process(), _silent_package():
            yield
    finally:
        logger.setLevel(level)
        np.random.set_state(numpy_state)
        random.setstate(python_state)
        torch.set_rng_state(torch_state)
        torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
        _restore_environment(given)


@contextmanager
def _unchanged_process() -> Iterator[None]:
    """Restore the functions and settings of torch, OpenCV, Pillow and numpy that Ultralytics replaces."""
    from PIL import Image

    functions: list[tuple[Any, str, Any]] = [
        (holder, name, getattr(holder, name))
        for holder, name in (
            (torch, "save"),
            (Image, "open"),
            (cv2, "imread"),
            (cv2, "imwrite"),
            (cv2, "imshow"),
        )
        if hasattr(holder, name)
    ]
    threads, cv_threads, options = torch.get_num_threads(), cv2.getNumThreads(), np.get_printoptions()
    try:
        yield
    finally:
        for holder, name, function in functions:
            setattr(holder, name, function)
        torch.set_num_threads(threads)
        cv2.setNumThreads(cv_threads)
        np.set_printoptions(**options)
        torch.set_printoptions(profile="default")


@contextmanager
def _silent_package() -> Iterator[None]:
    """Disable telemetry, trackers, update checks and installations, even if the user imported the package first.

    Its settings are only changed in memory, and restored.
    """
    modules = [sys.modules.get(name) for name in ("ultralytics.utils", "ultralytics.utils.checks")]
    held = [(module, name) for module in modules for name in ("ONLINE", "AUTOINSTALL") if hasattr(module, name)]
    events = getattr(sys.modules.get("ultralytics.utils.events"), "events", None)
    if hasattr(events, "enabled"):
        held.append((events, "enabled"))
    before = [(holder, name, getattr(holder, name)) for holder, name in held]
    settings = sys.modules["ultralytics.utils"].SETTINGS
    kept = {name: settings[name] for name in _SETTINGS if name in settings}
    try:
        for holder, name in held:
            setattr(holder, name, False)
        dict.update(settings, {name: _SETTINGS[name] for name in kept})  # its own update would write the user's file
        yield
    finally:
        dict.update(settings, kept)
        for holder, name, value in before:
            setattr(holder, name, value)


def _open_images_by_pillow() -> None:
    from PIL import Image

    patches = sys.modules.get("ultralytics.utils.patches")
    original = getattr(patches, "_image_open", None)
    if original is not None and Image.open.__module__ == "ultralytics.utils.patches":
        Image.open = original


def _restore_environment(given: dict[str, str]) -> None:
    for name in set(os.environ) - set(given):
        del os.environ[name]
    os.environ.update(given)


def _prepare_home(folder: Path) -> None:
    """Create folders separate from the user's, with the fonts that Ultralytics would download taken from matplotlib."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "settings.json"
    if not settings.exists():
        places = {f"{kind}_dir": str(folder / kind) for kind in ("datasets", "weights", "runs")}
        try:
            settings.write_text(json.dumps({**_SETTINGS, **places}), encoding="utf-8")
        except OSError:
            logging.getLogger(__name__).debug("%s cannot be written", settings)
    if all((folder / font).exists() for font in _FONTS):
        return
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or not spec.submodule_search_locations:
        return
    source = Path(next(iter(spec.submodule_search_locations))) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf"
    for font in _FONTS:
        if source.is_file() and not (folder / font).exists():
            shutil.copy(source, folder / font)


def _tell_licence(home: Path) -> None:
    told = home / "licence-told"
    if told.exists():
        return
    print(_LICENCE, file=sys.stderr)  # noqa: T201
    home.mkdir(parents=True, exist_ok=True)
    told.touch()
