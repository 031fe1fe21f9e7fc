"""PEFT's low-rank adapters in transformers models: adding, saving and merging them."""

# ruff: noqa: TID253  (loaded only when a model is built)
from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from drivetrain.errors import ModelError, OptionError, near
from drivetrain.machine.packages import require

_ATTENTION = ("query", "value", "q_proj", "v_proj")
_FIXED = (
    "peft_type",
    "task_type",
    "auto_mapping",
    "peft_version",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
)
_NAME = "default"


def lora_of(net: Any) -> dict[str, Any] | None:
    """The fields of a model's adapter as plain data; ``None`` if it has no adapter.

    Raises:
        ModelError: it is a different kind of adapter.
    """
    configs = getattr(net, "peft_config", None)
    if not configs:
        return None
    config = next(iter(configs.values()))
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    if kind != "LORA" or len(configs) > 1:
        raise ModelError(
            f"{type(net).__name__} has the PEFT adapters {', '.join(configs)} ({kind}); only a single one of kind LORA "
            "is supported. Merge the others into the model first (PEFT's merge_and_unload)."
        )
    return {name: value for name, value in _plain(config).items() if value is not None}


def put_lora(net: Any, fields: Mapping[str, Any], head: Sequence[str]) -> list[str]:
    """Add a low-rank adapter to a model; from then on only the adapter and the head are trained.

    Args:
        net: a transformers model; modified in place.
        fields: fields of PEFT's ``LoraConfig``. By default ``target_modules`` are the queries and values of attention,
            and ``modules_to_save`` is the head.
        head: names of the modules that have a part for each label.

    Returns:
        Notes for the user.

    Raises:
        MissingDependencyError: PEFT is not installed.
        OptionError: PEFT has no such field, or the layers to adapt are unknown.
    """
    if not isinstance(fields, Mapping):
        raise OptionError(f"model_args: lora={fields!r} must hold fields of peft.LoraConfig, such as {{'r': 8}}.")
    peft: Any = require("peft", "lora", purpose="model_args lora")
    known = [name for name in vars(peft.LoraConfig()) if name not in _FIXED and not name.startswith("_")]
    wrong = next((name for name in fields if name not in known), None)
    if wrong is not None:
        raise OptionError(
            f"model_args: lora has no option {wrong!r}.{near(wrong, known)} Allowed: {', '.join(sorted(known))}."
        )
    settings = {"modules_to_save": list(head), "target_modules": _layers(net), **fields}
    if not settings["target_modules"]:
        raise OptionError(
            f"model_args: lora needs target_modules for {type(net).__name__}, whose attention layers have other names. "
            f"Its linear layers end in: {', '.join(_linear_names(net))}."
        )
    try:
        peft.inject_adapter_in_model(peft.LoraConfig(**settings), net, adapter_name=_NAME)
    except (ValueError, TypeError) as error:
        raise OptionError(f"model_args: lora={dict(fields)} is refused by PEFT: {error}") from error
    net.peft_config = {_NAME: peft.LoraConfig(**settings)}
    trained = sum(value.numel() for value in net.parameters() if value.requires_grad)
    whole = sum(value.numel() for value in net.parameters())
    kept = ", ".join(settings["modules_to_save"])
    return [f"LoRA: {trained:,} of {whole:,} parameters are trained (the adapter and {kept})."]


def merged(net: Any) -> Any:
    """A copy with the adapters merged into its weights: a plain model with the same outputs.

    Args:
        net: not modified; returned unchanged if it has no adapter.
    """
    if not getattr(net, "peft_config", None):
        return net
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper

    plain = copy.deepcopy(net)
    for name, module in list(plain.named_modules()):
        if isinstance(module, ModulesToSaveWrapper):
            _set(plain, name, module.modules_to_save[_NAME])
        elif isinstance(module, BaseTunerLayer) and isinstance(module, nn.Module):
            module.merge()
            _set(plain, name, module.get_base_layer())
    del plain.peft_config
    return plain


def save_lora(net: Any, folder: Path) -> None:
    """Write only the adapter; ``peft.PeftModel.from_pretrained(base, folder)`` opens it."""
    import peft
    from safetensors.torch import save_file

    config = net.peft_config[_NAME]
    tensors = peft.get_peft_model_state_dict(net, adapter_name=_NAME, save_embedding_layers=False)
    folder.mkdir(parents=True, exist_ok=True)
    prefixed = {f"base_model.model.{name}": value.contiguous() for name, value in tensors.items()}
    save_file(prefixed, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)


def _layers(net: nn.Module) -> list[str]:
    """The name endings of the layers that are adapted by default."""
    return [name for name in _ATTENTION if name in _linear_names(net)]


def _linear_names(net: nn.Module) -> list[str]:
    ends = (name.rpartition(".")[2] for name, module in net.named_modules() if isinstance(module, nn.Linear))
    return list(dict.fromkeys(end for end in ends if not end.isdigit()))


def _plain(config: Any) -> dict[str, Any]:
    """The fields that differ from the defaults, as plain data."""
    usual = type(config)().to_dict()
    changed = {
        name: value for name, value in config.to_dict().items() if name not in _FIXED and value != usual.get(name)
    }
    found: dict[str, Any] = json.loads(json.dumps(changed, default=lambda value: sorted(value)))
    return found


def _set(net: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(net.get_submodule(parent), own, module)
