"""Who does the work: gdframe, scikit-learn, JAX, a plain PyTorch loop, and a loop in C.

Each makes ``train(updates) -> parameters`` for a problem; what comes before, compilation above all,
is set-up. Every update also records its loss and gradient norm, except in scikit-learn, which
records neither.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from problems import Problem

Train = Callable[[int], np.ndarray]
"""Does a number of updates and returns the parameters; ``built`` is the time set-up took."""


def gdframe(problem: Problem, *, shuffle: bool = True) -> Train:
    import torch

    import gdframe as gd

    torch.set_num_threads(problem.threads)
    x, y = problem.data()
    data = gd.Dataset.from_arrays(x, y)
    loader = (
        gd.FullBatch(len(x)) if not problem.batch
        else gd.MiniBatch(len(x), problem.batch, shuffle=shuffle)
    )  # fmt: skip
    runs = []
    for rate in problem.rates():
        loss = gd.LOSSES.build(problem.loss)
        shape = {"features": problem.features, "outputs": loss.outputs(data)}
        model = gd.MLP(**shape, hidden=problem.hidden) if problem.hidden else gd.Linear(**shape)
        if problem.hidden:
            gd.initialize(model, gd.Kaiming(), seed=0)
        rule = gd.GD(model.parameters(), lr=float(rate))
        runs.append(gd.Problem(gd.Objective(model, loss), rule, gd.Constant(), 0))
    begun = time.perf_counter()
    engine = gd.build_engine(problem.engine, runs, data, loader, epochs=1_000_000)
    built = time.perf_counter() - begun
    done = 0

    def train(updates: int) -> np.ndarray:
        nonlocal done
        last = done + updates
        while done < last:
            stop = min(engine.clock.epoch_end(done), last)
            engine.advance(done, stop)
            done = stop
        parameters = engine.parameters(len(runs) - 1)
        return np.concatenate([p.reshape(-1).numpy() for p in parameters.values()])

    train.built = built
    return train


def sklearn(problem: Problem, *, shuffle: bool = True) -> Train:
    from sklearn.linear_model import SGDClassifier, SGDRegressor

    x, y = problem.data()
    rate = float(problem.rates()[-1])
    common = {"penalty": None, "learning_rate": "constant", "tol": None, "shuffle": shuffle}
    if problem.loss == "mse":  # its loss is one half of the squared error
        make = lambda epochs: SGDRegressor(eta0=2 * rate, max_iter=epochs, **common)  # noqa: E731
    else:
        make = lambda epochs: SGDClassifier(  # noqa: E731
            loss="log_loss", eta0=rate, max_iter=epochs, **common
        )

    def train(updates: int) -> np.ndarray:
        fitted = make(max(1, updates // len(x))).fit(x, y)
        return np.concatenate([fitted.coef_.reshape(-1), fitted.intercept_.reshape(-1)])

    return train


def _torch_model(problem: Problem):
    import torch

    import gdframe as gd

    outputs = problem.classes if problem.classes > 2 else 1
    if not problem.hidden:
        model = torch.nn.Linear(problem.features, outputs)
        torch.nn.init.zeros_(model.weight)
        torch.nn.init.zeros_(model.bias)
        return model
    model = gd.MLP(problem.features, outputs, hidden=problem.hidden)
    gd.initialize(model, gd.Kaiming(), seed=0)
    return model


def torch(problem: Problem, *, shuffle: bool = True) -> Train:
    import torch

    torch.set_num_threads(problem.threads)
    features, targets = problem.data()
    x, y = torch.from_numpy(features), torch.from_numpy(targets)
    model = _torch_model(problem)
    optimizer = torch.optim.SGD(model.parameters(), lr=float(problem.rates()[-1]))
    loss_of = {
        "mse": lambda z, y: ((z[:, 0] - y) ** 2).mean(),
        "binary_cross_entropy": lambda z, y: torch.nn.functional.binary_cross_entropy_with_logits(
            z[:, 0], y.float()
        ),
        "cross_entropy": torch.nn.functional.cross_entropy,
    }[problem.loss]
    size = problem.size

    def train(updates: int) -> np.ndarray:
        done, losses, norms = 0, [], []
        while done < updates:
            order = torch.randperm(len(x)) if shuffle else torch.arange(len(x))
            for start in range(0, len(x) - size + 1, size):
                if size == len(x):
                    xb, yb = x, y
                else:
                    rows = order[start : start + size]
                    xb, yb = x[rows], y[rows]
                optimizer.zero_grad()
                loss = loss_of(model(xb), yb)
                loss.backward()
                losses.append(loss.detach())
                norms.append(torch.cat([p.grad.reshape(-1) for p in model.parameters()]).norm())
                optimizer.step()
                done += 1
                if done == updates:
                    break
        return torch.cat([p.detach().reshape(-1) for p in model.parameters()]).numpy()

    return train


def jax(problem: Problem, *, shuffle: bool = True) -> Train:
    import jax
    import jax.numpy as jnp
    import optax

    features, targets = problem.data()
    x, y = jnp.asarray(features), jnp.asarray(targets)
    start = [jnp.asarray(p.detach().numpy()) for p in _torch_model(problem).parameters()]

    def forward(params, x):
        while len(params) > 2:
            x = jax.nn.relu(x @ params[0].T + params[1])
            params = params[2:]
        return x @ params[0].T + params[1]

    def loss_of(params, x, y):
        z = forward(params, x)
        if problem.loss == "mse":
            return ((z[:, 0] - y) ** 2).mean()
        if problem.loss == "binary_cross_entropy":
            return optax.sigmoid_binary_cross_entropy(z[:, 0], y).mean()
        return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()

    def epoch(params, rate, indices, *, gathers_first):
        rule = optax.sgd(rate)

        def step(carry, batch):
            params, state = carry
            rows = batch if gathers_first else (x[batch], y[batch])
            loss, grads = jax.value_and_grad(loss_of)(params, *rows)
            updates, state = rule.update(grads, state)
            return (optax.apply_updates(params, updates), state), (loss, optax.global_norm(grads))

        batches = (x[indices], y[indices]) if gathers_first else indices
        (params, _), trace = jax.lax.scan(step, (params, rule.init(params)), batches)
        return params, trace

    steps = len(x) // problem.size
    forms = [partial(epoch, gathers_first=first) for first in (False, True)]
    if problem.runs > 1:
        forms = [jax.jit(jax.vmap(form, in_axes=(0, 0, None))) for form in forms]
        start = [jnp.broadcast_to(p, (problem.runs, *p.shape)) for p in start]
        rate = jnp.asarray(problem.rates(), dtype=jnp.float32)
    else:
        forms, rate = [jax.jit(form) for form in forms], jnp.float32(problem.lr)
    draw = np.random.default_rng(0)
    params = start

    def indices() -> np.ndarray:
        order = draw.permutation(len(x)) if shuffle else np.arange(len(x))
        return order[: steps * problem.size].reshape(steps, problem.size)

    def seconds(form) -> float:
        begun = time.perf_counter()
        jax.block_until_ready(form(params, rate, indices()))
        return time.perf_counter() - begun

    # rows of an epoch gathered at once, or of each batch in its step: the faster form counts
    begun = time.perf_counter()
    setups = [seconds(form) for form in forms]
    times = [min(seconds(form) for _ in range(3)) for form in forms]
    fastest = times.index(min(times))
    compiled, built = forms[fastest], setups[fastest]
    choosing = time.perf_counter() - begun - built  # a person knows which one to write

    def train(updates: int) -> np.ndarray:
        nonlocal params
        for _ in range(max(1, updates // steps)):
            params, trace = compiled(params, rate, indices())
            jax.block_until_ready(trace)
        last = [p[-1] if problem.runs > 1 else p for p in params]
        return np.concatenate([np.asarray(p).reshape(-1) for p in last])

    train.built, train.choosing = built, choosing
    return train


C_SOURCE = """
#include <math.h>
#include <stdint.h>
void sgd(const float *x, const float *y, const int64_t *order, int64_t n, int64_t d, float *w,
         float rate, float *losses, float *norms) {
  float b = w[d];
  for (int64_t t = 0; t < n; t++) {
    if (t + 16 < n)
      for (int64_t j = 0; j < d; j += 16) __builtin_prefetch(x + order[t + 16] * d + j);
    const float *row = x + order[t] * d;
    float z = b;
    for (int64_t j = 0; j < d; j++) z += row[j] * w[j];
    float e = z - y[order[t]], s = 2 * e, squared = s * s;
    for (int64_t j = 0; j < d; j++) {
      float g = s * row[j];
      squared += g * g;
      w[j] -= rate * g;
    }
    b -= rate * s;
    losses[t] = e * e;
    norms[t] = sqrtf(squared);
  }
  w[d] = b;
}
"""


def c(problem: Problem, *, shuffle: bool = True) -> Train:
    x, y = problem.data()
    folder = Path(tempfile.mkdtemp())
    (folder / "sgd.c").write_text(C_SOURCE)
    subprocess.run(
        ["cc", "-O3", "-march=native", "-ffast-math", "-shared", "-fPIC", "sgd.c", "-o", "sgd.so",
         "-lm"],
        cwd=folder, check=True,
    )  # fmt: skip
    sgd = ctypes.CDLL(str(folder / "sgd.so")).sgd
    rows, width = x.shape
    w = np.zeros(width + 1, np.float32)
    losses, norms = np.empty(rows, np.float32), np.empty(rows, np.float32)
    draw = np.random.default_rng(0)

    def pointer(array: np.ndarray) -> ctypes.c_void_p:
        return ctypes.c_void_p(array.ctypes.data)

    def train(updates: int) -> np.ndarray:
        for _ in range(max(1, updates // rows)):
            order = draw.permutation(rows) if shuffle else np.arange(rows)
            sgd(
                pointer(x), pointer(y), pointer(order), ctypes.c_int64(min(rows, updates)),
                ctypes.c_int64(width), pointer(w), ctypes.c_float(problem.lr), pointer(losses),
                pointer(norms),
            )  # fmt: skip
        return w

    return train


def product(problem: Problem, *, shuffle: bool = True) -> Train:
    """One XᵀX in the type of the data: what least squares from it cannot do without."""
    import torch

    torch.set_num_threads(problem.threads)
    x = torch.from_numpy(problem.data()[0])

    def train(updates: int) -> np.ndarray:
        return (x.T @ x).numpy()

    return train
