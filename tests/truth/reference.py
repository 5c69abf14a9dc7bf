"""Optimum, curvature, limits and separability of linear models, in NumPy and SciPy alone."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.optimize import linprog, minimize
from scipy.special import expit, log_softmax, logsumexp, softmax

BETA = 0.9
"""Momentum of both rules with it."""

PRODUCT = {"gd": 2.0, "momentum": 2 * (1 + BETA), "nesterov": (2 + 2 * BETA) / (1 + 2 * BETA)}
"""Largest stable product of learning rate and curvature."""


class LinearProblem:
    """A linear model on data.

    Args:
        x: (rows, columns) features; the last column is ones.
        y: (rows,) numbers, -1 and 1, or class indices.
        loss: its name in gdframe.
        outputs: number of outputs.
        penalty: name and strength; of weights, not of biases.
    """

    def __init__(self, x, y, loss, outputs, penalty):
        self.x, self.y, self.loss, self.outputs = x, y, loss, outputs
        self.kind, self.strength = penalty
        self.l1 = self.strength if self.kind == "l1" else 0.0
        self.l2 = self.strength if self.kind == "l2" else 0.0

    def row_losses(self, z):
        """(rows, outputs) -> losses, slopes and second derivatives (diagonal losses only)."""
        y = self.y[:, None]
        match self.loss:
            case "mse":
                return (z - y) ** 2, 2 * (z - y), 2 + 0 * z
            case "mae":
                return np.abs(z - y), np.sign(z - y), 0 * z
            case "huber":
                e = z - y
                near = np.abs(e) <= 1
                return np.where(near, e * e / 2, np.abs(e) - 0.5), np.clip(e, -1, 1), near * 1.0
            case "poisson":
                with np.errstate(over="ignore"):
                    return np.exp(z) - y * z, np.exp(z) - y, np.exp(z)
            case "binary_cross_entropy":
                p = expit(z)
                return np.logaddexp(0, -y * z), -y * expit(-y * z), p * (1 - p)
            case "hinge":
                active = y * z < 1
                return np.maximum(0, 1 - y * z), -y * active, 0 * z
            case "squared_hinge":
                m = np.maximum(0, 1 - y * z)
                return m * m, -2 * y * m, 2.0 * (m > 0)
            case "cross_entropy":
                own = np.eye(self.outputs)[self.y]
                return -(own * log_softmax(z, axis=1)).sum(1), softmax(z, axis=1) - own, None
        raise ValueError(self.loss)

    def smooth(self, flat):
        """Return loss + l2 penalty and its gradient at flat parameters (outputs * columns,)."""
        w = flat.reshape(self.outputs, -1)
        losses, slopes, _ = self.row_losses(self.x @ w.T)
        weights = w[:, :-1]
        gradient = slopes.T @ self.x / len(self.x)
        gradient[:, :-1] += 2 * self.l2 * weights
        return losses.mean() + self.l2 * (weights**2).sum(), gradient.ravel()

    def value(self, flat):
        weights = flat.reshape(self.outputs, -1)[:, :-1]
        return self.smooth(flat)[0] + self.l1 * np.abs(weights).sum()

    @cached_property
    def minimum(self):
        """The minimum; None where no method here finds it surely."""
        x, y, n, d = self.x, self.y, *self.x.shape
        if self.is_separable:
            return 0.0
        if self.loss == "mse" and not self.l1:
            ridge = np.sqrt(n * self.l2) * np.eye(d)[:-1]
            w = np.linalg.lstsq(np.vstack([x, ridge]), np.append(y, np.zeros(d - 1)))[0]
            return self.value(w)
        if self.loss in ("mae", "hinge"):
            return None if self.kind != "none" else self._linear_program()
        size = self.outputs * d
        options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-15, "gtol": 1e-10, "maxcor": 30}
        start = np.zeros(size)
        if self.loss == "huber":
            start = np.linalg.lstsq(x, y)[0]
        if not self.l1:
            return float(minimize(self.smooth, start, jac=True, method="L-BFGS-B",
                                  options=options).fun)  # fmt: skip
        is_weight = np.tile(np.arange(d) < d - 1, self.outputs)

        def split(v):
            value, gradient = self.smooth(v[:size] - v[size:])
            cost = self.l1 * is_weight
            both = np.append(gradient + cost, cost - gradient)
            return value + (np.append(cost, cost) * v).sum(), both

        bounds = [(0, None)] * (2 * size)
        return float(minimize(split, np.zeros(2 * size), jac=True, method="L-BFGS-B",
                              bounds=bounds, options=options).fun)  # fmt: skip

    def _linear_program(self):
        x, y, n, d = self.x, self.y, *self.x.shape
        cost = np.append(np.zeros(d), np.full(n, 1 / n))
        if self.loss == "mae":
            a = np.block([[x, -np.eye(n)], [-x, -np.eye(n)]])
            b = np.append(y, -y)
        else:
            a, b = np.hstack([-y[:, None] * x, -np.eye(n)]), -np.ones(n)
        bounds = [(None, None)] * d + [(0, None)] * n
        return float(linprog(cost, A_ub=a, b_ub=b, bounds=bounds).fun)

    @cached_property
    def is_separable(self):
        """Tell whether a linear model separates the classes and nothing bounds the weights."""
        bounded = self.kind != "none" and self.strength
        if bounded or self.loss not in ("binary_cross_entropy", "cross_entropy"):
            return False
        x, y, d = self.x, self.y, self.x.shape[1]
        if self.outputs == 1:
            rows = -y[:, None] * x
        else:
            rows = []
            for k in range(self.outputs):
                for other in range(self.outputs):
                    if k != other:
                        part = np.zeros(((y == k).sum(), self.outputs, d))
                        part[:, k], part[:, other] = -x[y == k], x[y == k]
                        rows.append(part.reshape(len(part), -1))
            rows = np.vstack(rows)
        solution = linprog(np.zeros(rows.shape[1]), A_ub=rows, b_ub=-np.ones(len(rows)),
                           bounds=[(None, None)] * rows.shape[1])  # fmt: skip
        return solution.status == 0

    @cached_property
    def baseline(self):
        """The loss of the best constant."""
        if self.outputs > 1:
            shares = np.bincount(self.y, minlength=self.outputs) / len(self.y)
            return float(-(shares[shares > 0] * np.log(shares[shares > 0])).sum())
        grid = np.unique(np.quantile(self.y, np.linspace(0, 1, 201)))
        grid = np.concatenate([grid, [self.y.mean(), 0.0], np.linspace(-8, 8, 1601)])
        if self.loss == "poisson":
            grid = np.append(grid, np.log(max(self.y.mean(), 1e-300)))
        return min(self.row_losses(np.full((len(self.y), 1), c))[0].mean() for c in grid)

    def hessian(self, flat):
        w = flat.reshape(self.outputs, -1)
        z = self.x @ w.T
        n, d = self.x.shape
        ridge = 2 * self.l2 * np.diag((np.arange(d) < d - 1) * 1.0)
        if self.outputs == 1:
            return (self.x.T * self.row_losses(z)[2][:, 0]) @ self.x / n + ridge
        p = softmax(z, axis=1)
        blocks = [[(self.x.T * (p[:, i] * ((i == j) - p[:, j]))) @ self.x / n + (i == j) * ridge
                   for j in range(self.outputs)] for i in range(self.outputs)]  # fmt: skip
        return np.block(blocks)

    def largest_curvature(self, flat):
        return float(np.linalg.eigvalsh(self.hessian(flat))[-1])

    def noisy_limit(self, rule, batch):
        """The learning rate up to which least squares is stable in mean square; gd and momentum."""
        n, d = self.x.shape
        data = 2 * self.x.T @ self.x / n
        mean = self.hessian(np.zeros(d))
        rows = 2 * np.einsum("ni,nj->nij", self.x, self.x)
        fourth = np.einsum("nij,nkl->ikjl", rows, rows).reshape(d * d, d * d) / n
        noise = fourth - np.kron(data, data)
        full, rest = divmod(n, batch)

        def radius(lr):
            if rule == "gd":
                whole = np.eye(d) - lr * mean
                effect = lr * lr * noise
            else:
                beta, eye = BETA, np.eye(d)
                scale = 1.0 if rule == "momentum" else 1.0 + beta
                tail = beta if rule == "momentum" else beta * beta
                whole = np.block([[eye - lr * scale * mean, -lr * tail * eye], [mean, beta * eye]])
                pick = np.kron(np.array([[-lr * scale, 0], [1.0, 0]]), np.eye(d))
                lift = np.kron(pick, pick)
                places = (np.arange(d)[:, None] * 2 * d + np.arange(d)).ravel()
                effect = np.zeros((4 * d * d, 4 * d * d))
                inner = np.zeros_like(effect)
                inner[np.ix_(places, places)] = noise
                effect = lift @ inner
            step = lambda size: np.kron(whole, whole) + (n - size) / (n - 1) / size * effect  # noqa: E731
            if rest == 0 or full >= 64:
                epoch = step(batch)
            else:
                epoch = step(rest) @ np.linalg.matrix_power(step(batch), full)
            return np.abs(np.linalg.eigvals(epoch)).max()

        high = PRODUCT[rule] / np.linalg.eigvalsh(mean)[-1]
        low = 0.0
        if radius(high * (1 - 1e-9)) <= 1 + 1e-12:
            return high
        for _ in range(14):
            middle = (low + high) / 2
            low, high = (middle, high) if radius(middle) <= 1 + 1e-12 else (low, middle)
        return low


def function_value(name, x, settings):
    """Return a function's value at a point (dimension,)."""
    match name:
        case "himmelblau":
            a, b = x
            return (a * a + b - 11) ** 2 + (a + b * b - 7) ** 2
        case "rastrigin":
            return (10 + x * x - 10 * np.cos(2 * np.pi * x)).sum()
        case "rosenbrock":
            return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()
        case "double_well":
            return ((x * x - 1) ** 2 + 0.3 * x).sum()
        case "quadratic":
            top = settings["condition_number"]
            return (0.5 * np.geomspace(1, top, len(x)) * x * x).sum()
    raise ValueError(name)


def differences(name, x, settings):
    """Return gradient and Hessian of a function by central differences."""
    f = lambda point: function_value(name, point, settings)  # noqa: E731
    h, unit = 1e-4 * (1 + np.abs(x).max()), np.eye(len(x))
    gradient = np.array([(f(x + h * u) - f(x - h * u)) / (2 * h) for u in unit])
    hessian = np.array([[(f(x + h * u + h * v) - f(x + h * u - h * v) - f(x - h * u + h * v)
                          + f(x - h * u - h * v)) / (4 * h * h) for v in unit]
                        for u in unit])  # fmt: skip
    return gradient, hessian


def newton_length(gradient, hessian):
    """Return the length of Newton's step with absolute curvatures."""
    values, vectors = np.linalg.eigh(hessian)
    return float(np.linalg.norm(vectors.T @ gradient / np.maximum(np.abs(values), 1e-12)))


__all__ = ["LinearProblem", "differences", "function_value", "logsumexp", "newton_length"]
