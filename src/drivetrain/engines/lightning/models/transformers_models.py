"""What models of transformers have in common, whatever they are for: configuration, folder, labels, image processor."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from drivetrain.engines.lightning.models.lora import lora_of, merged, save_lora
from drivetrain.errors import CheckpointError, ModelError, OptionError, near
from drivetrain.types import ImageSpec
from drivetrain.types.image_spec import Interpolation

CLAIMS = ("transformers:PreTrainedModel",)
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
_PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
_SIDE = 640
#: The shorter side below which ConvNext cuts; larger images it stretches.
_CUT_BELOW = 384
_CLASSIFIES = "ForImageClassification"
_PIXEL = 1 / 255
#: Pillow's numbers of filters -> ours; its box, Hamming and Lanczos filters are nearest to bicubic.
_FILTERS: dict[int, Interpolation] = {0: "nearest", 2: "bilinear"}
_RESAMPLE = {"nearest": 0, "bilinear": 2, "bicubic": 3}


def make_config(cls: Any, args: dict[str, Any]) -> Any:
    """The configuration of a model out of its fields, or all of them as ``config``; ``args`` is used up.

    Args:
        cls: the class of the model.
        args: as the user gave them, or as a checkpoint keeps them.

    Raises:
        OptionError: the configuration has no such field.
    """
    whole = args.pop("config", None)
    if whole is not None:
        return cls.config_class.from_dict(dict(whole))
    known = cls.config_class().to_dict()
    wrong = next((name for name in args if name not in known), None)
    if wrong is not None:
        raise OptionError(
            f"model_args of transformers:{cls.__name__} has no option {wrong!r}.{near(wrong, known)} "
            f"Allowed: {', '.join(sorted(known))}, lora, pretrained."
        )
    if "use_pretrained_backbone" in known:
        args.setdefault("use_pretrained_backbone", False)
    return cls.config_class(**args)


def make_model(cls: Any, config: Any, args: Mapping[str, Any]) -> Any:
    """A model with random weights.

    Raises:
        ModelError: it cannot be made.
    """
    try:
        return cls(config)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ModelError(f"transformers:{cls.__name__} could not be built with {dict(args)}: {error}") from error


def folder_of(pretrained: Any) -> Path:
    """The folder of trained weights that is meant: a path, or a name of the hub whose files are in its cache already.

    Raises:
        OptionError: it is neither.
        CheckpointError: it is not on this machine; nothing is downloaded.
    """
    if not isinstance(pretrained, str | Path):
        raise OptionError(
            f"model_args: pretrained={pretrained!r} must be a folder written by save_pretrained. {_fetch('NAME')}"
        )
    folder, text = Path(pretrained).expanduser(), str(pretrained)
    if folder.exists() or _HUB_NAME.fullmatch(text) is None:
        return folder
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(text, local_files_only=True))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"model_args: pretrained={text!r} is not on this machine. {_fetch(text)}") from error


def _fetch(name: str) -> str:
    """How weights get to this machine."""
    folder = name.rpartition("/")[2]
    return (
        f"Nothing was downloaded. On a machine with network access run: hf download {name} --local-dir {folder}; then "
        f"put that folder anywhere here and give its path: model_args={{'pretrained': '{folder}'}}."
    )


def open_folder(cls: Any, pretrained: Any, args: Mapping[str, Any]) -> Any:
    """A model that ``save_pretrained`` wrote; nothing is downloaded, and nothing in it is run.

    Args:
        cls: the class of the model.
        pretrained: a folder, or a name of the hub whose files are in its cache.
        args: other arguments of the constructor; none are allowed.

    Raises:
        OptionError: there are further arguments, which the folder says already.
        CheckpointError: it is not such a folder, or it holds another model.
    """
    folder = folder_of(pretrained)
    if args:
        raise OptionError(f"model_args: {next(iter(args))} is part of what {str(folder)!r} says; leave it out.")
    if not (folder / "config.json").is_file():
        raise CheckpointError(
            f"model_args: pretrained={str(folder)!r} is not a folder of save_pretrained: it has no config.json. "
            f"{_fetch('NAME')}"
        )
    found = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("architectures") or [cls.__name__]
    if cls.__name__ not in found:
        raise CheckpointError(f"model_args: pretrained={str(folder)!r} is a {found[0]}, not a {cls.__name__}.")
    try:
        return cls.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"model_args: pretrained={str(folder)!r} cannot be opened: {error}") from error


def set_labels(config: Any, labels: Sequence[str]) -> None:
    """Give a configuration its labels."""
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}


def label_names_of(config: Any) -> tuple[str, ...]:
    """The labels of a configuration; transformers numbers those without a name."""
    return tuple(str(config.id2label[number]) for number in range(config.num_labels))


def has_no_names(config: Any, count: int) -> bool:
    """Whether a configuration has so many labels, all of them with transformers' own names for numbers."""
    return label_names_of(config) == tuple(f"LABEL_{number}" for number in range(count))


def plain_config(config: Any) -> dict[str, Any]:
    """All of a configuration as plain data."""
    found: dict[str, Any] = json.loads(config.to_json_string(use_diff=False))
    return found


def config_for(config: Any, labels: Sequence[str]) -> Any:
    """A copy of a configuration for other labels."""
    changed = type(config).from_dict(plain_config(config))
    set_labels(changed, labels)
    return changed


# --- image processors ------------------------------------------------------------------------------------------------


def own_processor(config: Any) -> Any:
    """The image processor in the folder that a model was opened from; ``None`` where there is none.

    Raises:
        CheckpointError: it cannot be opened.
    """
    origin = str(getattr(config, "_name_or_path", "") or "")
    folder = Path(origin).expanduser()
    if not origin or not any((folder / name).is_file() for name in _PROCESSOR_FILES):
        return None
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, ImportError) as error:
        raise CheckpointError(f"The image processor in {origin!r} cannot be opened: {error}") from error


def usual_processor(config: Any) -> Any:
    """The image processor that transformers takes for such a model by itself; ``None`` where it knows none."""
    from transformers.models.auto.image_processing_auto import IMAGE_PROCESSOR_MAPPING

    known: Any = IMAGE_PROCESSOR_MAPPING.get(type(config), None)  # RT-DETRv2 and D-FINE have none of their own
    found = known if isinstance(known, Sequence) else list(dict(known).values()) if known else ()
    cls = next((item for item in found if item is not None), None)
    return cls() if cls is not None else None


def spec_of_processor(processor: Any, size: tuple[int, int] | None = None) -> ImageSpec:
    """What an image processor does, as a spec.

    Args:
        processor: of transformers; ``None`` scales pixels to 0..1.
        size: (height, width) of the model where the processor does not decide it.

    Raises:
        CheckpointError: it does what a spec cannot say.
    """
    height, width = size or side_of(processor)
    if processor is None:
        return ImageSpec(height=height, width=width)
    factor = processor.rescale_factor if getattr(processor, "do_rescale", True) else 1.0
    normal = bool(getattr(processor, "do_normalize", False))
    mean = _three([value * _PIXEL / factor for value in processor.image_mean]) if normal else (0.0, 0.0, 0.0)
    std = _three([(value if normal else 1.0) * _PIXEL / factor for value in (processor.image_std or (1, 1, 1))])
    if getattr(processor, "rescale_offset", False) is True:
        raise CheckpointError(
            f"The image processor {type(processor).__name__} shifts the values of pixels by rescale_offset, which is "
            "not supported. Save the model with an image processor that has image_mean and image_std in its place."
        )
    cut = _cut_of(processor)
    return ImageSpec(
        height=height,
        width=width,
        resize="stretch" if cut is None else "crop",
        crop_fraction=1.0 if cut is None else cut,
        interpolation=_FILTERS.get(int(getattr(processor, "resample", 2) or 0), "bicubic"),
        mean=mean,
        std=std,
    )


def side_of(processor: Any) -> tuple[int, int]:
    """Height and width that an image processor makes of a square image; 640 where it does not say."""
    crop = _named(getattr(processor, "crop_size", None)) if getattr(processor, "do_center_crop", False) else {}
    size = crop or _named(getattr(processor, "size", None))
    if size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    side = int(size.get("shortest_edge") or _SIDE)
    return side, side


def _cut_of(processor: Any) -> float | None:
    """The share of the shorter side that a central crop keeps; ``None`` where the whole image is seen."""
    short = _named(getattr(processor, "size", None)).get("shortest_edge")
    share = getattr(processor, "crop_pct", None)
    if share is not None and short is not None:  # ConvNext: cut where small, stretched where large
        return float(share) if short < _CUT_BELOW else None
    if short is None or not getattr(processor, "do_center_crop", False):
        return None
    crop = _named(processor.crop_size)
    return min(1.0, float(min(crop["height"], crop["width"]) / short))


def _named(size: Any) -> dict[str, Any]:
    """A size of transformers by the names of its parts."""
    if size is None:
        return {}
    if isinstance(size, int):
        return {"shortest_edge": size}
    return dict(size) if isinstance(size, Mapping) else {k: v for k, v in vars(size).items() if v is not None}


def save_model(net: Any, spec: ImageSpec, folder: str | Path) -> Path:
    """Write a model with its configuration and an image processor that prepares images as the spec says.

    Args:
        net: of transformers; a low-rank adapter becomes part of the weights, and is written to ``adapter`` too.
        spec: how an image becomes its input.
        folder: to write to; ``from_pretrained`` of the model and of ``AutoImageProcessor`` open it.
    """
    folder = Path(folder).expanduser()
    merged(net).save_pretrained(folder)
    processor_for(net, spec).save_pretrained(folder)
    if lora_of(net) is not None:
        save_lora(net, folder / "adapter")
    return folder


def processor_for(net: Any, spec: ImageSpec) -> Any:
    """An image processor that does what a spec says, and reads the answers of the model."""
    import transformers

    settings: dict[str, Any] = {
        "do_resize": True,
        "resample": _RESAMPLE[spec.interpolation],
        "do_rescale": True,
        "rescale_factor": _PIXEL,
        "do_normalize": True,
        "image_mean": list(spec.mean),
        "image_std": list(spec.std),
    }
    size = {"height": spec.height, "width": spec.width}
    if spec.resize == "crop":
        short = {"shortest_edge": round(min(spec.size) / spec.crop_fraction)}
        return transformers.CLIPImageProcessor(**settings, size=short, do_center_crop=True, crop_size=size)
    usual = None if _CLASSIFIES in type(net).__name__ else usual_processor(net.config)
    cls = type(usual) if usual is not None else getattr(transformers, _processor_name(type(net).__name__))
    return cls(**settings, size=size)


def _processor_name(model: str) -> str:
    """The image processor of models that have none of their own, by the end of the name of their class."""
    known = {_CLASSIFIES: "ViT", "ForObjectDetection": "RTDetr", "ForSemanticSegmentation": "Segformer"}
    return next((name for end, name in known.items() if end in model), "Mask2Former") + "ImageProcessor"


def _three(values: Sequence[float]) -> tuple[float, float, float]:
    first, second, third = (float(value) for value in values)
    return first, second, third
