"""Newton's method with conjugate gradients, for smooth functions of a vector.

The decrease that a Newton step promises, half the Newton decrement, estimates how far the function
lies above the stationary point nearby. Source: Nocedal and Wright, "Numerical Optimization" (2006),
chapter 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

ACCURATE = 1e-3
"""Relative residual at which a Newton step is accurate enough."""


@dataclass(frozen=True)
class NewtonStep:
    """A step to the stationary point of the quadratic model at a point.

    Args:
        step: (size,) to subtract from the point.
        decrease: of the quadratic model by the step; at least 0.
        products: Hessian products computed.
    """

    step: Tensor
    decrease: float
    products: int


class Local:
    """Value, gradient and Hessian products of a function at a point.

    Args:
        function: of a vector (size,), twice differentiable, to a 0-d tensor.
        point: (size,).
    """

    def __init__(self, function: Callable[[Tensor], Tensor], point: Tensor) -> None:
        self._leaf = point.detach().clone().requires_grad_()
        with torch.enable_grad():
            value = function(self._leaf)
            (slope,) = torch.autograd.grad(value, self._leaf, create_graph=True)
        self.value, self.gradient = float(value.detach()), slope.detach()
        self._slope = slope

    def product(self, vector: Tensor) -> Tensor:
        """Return the Hessian times a vector (size,)."""
        if not self._slope.requires_grad:  # a constant gradient
            return torch.zeros_like(vector)
        with torch.enable_grad():  # a scalar: to check a vector's shape, PyTorch imports sympy
            along = self._slope @ vector
        (image,) = torch.autograd.grad(along, self._leaf, retain_graph=True, allow_unused=True)
        return torch.zeros_like(vector) if image is None else image

    def newton_step(self, most: int, gradient: Tensor | None = None) -> NewtonStep:
        """Return a Newton step by conjugate gradients.

        Along a direction of negative curvature the absolute curvature counts, and the iteration
        ends.

        Args:
            most: most Hessian products.
            gradient: (size,) to use instead of the function's.
        """
        residual = (self.gradient if gradient is None else gradient).clone()
        step, direction = torch.zeros_like(residual), residual.clone()
        square = first = float(residual @ residual)
        decrease, products = 0.0, 0
        while products < most and square > ACCURATE**2 * first and square > 0:
            image = self.product(direction)
            products += 1
            curvature = float(direction @ image)
            if not math.isfinite(curvature):
                return NewtonStep(step, math.inf, products)
            if curvature == 0:  # a slope without curvature has no stationary point nearby
                return NewtonStep(step, math.inf, products)
            length = square / abs(curvature)
            step = step + length * direction
            decrease += 0.5 * length * square
            if curvature < 0:
                break
            residual = residual - length * image
            last, square = square, float(residual @ residual)
            direction = residual + square / last * direction
        return NewtonStep(step, decrease, products)


def minimize(
    function: Callable[[Tensor], Tensor],
    start: Tensor,
    *,
    accuracy: float,
    most: int,
    stop: Callable[[Tensor], bool] = lambda _: False,
) -> tuple[Tensor, float] | None:
    """Return the minimiser of a smooth convex function and its value; None if it is not reached.

    Args:
        function: of a vector (size,) to a 0-d tensor.
        start: (size,), in float64.
        accuracy: decrease of a Newton step at which the iteration ends, in units of the value.
        most: most Hessian products.
        stop: ends the iteration at a point for another reason.

    Example:
        >>> point, value = minimize(lambda x: (x.exp() - 2 * x).sum(), torch.zeros(1).double(),
        ...                         accuracy=1e-12, most=100)
        >>> round(point.exp().item(), 4), round(value, 6)
        (2.0, 0.613706)
    """
    point, left = start, most
    while left > 0:
        local = Local(function, point)
        newton = local.newton_step(min(left, 2 * len(start) + 10))
        left -= newton.products + 1
        if stop(point) or newton.decrease <= accuracy * max(abs(local.value), 1e-300):
            return point, local.value
        if not math.isfinite(newton.decrease):
            return None
        length = 1.0
        while True:
            moved = point - length * newton.step
            with torch.no_grad():
                value = float(function(moved))
            if value <= local.value - 0.1 * length * newton.decrease:
                break
            length /= 2
            if length < 1e-8:  # rounding
                is_exact = newton.decrease <= 1e-9 * max(abs(local.value), 1e-300)
                return (point, local.value) if is_exact else None
        point = moved
    return None
