"""What OpenVINO's converter gets wrong or does not know is right in our graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ov = pytest.importorskip("openvino")

from drivetrain.errors import ExportError  # noqa: E402
from drivetrain.export.conversion import convert_module, frozen_copy  # noqa: E402

functional = torch.nn.functional
EXAMPLE = torch.rand(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)) * 20 - 8


class Applied(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is not typed here
    """A function as a module."""

    def __init__(self, function: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.function(values)


def answers(module: torch.nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Of the graph, and of the module."""
    graph = convert_module(frozen_copy(module), EXAMPLE)
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(EXAMPLE.numpy())[0], module(EXAMPLE).detach().numpy()


@pytest.mark.parametrize(
    "function",
    [
        lambda values: functional.softplus(values, beta=0.5),
        lambda values: functional.softplus(values),
        lambda values: functional.cosine_similarity(values, values.flip(1), dim=1),
        lambda values: functional.cosine_similarity(values * 0, values, dim=-1),
    ],
    ids=["softplus of a beta", "softplus", "cosine similarity", "cosine similarity of nothing"],
)
def test_operations(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    ours, theirs = answers(Applied(function))
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_vectors_added_in_single_and_in_double_precision_are_both_kept() -> None:
    first, whitening = torch.rand(5, 12) - 0.5, torch.rand(12, 12, dtype=torch.float64) - 0.5
    means = torch.rand(12) + 1.0, torch.full((12,), 1e-3, dtype=torch.float64)

    def whitened(values: torch.Tensor) -> torch.Tensor:
        return ((((values @ first) - means[0]).double() - means[1]) @ whitening).float()

    ours, theirs = answers(Applied(whitened))
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_submodules_named_as_what_torchscript_has_itself() -> None:
    class Inner(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is not typed here
        def __init__(self) -> None:
            super().__init__()
            self.graph = torch.nn.Conv2d(3, 2, 1)

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return self.graph(values) * 2

    class Outer(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is not typed here
        def __init__(self) -> None:
            super().__init__()
            self.code = Inner()

        def forward(self, values: torch.Tensor) -> torch.Tensor:
            return self.code(values)

    module = Outer().eval()
    before = list(module.state_dict())
    ours, theirs = answers(module)
    assert np.allclose(ours, theirs, atol=1e-5)
    assert list(module.state_dict()) == before


def test_tensors_that_hang_on_a_computation_are_copied() -> None:
    module = Applied(lambda values: values)
    module.register_buffer("bank", torch.ones(3, requires_grad=True) * 2)
    module.radius = torch.ones(1, requires_grad=True) * 0.5
    copied = frozen_copy(module)
    assert copied.bank.tolist() == [2.0, 2.0, 2.0]
    assert copied.radius.tolist() == [0.5]
    assert not copied.bank.requires_grad
    assert module.bank.requires_grad


def test_what_cannot_be_converted_is_said() -> None:
    def through_numpy(values: torch.Tensor) -> torch.Tensor:
        return torch.linalg.lstsq(values, values).solution

    with pytest.raises(ExportError, match="OpenVINO cannot convert the model"):
        convert_module(frozen_copy(Applied(through_numpy)), EXAMPLE)
