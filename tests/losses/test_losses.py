"""All registered losses, and their equality with torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import gdframe as gd

COUNTS = np.array([0.0, 1.0, 4.0, 2.0, 3.0, 0.0])
X = np.arange(12.0).reshape(6, 2)
DATA = {
    "regression": gd.Dataset.from_arrays(X, COUNTS, dtype=torch.float64),
    "classification": gd.Dataset.from_arrays(X, np.array(list("abbaab")), dtype=torch.float64),
}
NAMES = list(gd.LOSSES)


@pytest.mark.parametrize("name", NAMES)
def test_value_is_a_mean_over_rows_with_a_gradient(name):
    loss = gd.LOSSES.build(name)
    data = DATA[loss.task]
    loss.check(data)
    outputs = torch.randn(6, loss.outputs(data), dtype=torch.float64, requires_grad=True)
    targets = loss.encode(data.train.targets, torch.float64)
    value = loss(outputs, targets)
    assert value.shape == ()
    rows = torch.stack([loss(outputs[i : i + 1], targets[i : i + 1]) for i in range(6)])
    torch.testing.assert_close(value, rows.mean())
    assert torch.autograd.gradcheck(lambda z: loss(z, targets), outputs)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_have_the_shape_of_the_task(name):
    loss = gd.LOSSES.build(name)
    data = DATA[loss.task]
    outputs = torch.randn(6, loss.outputs(data), dtype=torch.float64)
    predicted = loss.predict(outputs)
    assert predicted.shape == ((6, 1) if loss.task == "regression" else (6,))
    shares = loss.probabilities(outputs)
    if shares is not None:
        assert shares.shape == (6, 2)
        torch.testing.assert_close(shares.sum(dim=1), torch.ones(6, dtype=torch.float64))
        assert torch.equal(shares.argmax(dim=1), predicted)


@pytest.mark.parametrize("name", NAMES)
def test_data_of_another_task_are_refused(name):
    loss = gd.LOSSES.build(name)
    task = {"regression": "classification", "classification": "regression"}[loss.task]
    with pytest.raises(gd.UserError, match="is for"):
        loss.check(DATA[task])


@pytest.mark.parametrize("name", ["binary_cross_entropy", "hinge", "squared_hinge"])
def test_losses_for_two_classes_refuse_three(name):
    three = gd.Dataset.from_arrays(X, np.array(list("abcabc")))
    with pytest.raises(gd.UserError, match=r"two classes.*has 3: use loss=cross_entropy"):
        gd.LOSSES.build(name).check(three)


def test_poisson_refuses_negative_targets():
    with pytest.raises(gd.UserError, match="has the value -1"):
        gd.Poisson().check(gd.Dataset.from_arrays(X, COUNTS - 1))


def test_losses_equal_torch():
    torch.manual_seed(0)
    z, y = torch.randn(5, 1), torch.rand(5, 1) * 3
    label = torch.tensor([0, 1, 1, 0, 1])
    functional = torch.nn.functional
    pairs = [
        (gd.MSE()(z, y), functional.mse_loss(z, y)),
        (gd.MAE()(z, y), functional.l1_loss(z, y)),
        (gd.Huber(delta=0.5)(z, y), functional.huber_loss(z, y, delta=0.5)),
        (gd.Poisson()(z, y), functional.poisson_nll_loss(z, y)),
        (
            gd.BinaryCrossEntropy()(z, gd.BinaryCrossEntropy().encode(label, z.dtype)),
            functional.binary_cross_entropy_with_logits(z, label[:, None].float()),
        ),
    ]
    for ours, theirs in pairs:
        torch.testing.assert_close(ours, theirs)


def test_extreme_outputs_stay_finite():
    z = torch.tensor([[1e4], [-1e4]], requires_grad=True)
    loss = gd.BinaryCrossEntropy()(z, torch.tensor([[-1.0], [1.0]]))
    loss.backward()
    assert loss.item() == 1e4
    assert z.grad.isfinite().all()
