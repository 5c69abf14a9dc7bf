"""The scripts that whole commands are compared with, and the settings that they share.

Each reads the table, holds out a fifth of the rows, standardises, trains with mini-batches (in
scikit-learn's linear models by sample) and prints r2 on the rows that were held out. They are
written as for one's own use.
"""

from __future__ import annotations

SETTINGS = """
BATCH, EPOCHS, RATE, PATH, HIDDEN, RATES, FOLDS = 32, 10, 0.001, "table.csv", 0, [], 0
"""

READ = """
import numpy as np
if PATH is None:
    from sklearn.datasets import load_diabetes
    x, y = load_diabetes(return_X_y=True, scaled=False)
else:
    import pandas as pd
    table = pd.read_csv(PATH) if PATH.endswith("csv") else pd.read_parquet(PATH)
    x, y = table.drop(columns="y").to_numpy(np.float32), table["y"].to_numpy(np.float32)
order = np.random.default_rng(0).permutation(len(x))
x, y = x[order], y[order]
parts = np.array_split(np.arange(len(x)), FOLDS or 5)
folds = parts if FOLDS else parts[:1]

def split(held_out):
    train = np.setdiff1d(np.arange(len(x)), held_out)
    mean, deviation = x[train].mean(0), x[train].std(0)
    scaled = ((x - mean) / deviation).astype(np.float32)
    target = y.astype(np.float32)
    return scaled[train], target[train], scaled[held_out], target[held_out]

def r2(predicted, target):
    return 1 - ((predicted - target) ** 2).mean() / target.var()
"""

SKLEARN = (
    READ
    + """
from sklearn.linear_model import SGDRegressor
from sklearn.neural_network import MLPRegressor

def fitted(rate, x, y):
    if HIDDEN:
        model = MLPRegressor(hidden_layer_sizes=(HIDDEN,), solver="sgd", batch_size=BATCH,
                             max_iter=EPOCHS, learning_rate_init=RATE, momentum=0.0, alpha=0.0,
                             tol=0.0)
    else:
        model = SGDRegressor(penalty=None, learning_rate="constant", eta0=rate, max_iter=EPOCHS,
                             tol=None)
    return model.fit(x, y)

for fold in folds:
    x_train, y_train, x_test, y_test = split(fold)
    for rate in RATES or [RATE]:
        print(rate, r2(fitted(rate, x_train, y_train).predict(x_test), y_test))
"""
)

TORCH = (
    READ
    + """
import torch
from torch import nn

for fold in folds:
    x_train, y_train, x_test, y_test = map(torch.from_numpy, split(fold))
    layers = [nn.Linear(x.shape[1], HIDDEN), nn.ReLU()] if HIDDEN else []
    model = nn.Sequential(*layers, nn.Linear(HIDDEN or x.shape[1], 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=RATE, foreach=True)
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(x_train)).split(BATCH):
            optimizer.zero_grad()
            loss = ((model(x_train[rows])[:, 0] - y_train[rows]) ** 2).mean()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        print(float(r2(model(x_test)[:, 0], y_test)))
"""
)

JAX = (
    READ
    + """
import jax
import jax.numpy as jnp

def forward(params, x):
    if HIDDEN:
        x = jax.nn.relu(x @ params[0] + params[1])
    return x @ params[-2] + params[-1]

def loss_of(params, x, y):
    return ((forward(params, x)[:, 0] - y) ** 2).mean()

def train(rate, x, y):
    keys = jax.random.split(jax.random.key(0), EPOCHS)
    width = HIDDEN or x.shape[1]
    params = [jnp.zeros((width, 1)), jnp.zeros(1)]
    if HIDDEN:
        draws = jax.random.split(jax.random.key(1))
        params[0] = jax.random.normal(draws[0], (width, 1)) / np.sqrt(width)
        first = jax.random.normal(draws[1], (x.shape[1], width)) * np.sqrt(2 / x.shape[1])
        params = [first, jnp.zeros(width), *params]
    steps = len(x) // BATCH

    def step(params, batch):
        loss, grads = jax.value_and_grad(loss_of)(params, *batch)
        return [p - rate * g for p, g in zip(params, grads)], loss

    def epoch(params, key):
        order = jax.random.permutation(key, len(x))[: steps * BATCH]
        batches = x[order].reshape(steps, BATCH, -1), y[order].reshape(steps, BATCH)
        return jax.lax.scan(step, params, batches)

    return jax.lax.scan(epoch, params, keys)

several = jax.jit(jax.vmap(train, in_axes=(0, None, None)))
alone = jax.jit(train)
for fold in folds:
    x_train, y_train, x_test, y_test = split(fold)
    if RATES:
        params, losses = several(jnp.array(RATES), x_train, y_train)
        print([float(r2(forward([p[i] for p in params], x_test)[:, 0], y_test))
               for i in range(len(RATES))])
    else:
        params, losses = alone(RATE, x_train, y_train)
        print(float(r2(forward(params, x_test)[:, 0], y_test)))
"""
)

SCRIPTS = {"scikit-learn": SKLEARN, "PyTorch": TORCH, "JAX": JAX}
"""The script of each contender; the settings, which a row may change, come before it."""
