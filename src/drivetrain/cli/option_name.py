"""The spelling of an option's name."""

from __future__ import annotations


def option_name(written: str) -> str:
    """An option in our spelling: ``max-epochs`` is ``max_epochs``; the part after a dot is an upstream's."""
    head, dot, rest = written.partition(".")
    return head.replace("-", "_") + dot + rest
