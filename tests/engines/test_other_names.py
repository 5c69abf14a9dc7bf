"""A model that keeps its parameters by another name, as a view, runs on the plain loop alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from fitted import data_of

import gdframe as gd

NAMES = {
    "detached": lambda weight: weight.detach(),
    "numpy": lambda weight: weight.detach().numpy(),
    "a row": lambda weight: weight.data[0],
    "in a list": lambda weight: [weight.detach()],
    "in a function": lambda weight: partial(torch.sum, weight.detach()),
}


@pytest.mark.parametrize("engine", ["linear", "gram", "compiled"])
@pytest.mark.parametrize("name", NAMES)
def test_a_model_that_knows_its_weights_by_another_name_is_refused(name, engine):
    class Looking(gd.LinearModel):
        def __init__(self):
            super().__init__(3, 1, bias=True)
            self.seen = NAMES[name](self.weight)

        def design(self, x):
            return x

    data, model = data_of(), Looking().double()
    model.seen = NAMES[name](model.weight)
    loader = gd.FullBatch(data.rows)
    rule = gd.GD(model.parameters(), lr=0.05)
    with pytest.raises(gd.CannotExecute, match="Looking"):
        gd.Trainer(model, gd.MSE(), rule, loader, data, epochs=4, engine=engine)
