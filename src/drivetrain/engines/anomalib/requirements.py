"""What single models need beyond images and a backbone, so that a lack is said before work begins."""
# ruff: noqa: TID253 - loaded with the engine only

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from anomalib.data.utils import DownloadInfo
from anomalib.utils.path import get_pretrained_weights_dir

from drivetrain.errors import DataError, MissingDependencyError, ModelError, OptionError
from drivetrain.machine.packages import is_installed


@dataclass(frozen=True, slots=True)
class Need:
    """What one model needs.

    Attributes:
        data: what it looks at; only ``"images"`` can be made from a drivetrain data set.
        batch_size: the only one that training allows.
        alone: whether an image must be answered by itself, because its score depends on the others of its batch.
        least_size: of the model input, in pixels.
        folder: (argument, what must be in it): a folder of images that the model itself reads; the model would download
            it.
        cached: (place, what it is): what the model would download. The place is below Anomalib's folder of weights, the
            home folder (``~``) or torch's hub (``hub:``).
        cached_argument: that names the file of these weights instead.
        packages: (package, what to install).
    """

    data: Literal["images", "video", "images with depth"] = "images"
    batch_size: int | None = None
    alone: bool = False
    least_size: int | None = None
    folder: tuple[str, str] | None = None
    cached: tuple[str, str] | None = None
    cached_argument: str | None = None
    packages: tuple[tuple[str, str], ...] = ()


NOTHING = Need()
_DTD = "pictures of textures, such as the Describable Textures Dataset"
NEEDS: dict[str, Need] = {
    "AiVad": Need(data="video", cached=("~/.cache/clip/ViT-B-16.pt", "CLIP's pretrained ViT-B/16")),
    "AnomalyVFM": Need(packages=(("huggingface_hub", "anomalib[huggingface]"), ("safetensors", "safetensors"))),
    "Cflow": Need(alone=True),
    "CFM": Need(
        data="images with depth",
        cached=("pointmae/pointmae_pretrain.pth", "Point-MAE's pretrained weights"),
        cached_argument="pointmae_weights",
    ),
    "Draem": Need(folder=("dtd_dir", _DTD)),
    "Dsr": Need(cached=("dsr/vq_model_pretrained_128_4096.pckl", "the pretrained quantised autoencoder")),
    "EfficientAd": Need(
        batch_size=1,
        least_size=256,
        folder=("imagenet_dir", "class folders of ordinary pictures, such as Imagenette"),
        cached=("efficientad_pretrained_weights", "the pretrained teachers, unpacked"),
    ),
    "Fuvas": Need(data="video", cached=("hub:facebookresearch_pytorchvideo_main", "PyTorchVideo's code and weights")),
    "Glass": Need(folder=("anomaly_source_path", _DTD)),
    "Supersimplenet": Need(least_size=128),
    "WinClip": Need(packages=(("open_clip", "anomalib[clip]"),)),
}
_EVAL_BATCH = 8
_BACKENDS = (("gpt", "openai", "openai"), ("llava-hf/", "transformers", "transformers"), ("", "ollama", "ollama"))


def need_of(cls: type) -> Need:
    """What a class of models needs, or the class that it was derived from."""
    return next((NEEDS[base.__name__] for base in cls.__mro__ if base.__name__ in NEEDS), NOTHING)


def eval_batch_size(cls: type, asked: int | None = None) -> int:
    """How many images a model is asked about at once, outside of training.

    Args:
        cls: of the model.
        asked: by the user.
    """
    return 1 if need_of(cls).alone else asked or _EVAL_BATCH


def check(
    cls: type, arguments: Mapping[str, Any], *, image_size: tuple[int, int] | None, batch_size: int | None, native: bool
) -> None:
    """Refuse a training that cannot work.

    Args:
        cls: of the model.
        arguments: of its constructor.
        image_size: (height, width), if given.
        batch_size: of the training, if given.
        native: whether the data are Anomalib's own.

    Raises:
        DataError: the model looks at something else than single images.
        MissingDependencyError: a package is not installed.
        ModelError: weights or pictures are not where the model looks for them.
        OptionError: the image size or the batch size is not allowed.
    """
    need, name = need_of(cls), cls.__name__
    if need.data != "images" and not native:
        raise DataError(
            f"{name} looks at {need.data}, not at single images. Give one of Anomalib's own datamodules for that."
        )
    if need.batch_size is not None and batch_size not in (None, need.batch_size):
        raise OptionError(f"batch_size={batch_size}: {name} allows only {need.batch_size}.")
    if need.least_size is not None and image_size is not None and min(image_size) < need.least_size:
        raise OptionError(f"image_size={image_size}: {name} needs at least {need.least_size} pixels.")
    for package, install in need.packages if name != "VlmAd" else _backend(arguments):
        if not is_installed(package):
            raise MissingDependencyError(
                f'{name} needs the package {package!r}. Install it with: pip install "{install}"'
            )
    _check_files(cls, need, arguments)


def _backend(arguments: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The client that VlmAd needs for its language model."""
    model = str(getattr(arguments.get("model", "llava"), "value", arguments.get("model", "llava")))
    return next(((package, install),) for start, package, install in _BACKENDS if model.startswith(start))


def sources(cls: type) -> dict[str, str]:
    """What the upstream would download for a class of models: the name of the archive or file -> its address."""
    owner = next(base for base in cls.__mro__ if base.__name__ in NEEDS or base.__module__.startswith("anomalib."))
    package = owner.__module__.rpartition(".")[0]
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(f"{package}.")]
    infos = [value for module in modules for value in vars(module).values() if isinstance(value, DownloadInfo)]
    return {info.name: info.url for info in infos}


def _place(file: str) -> Path:
    if file.startswith("hub:"):
        return Path(torch.hub.get_dir()) / file.removeprefix("hub:")
    return Path(file).expanduser() if file.startswith("~") else get_pretrained_weights_dir() / file


def _check_files(cls: type, need: Need, arguments: Mapping[str, Any]) -> None:
    if arguments.get("pretrained") is True:
        return  # the upstream may download what it needs
    name = cls.__name__
    addresses = " and ".join(sorted(sources(cls).values()))
    where = f" (from {addresses})" if addresses else ""
    if need.folder is not None:
        argument, what = need.folder
        given = arguments.get(argument)
        if (given is not None or name != "Glass") and not (given and Path(given).is_dir()):
            raise ModelError(
                f"{name} needs a folder with {what}, and would download one{where}. Give it: "
                f'model_args={{"{argument}": "folder"}}, or allow the download: model_args={{"pretrained": True}}.'
            )
    given = arguments.get(need.cached_argument or "")
    if need.cached is not None and not (given and Path(given).is_file()):
        file, what = need.cached
        path = _place(file)
        if not path.exists():
            raise ModelError(
                f"{name} needs {what}, and would download it{where}. Put it at {str(path)!r}, or allow the "
                'download: model_args={"pretrained": True}.'
            )
