"""Operations that OpenVINO's converter lacks or converts incorrectly are correct in our graphs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch")
ov = pytest.importorskip("openvino")

from drivetrain.errors import ExportError  # noqa: E402
from drivetrain.export import conversion  # noqa: E402
from drivetrain.export.conversion import WAYS, convert_module, frozen_copy  # noqa: E402

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
    """The outputs of the graph and of the module."""
    graph = convert_module(frozen_copy(module), EXAMPLE)
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled(EXAMPLE.numpy())[0], module(EXAMPLE).detach().numpy()


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Only one of the ways."""
    monkeypatch.setattr(conversion, "WAYS", (request.param,))
    return str(request.param)


@pytest.mark.parametrize(
    "function",
    [
        lambda values: functional.softplus(values, beta=0.5),
        lambda values: functional.softplus(values),
        lambda values: functional.cosine_similarity(values, values.flip(1), dim=1),
        lambda values: functional.cosine_similarity(values * 0, values, dim=-1),
        lambda values: functional.interpolate(values, (3, 2), mode="bicubic", antialias=True),
        lambda values: functional.interpolate(values, (7, 11), mode="bicubic", antialias=True),
    ],
    ids=["softplus of a beta", "softplus", "cosine", "cosine of nothing", "made smaller", "made larger"],
)
def test_operations(function: Callable[[torch.Tensor], torch.Tensor], way: str) -> None:
    ours, theirs = answers(Applied(function))
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-5)


class Counted(torch.nn.Module):  # type: ignore[misc,name-defined]  # torch is not typed here
    """A layer whose output does not depend on the number of images."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Conv2d(3, 2, 3)

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return self.layer(values).flatten(1)


def test_the_number_of_images_stays_open(way: str) -> None:
    module = Counted().eval()
    graph = convert_module(frozen_copy(module), EXAMPLE[:1], dynamic_batch=True)
    graph.reshape([-1, 3, 4, 5])
    compiled = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for number in (1, 2, 5):
        images = torch.rand(number, 3, 4, 5)
        assert np.allclose(compiled(images.numpy())[0], module(images).detach().numpy(), atol=1e-5)


def one_alone(values: torch.Tensor) -> torch.Tensor:
    assert values.shape[0] == 1
    return values * 2


def count_built_in(values: torch.Tensor) -> torch.Tensor:
    return values.reshape(int(values.shape[0]), 60).reshape(values.shape) * 2


@pytest.mark.parametrize("function", [one_alone, count_built_in])
def test_a_module_with_a_number_of_images_built_in_is_converted_for_one(
    function: Callable[[torch.Tensor], torch.Tensor], way: str
) -> None:
    graph = convert_module(frozen_copy(Applied(function)), EXAMPLE[:1], dynamic_batch=True)
    graph.reshape([1, 3, 4, 5])
    assert np.allclose(
        ov.Core().compile_model(graph, "CPU")(EXAMPLE[:1].numpy())[0], EXAMPLE[:1].numpy() * 2, rtol=0.01
    )


@pytest.mark.parametrize("order", [WAYS, WAYS[::-1]], ids=" then ".join)
def test_the_ways_are_tried_in_their_order(order: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def fails(name: str) -> Callable[..., None]:
        def convert(*_: object) -> None:
            tried.append(name)
            raise RuntimeError(f"not like this: {name}")

        return convert

    monkeypatch.setattr(conversion, "WAYS", order)
    for name in order:
        monkeypatch.setitem(conversion._CONVERT, name, fails(name))
    with pytest.raises(ExportError, match="By trace: not like this: trace"):
        convert_module(frozen_copy(Applied(lambda values: values)), EXAMPLE)
    assert tuple(tried) == order


def test_vectors_added_in_single_and_in_double_precision_are_both_kept(way: str) -> None:
    first, whitening = torch.rand(5, 12) - 0.5, torch.rand(12, 12, dtype=torch.float64) - 0.5
    means = torch.rand(12) + 1.0, torch.full((12,), 1e-3, dtype=torch.float64)

    def whitened(values: torch.Tensor) -> torch.Tensor:
        return ((((values @ first) - means[0]).double() - means[1]) @ whitening).float()

    ours, theirs = answers(Applied(whitened))
    assert np.allclose(ours, theirs, rtol=1e-5, atol=1e-4)


def test_submodules_named_as_what_graphs_have_themselves(way: str) -> None:
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
