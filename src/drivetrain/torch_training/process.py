"""Restoring what training changes in the process: seeds, flags, environment variables, signals, log levels."""

# ruff: noqa: TID253  (loaded by the engines on PyTorch only)
from __future__ import annotations

import logging
import os
import random
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch

_LOGGERS = ("lightning", "lightning.pytorch", "lightning.fabric", "pytorch_lightning")
_CHATTER = (
    r".*does not have many workers.*",
    r".*smaller than the logging interval.*",
    r".*No `?val_dataloader.*",
    r".*Checkpoint directory .* exists and is not empty.*",
    r".*GPU available but not used.*",
    r".*`isinstance\(treespec, LeafSpec\)` is deprecated.*",
    r".*No positive class found.*",
    r".*Grad strides do not match bucket view strides.*",
)


@contextmanager
def own_randomness(seed: int) -> Iterator[None]:
    """Seed everything, and restore the caller's random state afterwards."""
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() and torch.cuda.is_initialized() else None
    seed_everything(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)


def seed_everything(seed: int) -> None:
    """Seed Python's, NumPy's and PyTorch's generators; data loading processes derive theirs from PyTorch's."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


class _ErrorsOnly(logging.Filter):
    """Lets only errors pass. A level would not do: some packages reset their own when one of them is imported."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is an error."""
        return record.levelno >= logging.ERROR


@contextmanager
def only_errors(loggers: Sequence[str | None], modules: str) -> Iterator[None]:
    """Within the block, silence an upstream except for errors.

    Args:
        loggers: the names of its loggers; ``None`` for the root.
        modules: a pattern of the modules whose warnings are ignored.
    """
    found, errors = [logging.getLogger(name) for name in loggers], _ErrorsOnly()
    for logger in found:
        logger.addFilter(errors)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=modules)
            yield
    finally:
        for logger in found:
            logger.removeFilter(errors)


@contextmanager
def untouched_process() -> Iterator[None]:
    """Restore what the upstream changes in the process: torch's flags, environment variables, signals, log levels."""
    strict, warn_only = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    benchmark = torch.backends.cudnn.benchmark
    variables = dict(os.environ)
    interrupt = signal.getsignal(signal.SIGINT)
    try:
        with quieter(_LOGGERS, logging.WARNING), warnings.catch_warnings():
            for message in _CHATTER:
                warnings.filterwarnings("ignore", message)
            yield
    finally:
        torch.use_deterministic_algorithms(strict, warn_only=warn_only)
        torch.backends.cudnn.benchmark = benchmark
        for name in set(os.environ) - set(variables):
            del os.environ[name]
        os.environ.update(variables)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, interrupt)


@contextmanager
def quieter(names: Sequence[str], level: int) -> Iterator[None]:
    """Within the block, silence these loggers below a level.

    Args:
        names: the names of the loggers.
        level: a level such as ``logging.WARNING``.
    """
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(level)
    try:
        yield
    finally:
        for logger, before in zip(loggers, levels, strict=True):
            logger.setLevel(before)
