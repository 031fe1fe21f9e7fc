"""The models tested with the contract in this repository, and the checks that they are known to fail.

``docs/support-matrix.md`` is generated from this: ``python -m drivetrain.testing.matrix``.
"""

from __future__ import annotations

from drivetrain.errors import DataError, ExportError, UnsupportedError
from drivetrain.testing import Expectation, Never, NotYet

# name of the case -> (engine, model)
CASES: dict[str, tuple[str, str]] = {
    "toy": ("toy", "toy:linear"),
    "lightning": ("lightning", "timm:mobilenetv3_small_050"),
    "torchvision": ("lightning", "torchvision:ssdlite320_mobilenet_v3_large"),
    "transformers-cls": ("lightning", "transformers:ViTForImageClassification"),
    "transformers-detect": ("lightning", "transformers:RTDetrV2ForObjectDetection"),
    "transformers-segment": ("lightning", "transformers:SegformerForSemanticSegmentation"),
    "ultralytics-cls": ("ultralytics", "yolo11n-cls"),
    "ultralytics-detect": ("ultralytics", "yolo11n"),
    "rfdetr": ("rfdetr", "rfdetr-nano"),
}

_HALF = (
    "It goes on after Ctrl-C, but Ultralytics keeps weights and optimizer in half precision and forgets the state of "
    "its random numbers, so it ends in other weights."
)

# (name of the case, name of the check without "test_") -> why it fails
EXPECTED: dict[tuple[str, str], Expectation] = {
    ("ultralytics-cls", "a_resumed_run_equals_an_uninterrupted_one"): NotYet(_HALF, raises=AssertionError),
    ("ultralytics-detect", "a_resumed_run_equals_an_uninterrupted_one"): NotYet(_HALF, raises=AssertionError),
    ("torchvision", "export[openvino-fp16]"): Never(
        "After two epochs the scores of its boxes are alike to 1e-4, and half precision puts them into another order. "
        "The comparison within the export pairs boxes by their overlap, and passes.",
        raises=AssertionError,
    ),
    ("toy", "export[onnx-fp32]"): Never("An example builds one graph; OpenVINO's.", raises=UnsupportedError),
}

# engine -> the models that are taken from images to the artefact, each separately
MODELS: dict[str, tuple[str, ...]] = {
    "anomalib": (
        *("AiVad", "AnomalyDINO", "AnomalyVFM", "CFM", "Cfa", "Cflow", "Csflow", "Dfkde", "Dfm", "Dinomaly", "Draem"),
        *("Dsr", "EfficientAd", "Fastflow", "FoundAD", "Fre", "Fuvas", "Ganomaly", "GeneralAD", "Glass", "InpFormer"),
        *("L2BT", "MHPatchcore", "Padim", "Patchcore", "Patchflow", "Rad", "ReverseDistillation", "Stfpm", "SuperADD"),
        *("Supersimplenet", "Uflow", "UniNet", "VlmAd", "WinClip"),
    ),
}

_OWN = "datamodules can be given, for training and Anomalib's own test; not run here, where its weights cannot be had."
_VIDEO = f"It looks at video, and drivetrain's data sets are images. Anomalib's own video {_OWN}"
_DEPTH = f"It looks at images with depth, and drivetrain's data sets have none. Anomalib's 3D {_OWN}"
# (engine, model, step) -> why it fails; later steps are skipped
EXPECTED_STEPS: dict[tuple[str, str, str], Expectation] = {
    ("anomalib", "AiVad", "train"): Never(_VIDEO, raises=DataError),
    ("anomalib", "Fuvas", "train"): Never(_VIDEO, raises=DataError),
    ("anomalib", "CFM", "train"): Never(_DEPTH, raises=DataError),
    ("anomalib", "VlmAd", "export"): Never(
        "It asks a language model and has no graph of its own.", raises=UnsupportedError
    ),
}

# (engine, model) -> why it cannot be exported by ``torch.export`` alone, without PyTorch's trace
TRACE_ONLY: dict[tuple[str, str], Expectation] = {
    ("anomalib", "Cflow"): NotYet(
        "Its forward moves its decoders to the device of the images, which `torch.export` does not allow.",
        raises=ExportError,
    ),
    ("rfdetr", "rfdetr-nano"): NotYet(
        "Its deformable attention checks sizes that it computes from tensors, which `torch.export` cannot follow.",
        raises=ExportError,
    ),
}


def expected(case: str) -> dict[str, Expectation]:
    """The expected failures of a case, by check."""
    assert case in CASES, f"{case!r} must be one of the cases in expected_failures.py"
    return {check: reason for (name, check), reason in EXPECTED.items() if name == case}


def expected_step(engine: str, model: str, step: str) -> Expectation | None:
    """Why a model must fail at a step, if it must."""
    assert model in MODELS[engine], f"{model!r} must be one of MODELS in expected_failures.py"
    return EXPECTED_STEPS.get((engine, model, step))
