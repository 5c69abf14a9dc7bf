"""Parameters as one vector, and back."""

from __future__ import annotations

import pytest
import torch

from gdframe.diagnostics.trajectory import flatten, unflatten


@pytest.mark.parametrize("leading", [(), (4,), (2, 3)])
def test_a_vector_gives_parameters_of_any_shape_back(leading):
    shapes = {"a": (2, 3), "number": (), "b": (5,), "one": (1,), "none": (0, 2)}
    sizes = sum(torch.Size(shape).numel() for shape in shapes.values())
    vector = torch.randn(*leading, sizes)
    parameters = unflatten(vector, {name: torch.Size(shape) for name, shape in shapes.items()})
    assert {n: tuple(p.shape) for n, p in parameters.items()} == {
        n: (*leading, *shape) for n, shape in shapes.items()
    }
    if not leading:
        assert flatten(parameters) == pytest.approx(vector.double().numpy())
