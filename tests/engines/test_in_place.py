"""Models and losses that write into their rows are refused, at best before the data is touched."""

from __future__ import annotations

import pytest
from torch import nn

import gdframe as gd

from .writing import dataset


class Noisy(nn.Module):
    """Adds noise to its features in training alone."""

    def __init__(self):
        super().__init__()
        self.layer, self.calls = nn.Linear(3, 1), 0

    def forward(self, x):
        self.calls += 1
        if self.training:
            x.add_(0.1)
        return self.layer(x)


class Outliers(Noisy):
    """Writes where a value is large, which the first rows need not have."""

    def forward(self, x):
        x[x.abs() > 1e3] = 0.0
        return self.layer(x)


class Late(Noisy):
    def forward(self, x):
        self.calls += 1
        if self.calls > 6 and self.training == self.late_in_training:
            x.clamp_(-1.0, 1.0)
        return self.layer(x)


class LateInTraining(Late):
    late_in_training = True


class LateInEvaluation(Late):
    late_in_training = False


class Winsorised(gd.MSE):
    def __call__(self, outputs, targets):
        targets[targets > 1e3] = 1e3
        return super().__call__(outputs, targets)


def trainer(data, *, model=None, loss=None, size=64):
    model = (model or gd.Linear(3)).double()
    return gd.Trainer(
        model, loss or gd.MSE(), gd.GD(model.parameters(), lr=0.01), gd.MiniBatch(data.rows, size),
        data, engine="eager", epochs=8,
    )  # fmt: skip


@pytest.mark.parametrize("size", [64, 16])
@pytest.mark.parametrize(("part", "words"), [
    ({"model": Noisy()}, "model Noisy: forward changes its features in place"),
    ({"model": Outliers()}, "model Outliers: forward changes its features in place"),
    ({"loss": Winsorised()}, "loss Winsorised: changes its targets in place"),
])  # fmt: skip
def test_writers_into_rows_are_refused_before_the_data_is_touched(part, words, size):
    data = dataset()
    before = data.checksum()
    with pytest.raises(gd.UserError, match=words):
        trainer(data, size=size, **part)
    assert data.checksum() == before


@pytest.mark.parametrize("model", [LateInTraining, LateInEvaluation])
def test_a_model_that_writes_into_rows_later_ends_the_run(model):
    built = trainer(dataset(validation=0.25), model=model(), size=48)
    with pytest.raises(gd.UserError, match=f"model {model.__name__}: forward changes its features"):
        built.fit()


class NeedsThree(Noisy):
    """Takes any rows in evaluation, and batches of three or more in training."""

    def forward(self, x):
        if self.training and len(x) < 3:
            raise ValueError("expected three rows")
        return self.layer(x)


def test_a_model_may_need_more_rows_in_training():
    assert trainer(dataset(), model=NeedsThree()).fit().epochs > 0
