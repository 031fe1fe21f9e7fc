"""Finding pretrained weights on this machine; nothing is ever downloaded."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterable, Iterator
from pathlib import Path


def find_weights(places: Iterable[str]) -> Path | None:
    """The first weights file that exists.

    Args:
        places: each ``"hub:owner/name"`` (the cache of the Hugging Face hub), ``"torch:pattern"`` (the cache of
            ``torch.hub``), ``"package:name/pattern"`` (inside an installed package) or ``"here:name"`` (in the
            current folder).
    """
    return next((path for place in places for path in _files(place) if path.is_file()), None)


def describe_places(places: Iterable[str]) -> str:
    """The places in words, for the reason of a decision."""
    return ", ".join(place.partition(":")[2].partition("/*")[0] for place in places)


def _files(written: str) -> Iterator[Path]:
    kind, _, name = written.partition(":")
    if kind == "hub":
        folder = _hub_cache() / f"models--{name.replace('/', '--')}" / "snapshots"
        yield from sorted(folder.glob("*/model.safetensors"))
        yield from sorted(folder.glob("*/pytorch_model.bin"))
    elif kind == "torch":
        yield from sorted((_torch_home() / "hub" / "checkpoints").glob(name))
    elif kind == "package":
        package, _, pattern = name.partition("/")
        spec = importlib.util.find_spec(package)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            yield from sorted(Path(place).glob(pattern))
    elif kind == "here":
        yield Path(name).absolute()


def _hub_cache() -> Path:
    home = Path(os.environ.get("HF_HOME", _cache() / "huggingface"))
    return Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()


def _torch_home() -> Path:
    return Path(os.environ.get("TORCH_HOME", _cache() / "torch")).expanduser()


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
