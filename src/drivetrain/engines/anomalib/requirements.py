"""What individual models need besides images and a backbone, so that missing things are reported before work starts."""
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
    """The needs of one model.

    Attributes:
        data: the input of the model; only ``"images"`` can be provided from a drivetrain data set.
        batch_size: the only batch size allowed in training.
        alone: whether each image must be processed alone, because its score depends on the others in its batch.
        least_size: minimum size of the model input, in pixels.
        folder: (argument, required content): a folder of images that the model itself reads; the model would download
            it.
        cached: (place, description): what the model would download. The place is below Anomalib's folder of weights,
            the home folder (``~``) or torch's hub (``hub:``).
        cached_argument: the argument that names the file of these weights instead.
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
    """The needs of a model class, or of the class that it derives from."""
    return next((NEEDS[base.__name__] for base in cls.__mro__ if base.__name__ in NEEDS), NOTHING)


def eval_batch_size(cls: type, asked: int | None = None) -> int:
    """How many images a model processes at once, outside of training.

    Args:
        cls: the model class.
        asked: the batch size that the user requested.
    """
    return 1 if need_of(cls).alone else asked or _EVAL_BATCH


def check(
    cls: type, arguments: Mapping[str, Any], *, image_size: tuple[int, int] | None, batch_size: int | None, native: bool
) -> None:
    """Refuse a training that cannot work.

    Args:
        cls: the model class.
        arguments: the arguments of its constructor.
        image_size: (height, width), if given.
        batch_size: the batch size of the training, if given.
        native: whether the data are Anomalib's own.

    Raises:
        DataError: the model does not work on single images.
        MissingDependencyError: a package is not installed.
        ModelError: weights or pictures are not where the model expects them.
        OptionError: the image size or the batch size is not allowed.
    """
    need, name = need_of(cls), cls.__name__
    if need.data != "images" and not native:
        raise DataError(
            f"{name} works on {need.data}, not on single images. Give one of Anomalib's own datamodules for that."
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
    """The client package that VlmAd needs for its language model."""
    model = str(getattr(arguments.get("model", "llava"), "value", arguments.get("model", "llava")))
    return next(((package, install),) for start, package, install in _BACKENDS if model.startswith(start))


def sources(cls: type) -> dict[str, str]:
    """What the upstream would download for a model class: the name of the archive or file -> its URL."""
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
