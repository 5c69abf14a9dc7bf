"""Runs drawn at random: data, variant, rule, learning rate, loss, penalty, schedule and model."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

QUIET = ("logging.tensorboard=false", "checkpoint.every=null", "preflight=false")


@dataclass(frozen=True)
class Case:
    """A run by its settings; ``words`` are its overrides."""

    settings: dict[str, object] = field(default_factory=dict)

    @property
    def words(self):
        return [f"{key}={value}" for key, value in self.settings.items()]

    def but(self, **changes):
        """Return the case with some settings changed; None removes one."""
        merged = {**self.settings, **{k.replace("__", "."): v for k, v in changes.items()}}
        return Case({k: v for k, v in merged.items() if v is not None})

    def __str__(self):
        return " ".join(self.words)


def cases(seed: int, count: int, folder: Path) -> list[Case]:
    """Return runs drawn at random.

    Args:
        seed: of the draws, of data and of starting points.
        count: of runs.
        folder: where tables are written.
    """
    draw = random.Random(seed)
    families = [_least_squares] * 4 + [_classes] * 3 + [_functions] * 3 + [_other_losses, _network]
    return [families[i % len(families)](draw, folder) for i in range(count)]


def _rate(draw, low=-4.0, high=0.5):
    """Most rates are plausible, some are extreme."""
    power = draw.uniform(-10, 3) if draw.random() < 0.25 else draw.uniform(low, high)
    return float(f"{10**power:.3g}")


def _common(draw):
    settings: dict[str, object] = {
        "variant": draw.choice(["batch", "batch", "minibatch", "sgd"]),
        "optimizer": draw.choice(["gd", "gd", "gd", "momentum", "nesterov", "adam", "rmsprop"]),
        "epochs": draw.choice([20, 60, 200]),
        "seed": draw.randrange(100),
    }
    if draw.random() < 0.25:
        settings["schedule"] = draw.choice(["cosine", "exponential", "step", "warmup"])
    if draw.random() < 0.3:
        settings["dtype"] = "float64"
    if settings["variant"] == "minibatch":
        settings["batch_size"] = draw.choice([5, 16, 30])
    if settings["variant"] == "batch" and draw.random() < 0.3:
        settings["epochs"] = 2000
    return settings


def _penalty(draw, kinds=("none", "none", "l2")):
    kind = draw.choice(kinds)
    if kind == "none":
        return {}
    return {"penalty": kind, "penalty.strength": float(f"{10 ** draw.uniform(-4, 0):.2g}")}


def _least_squares(draw, folder):
    data = draw.choice(["diabetes", "regression", "regression", "scaled"])
    if data == "regression":
        source = {
            "data": "regression", "data.rows": draw.choice([40, 150, 400]),
            "data.features": draw.choice([2, 5, 8]), "data.noise": draw.choice([0.0, 0.1, 3.0]),
            "data.condition_number": draw.choice([1.0, 10.0, 100.0]),
            "data.seed": draw.randrange(1000),
        }  # fmt: skip
    elif data == "scaled":
        source = _table(draw, folder, draw.choice(["tiny", "huge", "far"]))
    else:
        source = {"data": "diabetes"}
    kinds = ("none", "none", "none", "l2", "l1")
    return Case({**source, **_common(draw), **_penalty(draw, kinds), "lr": _rate(draw)})


def _table(draw, folder, kind):
    """Write a table whose target is tiny, huge, far from zero, or counts; return its settings."""
    seed = draw.randrange(10_000)
    random_numbers = np.random.default_rng(seed)
    x = random_numbers.normal(size=(120, 3))
    y = x @ [1.0, -2.0, 0.5] + 0.3 * random_numbers.normal(size=120)
    y = {
        "tiny": 1e-11 * y, "huge": 1e9 * y, "far": 1e5 + y,
        "counts": random_numbers.poisson(np.exp(np.clip(0.4 * y, -3, 3))),
    }[kind]  # fmt: skip
    path = folder / f"{kind}{seed}.csv"
    rows = [",".join(f"{v!r}" for v in map(float, row)) for row in np.column_stack([x, y])]
    path.write_text("a,b,c,y\n" + "\n".join(rows) + "\n")
    return {
        "data": "table", "data.path": str(path), "data.target": "y", "data.task": "regression",
    }  # fmt: skip


def _classes(draw, folder):
    name = draw.choice(["breast_cancer", "iris", "wine", "classification", "classification"])
    source: dict[str, object] = {"data": name}
    loss: dict[str, object] = {}
    if name == "classification":
        source |= {
            "data.rows": draw.choice([60, 200]), "data.features": draw.choice([2, 6]),
            "data.classes": draw.choice([2, 2, 3]), "data.noise": draw.choice([0.3, 1.0, 3.0]),
            "data.seed": draw.randrange(1000),
        }  # fmt: skip
    is_binary = name == "breast_cancer" or source.get("data.classes") == 2
    if is_binary and draw.random() < 0.3:
        loss["loss"] = draw.choice(["squared_hinge", "hinge"])
    return Case({**source, **loss, **_common(draw), **_penalty(draw), "lr": _rate(draw, -3, 1)})


def _other_losses(draw, folder):
    if draw.random() < 0.5:
        source = {**_table(draw, folder, "counts"), "loss": "poisson"}
    else:
        source = {"data": "regression", "data.rows": 150, "data.features": 4, "data.noise": 1.0,
                  "data.seed": draw.randrange(1000)}  # fmt: skip
        source["loss"] = draw.choice(["huber", "mae"])
    return Case({**source, **_common(draw), **_penalty(draw), "lr": _rate(draw)})


def _functions(draw, folder):
    model = draw.choice(["himmelblau", "rastrigin", "rosenbrock", "double_well", "quadratic"])
    settings: dict[str, object] = {"model": model}
    size = {"double_well": 1, "himmelblau": 2}.get(model, 2)
    if model == "quadratic":
        settings["model.condition_number"] = draw.choice([1.0, 10.0, 1000.0])
    if draw.random() < 0.6:
        start = [round(draw.uniform(-3, 3), 2) for _ in range(size)]
        settings["model.start"] = str(start).replace(" ", "")
    settings |= {
        "optimizer": draw.choice(["gd", "gd", "momentum", "nesterov", "adam"]),
        "epochs": draw.choice([50, 300, 3000]),
        "lr": _rate(draw, -5, -0.5),
    }
    if draw.random() < 0.5:
        settings["dtype"] = "float64"
    return Case(settings)


def _network(draw, folder):
    source = draw.choice(
        [{"data": "iris"}, {"data": "wine"}, {"data": "diabetes"},
         {"data": "regression", "data.rows": 120, "data.features": 4, "data.noise": 1.0}]
    )  # fmt: skip
    settings = {**source, "model": "mlp", "model.hidden": draw.choice(["[4]", "[8]"])}
    if draw.random() < 0.4:
        settings["model.activation"] = "tanh"
    if draw.random() < 0.15:
        settings["initializer"] = "zeros"
    return Case({**settings, **_common(draw), "lr": _rate(draw, -4, 0)})
