"""The work that is timed: sizes, model, loss and variant of each row, and what it should reach."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

_made: dict[str, tuple[np.ndarray, np.ndarray]] = {}


@dataclass(frozen=True)
class Problem:
    """One row of the table.

    Args:
        name: what it is called.
        peers: who is compared; the first is gdframe's engine, forced by name.
        reach: by peer, how many times faster than it gdframe should be; below one, how close.
        model: ``linear``, or widths of hidden layers.
        loss: gdframe's name of it.
        rows: of the data.
        features: of the data.
        classes: 0 for regression.
        batch: rows an update takes; 0 for all.
        runs: learning rates trained at once.
        updates: how many are timed, by peer, so that slow ones end.
        threads: that everything is pinned to.
    """

    name: str
    engine: str
    peers: tuple[str, ...]
    reach: dict[str, float]
    loss: str = "mse"
    hidden: tuple[int, ...] = ()
    rows: int = 100_000
    features: int = 20
    classes: int = 0
    batch: int = 1
    runs: int = 1
    updates: dict[str, int] = field(default_factory=dict)
    threads: int = 1
    lr: float = 1e-3

    @property
    def size(self) -> int:
        """Rows an update takes."""
        return self.batch or self.rows

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Return features (rows, features) and targets (rows,), float32 or class indices."""
        if self.name not in _made:
            _made[self.name] = self._make()
        return _made[self.name]

    def _make(self) -> tuple[np.ndarray, np.ndarray]:
        if self.name.endswith("digits"):
            from sklearn.datasets import load_digits

            x, y = load_digits(return_X_y=True)
            return ((x - x.mean(0)) / np.maximum(x.std(0), 1e-9)).astype(np.float32), y
        draw = np.random.default_rng(0)
        x = draw.standard_normal((self.rows, self.features), dtype=np.float32)
        w = draw.standard_normal((self.features, max(1, self.classes)), dtype=np.float32)
        y = x @ w + 0.1 * draw.standard_normal((self.rows, w.shape[1]), dtype=np.float32)
        if not self.classes:
            return x, y[:, 0]
        return x, (y.argmax(1) if self.classes > 2 else (y[:, 0] > 0).astype(np.int64))

    def rates(self) -> np.ndarray:
        """Return the learning rates of all runs."""
        return self.lr * np.linspace(0.5, 1.0, self.runs) if self.runs > 1 else np.array([self.lr])


LOGISTIC = {"loss": "binary_cross_entropy", "classes": 2}
PROBLEMS = [
    Problem("per-sample, linear MSE, d = 20", "linear", ("sklearn", "jax", "torch", "c"),
            {"sklearn": 5, "jax": 2, "torch": 1000, "c": 1 / 1.3}),
    Problem("per-sample, linear MSE, d = 200", "linear", ("sklearn", "jax", "c"),
            {"sklearn": 5, "jax": 2, "c": 1 / 1.3}, features=200, lr=1e-4),
    Problem("per-sample, logistic, d = 20", "linear", ("sklearn",), {"sklearn": 3}, **LOGISTIC),
    Problem("per-sample, logistic, d = 200", "linear", ("sklearn",), {"sklearn": 3},
            features=200, **LOGISTIC),
    Problem("per-sample, softmax, digits", "linear", ("sklearn",), {"sklearn": 3},
            loss="cross_entropy", rows=1797, features=64, classes=10),
    Problem("mini-batch 32, linear MSE, d = 20", "linear", ("jax", "torch"),
            {"jax": 2, "torch": 100}, batch=32, lr=1e-2),
    Problem("mini-batch 32, logistic, d = 20", "linear", ("jax", "torch"),
            {"jax": 2, "torch": 100}, batch=32, **LOGISTIC),
    Problem("full batch, logistic, N = 1M, d = 100", "linear", ("torch",), {"torch": 4},
            rows=1_000_000, features=100, batch=0, threads=2, lr=0.1,
            updates={"gdframe": 10, "torch": 10}, **LOGISTIC),
    Problem("full batch, MSE, N = 1M, d = 100, 1,000 epochs", "gram", ("torch", "product"),
            {"torch": 300, "product": 1 / 3}, rows=1_000_000, features=100, batch=0, threads=2,
            lr=0.1, updates={"gdframe": 1000, "torch": 20, "product": 1}),
    Problem("mini-batch 32, MLP 20-64-1", "compiled", ("jax", "torch"), {"jax": 1, "torch": 15},
            hidden=(64,), batch=32, lr=1e-2),
    Problem("mini-batch 128, MLP 784-256-10", "compiled", ("jax", "torch"),
            {"jax": 1, "torch": 1.3}, loss="cross_entropy", hidden=(256,), rows=19_968,
            features=784, classes=10, batch=128, lr=1e-2),
    Problem("64 rates at once, per-sample, linear", "linear", ("sklearn", "jax"),
            {"sklearn": 20, "jax": 2}, runs=64),
    Problem("64 rates at once, batch 32, MLP 20-64-1", "compiled", ("jax", "torch"),
            {"jax": 1, "torch": 40}, hidden=(64,), batch=32, runs=64, lr=1e-2),
]  # fmt: skip
