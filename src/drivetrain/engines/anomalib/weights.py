"""Where backbone weights come from while a model is created: a local file, random initialisation, or the caches."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import contextlib
import functools
import threading
import urllib.request
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

from drivetrain.errors import CheckpointError, UnsafeCheckpointError
from drivetrain.models.checkpoint import require_file

State = dict[str, torch.Tensor]


#: Models are built one at a time, because upstream functions are replaced meanwhile.
_BUILDING = threading.RLock()


def read_weights(path: Path) -> State:
    """The tensors of a weights file.

    Raises:
        CheckpointNotFoundError: the file does not exist.
        UnsafeCheckpointError: it contains more than tensors and plain values.
        CheckpointError: it contains no tensors.
    """
    require_file(path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            loaded: Any = load_file(path)
        except Exception as error:  # the package raises its own exception
            raise CheckpointError(f"pretrained={str(path)!r} is damaged or not a .safetensors file: {error}") from error
    else:
        loaded = _read_pickle(path)
    for key in ("state_dict", "model", "state_dict_ema"):
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            loaded = loaded[key]
            break
    state = {name: value for name, value in dict(loaded).items() if isinstance(value, torch.Tensor)}
    if not state:
        raise CheckpointError(f"pretrained={str(path)!r} holds no tensors.")
    return state


def _read_pickle(path: Path) -> Any:
    from pickle import UnpicklingError

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise UnsafeCheckpointError(
            f"pretrained={str(path)!r} holds objects besides tensors, and opening them could execute code. "
            "Save only the model's state_dict, and give that file."
        ) from error


@contextlib.contextmanager
def given_weights(state: State | None, name: str = "") -> Iterator[None]:
    """Within the block, use these weights for backbones created by timm, torchvision or OpenCLIP; load nothing else.

    Args:
        state: the weights; ``None`` leaves every backbone random.
        name: the name of their file, for messages.
    """
    import timm

    with _BUILDING, contextlib.ExitStack() as stack:
        made = functools.partial(_timm_model, timm.create_model, state, name)
        stack.enter_context(_replaced(timm, "create_model", made))
        own = functools.partialmethod(_torchvision_state, state, name)
        stack.enter_context(_replaced(torchvision.models.WeightsEnum, "get_state_dict", own))
        with contextlib.suppress(ImportError):
            import open_clip  # type: ignore[import-not-found,import-untyped,unused-ignore]  # an extra of Anomalib

            clip = functools.partial(_open_clip, open_clip.create_model_and_transforms, state, name)
            stack.enter_context(_replaced(open_clip, "create_model_and_transforms", clip))
        vision = import_module("anomalib.models.image.anomalyvfm.torch_model")
        stack.enter_context(_replaced(vision, "hf_hub_download", lambda *_, **__: name))
        stack.enter_context(_replaced(vision, "load_file", lambda _: state or {}))
        filled = functools.partialmethod(_fill_whole, state, name)
        stack.enter_context(_replaced(vision.AnomalyVFMModel, "load_state_dict", filled))
        yield


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within the block, replace an attribute of an upstream module or class; serialised by :data:`_BUILDING`."""
    own = name in vars(owner)
    before = vars(owner)[name] if own else None
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, before)
        else:
            delattr(owner, name)


@contextlib.contextmanager
def caches_only() -> Iterator[None]:
    """Within the block, take weights from local caches and download nothing."""
    from urllib.error import URLError

    def refuse(*args: Any, **_: Any) -> None:
        raise URLError(f"nothing is downloaded unless requested ({args[0] if args else 'a file'})")

    with _BUILDING, contextlib.ExitStack() as stack:
        stack.enter_context(_replaced(torch.hub, "download_url_to_file", refuse))
        stack.enter_context(_replaced(urllib.request, "urlretrieve", refuse))
        with contextlib.suppress(ImportError):
            import huggingface_hub.constants

            stack.enter_context(_replaced(huggingface_hub.constants, "HF_HUB_OFFLINE", True))
        yield


def _open_clip(
    create: Callable[..., Any], state: State | None, name: str, model_name: str, *args: Any, **options: Any
) -> Any:
    """``open_clip.create_model_and_transforms`` without its own weights."""
    options.pop("pretrained", None)
    made = create(model_name, *args[1:], pretrained=None, **options)
    if state is not None:
        fill(made[0], state, name, whole=lambda: made[0])
    return made


def _timm_model(create: Callable[..., Any], state: State | None, name: str, *args: Any, **options: Any) -> nn.Module:
    """``timm.create_model`` without its own weights."""
    wanted = bool(options.pop("pretrained", False))
    model: nn.Module = create(*args, pretrained=False, **options)
    if state is not None and wanted:
        architecture = str(options.get("model_name", args[0] if args else ""))
        fill(model, state, name, whole=lambda: create(architecture, pretrained=False))
    return model


def _torchvision_state(weights: Any, state: State | None, name: str, *_: Any, **__: Any) -> State:
    """The state that a torchvision builder loads into the model it has built: the given one, or a random one."""
    architecture = type(weights).__name__.removesuffix("_Weights").lower()
    whole = torchvision.models.get_model(architecture, weights=None)
    if state is not None:
        fill(whole, state, name, whole=lambda: whole)
    found: State = whole.state_dict()
    return found


def _fill_whole(model: nn.Module, state: State | None, name: str, *_: Any, **__: Any) -> None:
    """``load_state_dict`` of a model that loads its own weights: from the given state, or not at all."""
    if state is not None:
        fill(model, state, name, whole=lambda: model)


def fill(model: nn.Module, state: State, name: str, *, whole: Callable[[], nn.Module]) -> None:
    """Load weights into a backbone, by name, or by order if the whole architecture has the same shapes.

    Args:
        model: the backbone, or the part of it that is used.
        state: the weights of the whole architecture.
        name: the name of their file.
        whole: creates the whole architecture, to learn its parameter names.

    Raises:
        CheckpointError: some tensors of the backbone are not among the weights.
    """
    own = model.state_dict()
    if not all(_fits(state.get(key), value) for key, value in own.items()):
        names = whole().state_dict()
        pairs = list(zip(names.items(), state.values(), strict=False))
        if len(names) != len(state) or not all(value.shape == other.shape for (_, value), other in pairs):
            pairs = []
        state = {key: other for (key, _), other in pairs} or state
    missing = [key for key, value in own.items() if not _fits(state.get(key), value)]
    if missing:
        raise CheckpointError(
            f"pretrained={name!r} does not fit the backbone: {len(missing)} of its {len(own)} tensors are missing or "
            f"have a different shape, such as {', '.join(missing[:3])}. Give the weights of the same architecture."
        )
    nn.Module.load_state_dict(model, {key: state[key] for key in own})


def _fits(found: torch.Tensor | None, wanted: torch.Tensor) -> bool:
    return found is not None and found.shape == wanted.shape
