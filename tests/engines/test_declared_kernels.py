"""Kernels of losses that are wrong somewhere are refused, however rare that place is."""

from __future__ import annotations

import functools
import math

import pytest
import torch
from torch import nn

import gdframe as gd
from gdframe.losses import BinaryLoss

from .declaring import CLASSES, DATA, TWO, assert_refused, build, problem
from .small import built, run_of

# losses


class Slope(gd.MSE):
    """A square whose kernel is given by each test."""

    def __call__(self, outputs, targets):
        return ((outputs - targets) ** 2).mean()


def loss_with(kernel, call=None):
    return type(
        "Written", (Slope,), {"kernel": staticmethod(kernel), "__call__": call or Slope.__call__}
    )()


class Perceptron(BinaryLoss):
    """Its slope at the kink is one by PyTorch, and zero by the kernel."""

    def __call__(self, outputs, targets):
        return torch.clamp(-targets * outputs, min=0).mean()

    @staticmethod
    def kernel(z, y):
        margin = -y * z
        if margin > 0:
            return margin, -y
        return 0.0, 0.0


class Multiclass(gd.CrossEntropy):
    """The largest margin; PyTorch shares the slope among ties, and the kernel takes the first."""

    def __call__(self, outputs, targets):
        true_class = targets.reshape(-1, 1)
        margins = (outputs + 1.0 - outputs.gather(1, true_class)).scatter(1, true_class, 0.0)
        return margins.amax(dim=1).mean()

    @staticmethod
    def kernel(z, label, slope):
        best, at = 0.0, label
        for k in range(len(z)):
            slope[k] = 0.0
            if k != label and 1.0 + z[k] - z[label] > best:
                best, at = 1.0 + z[k] - z[label], k
        if at != label:
            slope[at] = 1.0
            slope[label] = -1.0
        return best


class Overflows(gd.CrossEntropy):
    """The kernel leaves out the subtraction of the largest output."""

    def __call__(self, outputs, targets):
        return nn.functional.cross_entropy(outputs, targets)

    @staticmethod
    def kernel(z, label, slope):
        total = 0.0
        for k in range(len(z)):
            slope[k] = math.exp(z[k])
            total += slope[k]
        for k in range(len(z)):
            slope[k] /= total
        slope[label] -= 1.0
        return math.log(total) - z[label]


class Banded(gd.MSE):
    """Flat between two errors, which the kernel forgets."""

    low, high = 0.31, 0.34

    def __call__(self, outputs, targets):
        error = (outputs - targets).abs()
        flat = (error > self.low) & (error < self.high)
        return torch.where(flat, 0.1, error**2).mean()

    @staticmethod
    def kernel(z, y):
        error = z - y
        return error * error, error + error


class Trimmed(gd.MSE):
    """The value of a row depends on the other rows of its batch."""

    def __call__(self, outputs, targets):
        error = (outputs - targets).abs()
        cut = 10 * error.median().detach()
        return torch.where(error < cut, error**2, cut * (2 * error - cut)).mean()

    @staticmethod
    def kernel(z, y):
        error = z - y
        return error * error, error + error


class Stable(gd.MSE):
    """The kernel is finite where the loss is not."""

    def __call__(self, outputs, targets):
        return (outputs - targets).cosh().log().mean()

    @staticmethod
    def kernel(z, y):
        size = abs(z - y)
        tail = math.exp(-2.0 * size)
        slope = (1.0 - tail) / (1.0 + tail)
        return size + math.log((1.0 + tail) / 2.0), slope if z >= y else -slope


@pytest.mark.parametrize(("loss", "data"), [
    (Perceptron(), TWO), (Multiclass(), CLASSES), (Overflows(), CLASSES), (Banded(), DATA),
    (Trimmed(), DATA), (Stable(), DATA),
])  # fmt: skip
def test_a_kernel_that_is_wrong_somewhere_is_refused(loss, data):
    assert_refused("linear", [problem(loss=loss, data=data)], "kernel of its loss", data)


def sign(value):
    return 1.0 if value >= 0 else -1.0


def helped(z, y):
    return (z - y) * (z - y), 2.0 * abs(z - y) * sign(z - y)


def doubled(kernel):
    @functools.wraps(kernel)
    def twice(z, y):
        value, slope = kernel(z, y)
        return 2 * value, 2 * slope

    return twice


def halved(z, y):
    return 0.5 * (z - y) * (z - y), z - y


def test_a_kernel_may_use_no_other_names():
    with pytest.raises(gd.CannotExecute, match="uses 'sign': a kernel may use the module math"):
        build("linear", [problem(loss=loss_with(helped))])
    factor = 2.0

    def closed(z, y):
        return (z - y) * (z - y), factor * (z - y)

    with pytest.raises(gd.CannotExecute, match="uses 'factor'"):
        build("linear", [problem(loss=loss_with(closed))])


def test_a_kernel_in_a_wrapper_is_refused():
    with pytest.raises(gd.CannotExecute, match="uses 'kernel'"):
        build("linear", [problem(loss=loss_with(doubled(halved)))])


class FarOff(gd.MSE):
    """A kernel that is right only near the target."""

    def __call__(self, outputs, targets):
        return ((outputs - targets) ** 2).mean()

    @staticmethod
    def kernel(z: float, y: float) -> tuple[float, float]:
        error = z - y
        return error * error, 2 * error if abs(error) < 20.0 else error


class Bounded(gd.Penalty):
    def value(self, weights):
        return self.strength * sum(torch.sum(w * w) for w in weights)

    @staticmethod
    def kernel(w: float, strength: float) -> tuple[float, float]:
        return strength * w * w, 2 * strength * w if w > -5.0 else 0.0


class WithoutArguments(gd.MSE):
    def __call__(self, outputs, targets):
        return ((outputs - targets) ** 2).mean()

    @staticmethod
    def kernel(z: float, y: float, shift: float = 0.0) -> tuple[float, float]:
        return (z - y) ** 2, 2 * (z - y)


@pytest.mark.parametrize(("more", "reason"), [
    ({"loss": FarOff()}, "the kernel of its loss FarOff has another slope"),
    ({"penalty": Bounded(strength=0.1)}, "the kernel of its penalty Bounded has another slope"),
    ({"loss": WithoutArguments()}, "does not take its kernel_arguments"),
])  # fmt: skip
def test_a_kernel_that_differs_from_its_loss_or_penalty_is_refused(more, reason):
    with pytest.raises(gd.CannotExecute, match=reason):
        built("linear", run_of(**more))
