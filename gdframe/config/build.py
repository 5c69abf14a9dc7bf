"""Builds the objects that a config names, each before those that need it."""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor, nn

from gdframe.config.construct import construct, warn_of_own_draws
from gdframe.config.load_data import load_data, needs_no_data
from gdframe.config.loss_memory import warn_of_encode
from gdframe.config.schema import standard
from gdframe.config.target_scale import fit_target_scale
from gdframe.config.validation import components, stopping_settings
from gdframe.data.dataset import Dataset
from gdframe.diagnostics.diagnostics import Diagnostics
from gdframe.engines.device import gpu_is_faster
from gdframe.errors import UserError, counted, first_line, in_words, require_memory, typed_as
from gdframe.initializers import initialize
from gdframe.loaders import FullBatch, Loader
from gdframe.models.lazy_layers import fill_lazy_layers, is_lazy
from gdframe.models.linear_model import LinearModel
from gdframe.objective import CHUNK
from gdframe.randomness import Purpose, seeded
from gdframe.registry import (
    INITIALIZERS,
    LOADERS,
    LOSSES,
    METRICS,
    MODELS,
    OPTIMIZERS,
    PENALTIES,
    SCHEDULES,
    STOPPING,
    Registry,
    is_built_in,
)
from gdframe.registry.signatures import arguments
from gdframe.runs.parsing import MOST_VALUES
from gdframe.stopping import Stopping
from gdframe.training.run_spec import RunSpec

log = logging.getLogger("gdframe")


def build(
    config: Mapping[str, Any], load: Callable[[Mapping[str, Any]], Dataset] = load_data
) -> RunSpec:
    """Build everything a checked config names.

    Args:
        config: plain values.
        load: returns the data that a config names, on any device; the data must not be changed.

    Raises:
        UserError: components do not fit each other, or the data cannot be used.
    """
    device = pick_device(config["device"])
    data = load(config)
    if config["device"] == "auto" and device != "cpu":
        spec = _build(config, data.on("cpu"))
        engine = config["engine"]["name"]
        if not gpu_is_faster(
            spec.problem, spec.data, spec.loader, epochs=spec.epochs, engine=engine
        ):
            return spec
    return _build(config, data.on(device))


def _build(config: Mapping[str, Any], data: Dataset) -> RunSpec:
    """Build everything on the device of the data."""
    loss, seed = None, config["seed"]
    if not needs_no_data(config):
        loss = construct(LOSSES, config["loss"] or {"name": _fitting_loss(data)}, seed=seed)
        loss.check(data)
        warn_of_encode(loss, data.train)
    loader: Loader = FullBatch(data.rows)
    if loss is not None:
        size = config["batch_size"]  # its default fits small tables, too
        size = min(size, data.rows) if size == standard("batch_size") else size
        loader = construct(LOADERS, config["loader"], seed=seed, rows=data.rows, batch_size=size)
    device = data.train.features.device
    most_rows = max(getattr(loader, "batch_size", 0), min(data.rows, CHUNK))
    model = build_model(
        config["model"],
        features=data.features,
        outputs=loss.outputs(data) if loss else 1,
        seed=seed,
        example=data.train.features[:2].cpu(),
        rows=most_rows if device.type == "cpu" else 0,
    )
    _initialize(model, config["initializer"], seed=seed)
    model.to(device=device, dtype=getattr(torch, config["dtype"]))
    updated = {"params": model.parameters(), "lr": config["lr"]}
    optimizer = construct(OPTIMIZERS, config["optimizer"], seed=seed, **updated)
    penalty = construct(PENALTIES, config["penalty"], seed=seed)
    metrics = _several(METRICS, config) or None  # None: those of the data's task
    parts = model, optimizer, penalty, metrics
    data, loss = fit_target_scale(config["data"], data, loss, *parts)
    return RunSpec(
        model=model,
        loss=loss,
        optimizer=optimizer,
        loader=loader,
        data=data,
        penalty=penalty,
        schedule=construct(SCHEDULES, config["schedule"], seed=seed),
        stopping=_stopping(config),
        metrics=metrics,
        epochs=config["epochs"],
        evaluate_every=config["evaluation"]["every"],
        seed=seed,
    )


def build_diagnostics(config: Mapping[str, Any]) -> Diagnostics:
    """Build the diagnostics, which measure curvature and explain the verdict.

    Raises:
        UserError: a value is out of its range.
    """
    with typed_as({name: f"diagnostics.{name}" for name in config["diagnostics"]}):
        return Diagnostics(**config["diagnostics"])


def unused_settings(config: Mapping[str, Any]) -> str | None:
    """Return a warning about settings that the user has chosen and the run does not read."""
    if needs_no_data(config):
        keys = ["data", "loss", "metric", "variant", "batch_size"]
        reader = f"model={config['model']['name']}, a function without data"
    else:
        loader = config["loader"]["name"]
        keys = [] if "batch_size" in arguments(LOADERS.get(loader)) else ["batch_size"]
        reader = f"loader={loader}"
    unused = [key for key in keys if (_choice(config[key]) or None) != (standard(key) or None)]
    has = "has" if len(unused) == 1 else "have"
    return f"{in_words(unused)}: {has} no effect with {reader}" if unused else None


def _choice(value: Any) -> Any:
    """Return a value of a config; for a config group, the name; for several, the names."""
    if not isinstance(value, Mapping):
        return value
    return value.get("name", list(value))


def check_model(
    settings: Mapping[str, Any], *, features: int, outputs: int, tensors: Mapping[str, Tensor]
) -> None:
    """Check that a built-in model has the shapes of stored tensors, without building it.

    Args:
        settings: name and arguments of the model, which may ask for any size.
        features: number of features.
        outputs: number of outputs.
        tensors: of its ``state_dict``.

    Raises:
        UserError: the model has other parameters or shapes.
    """
    if settings["name"] in MODELS.user_components():
        return
    # the start of a function is a list too, but of numbers
    lists = [value for k, value in settings.items() if isinstance(value, list) and k != "start"]
    layers = max(map(len, lists), default=0)
    if layers > min(len(tensors), MOST_VALUES):
        raise UserError(f"{counted(layers, 'layer')} do not fit {len(tensors):,} stored parameters")
    try:
        with torch.device("meta"):
            model = MODELS.configured(settings, features=features, outputs=outputs)
    except (TypeError, OverflowError, RuntimeError) as error:  # a size above 2^63
        raise UserError(
            f"model={settings['name']}: cannot be built: {first_line(error)}"
        ) from error
    shapes = {name: tuple(values.shape) for name, values in model.state_dict().items()}
    stored = {name: tuple(getattr(values, "shape", ())) for name, values in tensors.items()}
    for name in shapes | stored:
        if shapes.get(name) != stored.get(name):
            raise UserError(
                f"its parameter '{name}' has the shape {stored.get(name)}, but the config gives "
                f"{shapes.get(name)}"
            )


def build_model(
    settings: Mapping[str, Any],
    *,
    features: int,
    outputs: int,
    seed: int = 0,
    example: Tensor | None = None,
    rows: int = 0,
) -> nn.Module:
    """Build a model, with random values that depend on the seed alone, in lazy layers too.

    Args:
        settings: name and arguments of the model.
        features: number of features.
        outputs: number of outputs.
        seed: seed of the values that the constructor draws.
        example: a few rows, from which lazy layers take their shapes.
        rows: most rows of a gradient in the memory of this machine.

    Raises:
        UserError: memory does not suffice, or the model is not a module, has nothing to train, or
            fails on the rows.
    """
    if is_built_in(MODELS.get(settings["name"])):
        numbers, activations = sizes_of(json.dumps(settings), features, outputs)
        what = f"model={settings['name']} on {counted(rows, 'row')} at a time"
        require_memory(what, 4 * (COPIES * numbers + rows * activations))

    construct_model = partial(MODELS.configured, settings, features=features, outputs=outputs)

    def build() -> nn.Module:
        with seeded(seed, Purpose.INITIALIZE):
            model: nn.Module = construct_model()
            if isinstance(model, nn.Module) and example is not None and is_lazy(model):
                try:
                    fill_lazy_layers(model, construct_model, example.float())
                except Exception as error:  # a model may raise anything
                    raise UserError(
                        f"model '{settings['name']}' has lazy layers and fails on rows of shape "
                        f"{tuple(example.shape)} ({type(error).__name__}: {error})"
                    ) from error
            return model

    model = build()
    warn_of_own_draws(f"model {settings['name']}", model, build)
    if not isinstance(model, nn.Module):
        raise UserError(f"model '{settings['name']}' is not a torch.nn.Module")
    if not any(p.requires_grad for p in model.parameters()):
        raise UserError(f"model '{settings['name']}' has no parameters to train")
    return model


@cache
def sizes_of(settings: str, features: int, outputs: int) -> tuple[float, float]:
    """Build a model without memory for its parameters.

    Returns:
        The number of its parameters, and at least how many activations it has for each row; both
        are infinite if they cannot be counted.
    """
    try:
        with torch.device("meta"):
            model = MODELS.configured(json.loads(settings), features=features, outputs=outputs)
    except (TypeError, OverflowError, RuntimeError):  # a size above 2^63
        return math.inf, math.inf
    numbers = sum(tensor.numel() for tensor in model.parameters())
    weights = [tensor for tensor in model.parameters() if tensor.ndim > 1]
    activations = sum(weight.shape[0] for weight in weights)
    if isinstance(model, LinearModel):  # of terms that are computed from the features
        activations += weights[0].shape[1] - features
    return float(numbers), float(activations)


COPIES = 4
"""Copies of the parameters in memory: with gradients, states and captures."""


def pick_device(name: str) -> str:
    """Return the device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` stands for here.

    Raises:
        UserError: the device does not exist.
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return "cuda" if count else "cpu"
    if name.startswith("cuda"):
        if not count:
            raise UserError(f"device={name}: PyTorch finds no CUDA device here; use device=cpu")
        if int(name.partition(":")[2] or 0) >= count:
            raise UserError(
                f"device={name}: there are {count} CUDA devices, cuda:0 to cuda:{count - 1}"
            )
    return name


def _several(registry: Registry[Any], config: Mapping[str, Any]) -> dict[str, Any]:
    """Build all components of a kind of which a run takes several, by name."""
    chosen, seed = components(config, registry.kind), config["seed"]
    return {name: construct(registry, settings, seed=seed) for name, settings in chosen.items()}


def _stopping(config: Mapping[str, Any]) -> Stopping:
    settings = stopping_settings(config)
    rules = list(_several(STOPPING, config).values())
    with typed_as({name: f"stopping.{name}" for name in settings}):
        return Stopping(**settings, rules=rules)


def _fitting_loss(data: Dataset) -> str:
    if data.classes is None:
        return "mse"
    return "binary_cross_entropy" if len(data.classes) == 2 else "cross_entropy"


def _initialize(model: nn.Module, settings: Mapping[str, Any] | None, *, seed: int) -> None:
    """Draw starting values by the config, else by the default of the model's class, if any."""
    if settings is None:
        name = getattr(type(model), "default_initializer", None)
        if name is None:
            return
        settings = {"name": name}
    initialize(model, construct(INITIALIZERS, settings, seed=seed), seed=seed)
