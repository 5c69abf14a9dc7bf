"""Trial calls that check whether a component's result depends on its arguments alone.

All changes by trial calls are undone: a component is left as if it had not been called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdframe.data.dataset import Dataset
from gdframe.engines.base import Problem
from gdframe.engines.problem_state import holding, trained_parameters
from gdframe.errors import first_line
from gdframe.hidden_state import DRAWS, HiddenState, undisturbed
from gdframe.hidden_state.attachments import has_attachments, is_untouched_built_in
from gdframe.hidden_state.transparency import is_library
from gdframe.loaders.base import Loader
from gdframe.models.by_row import heavy_tailed, is_by_row
from gdframe.models.plain import is_linear_in_parameters
from gdframe.randomness import normal, restored_generators, seed_generators
from gdframe.registry import is_built_in
from gdframe.sameness import same_values
from gdframe.schedules.base import are_built_in

MODES = ("train", "eval", "zero_grad", "requires_grad_", "__setattr__", "__delattr__")
"""Methods of a module that the plain loop calls or causes, besides its forward."""

OTHER_SEED = 1_234_567
"""Seed of the second of two calls: a component may read a generator and leave it as it is."""

Result = TypeVar("Result")

MOST_ROWS = 512
"""Most rows for trial calls."""

BATCH = 32
"""Rows of a batch where no loader says how many."""


def why_not_functional(run: Problem, data: Dataset, loader: Loader) -> str | None:
    """Return what a run's model, loss or penalty do besides computing a value, or None.

    The trial calls use the batch sizes of training.
    """
    sizes = [min(loader.batch_size, MOST_ROWS), loader.rows % loader.batch_size]
    reasons = (_why_not_functional(run, data, min(size, MOST_ROWS)) for size in sizes if size)
    return next((reason for reason in reasons if reason), None)


def _why_not_functional(run: Problem, data: Dataset, size: int) -> str | None:
    objective, model = run.objective, run.objective.model
    name = f"its model ({type(model).__name__})"
    if (method := _own_method(model)) is not None:
        return f"{name} has its own {method}, which only engine=eager calls as PyTorch does"
    with undisturbed(loss=objective.loss):
        rows = objective.encode(data.train.take(slice(size)))
    if (place := run.asks_for_gradients) is not None:
        return f"its {place} asks for gradients, which only engine=eager has as PyTorch has them"
    features, targets = rows.features.clone(), rows.targets.clone()
    parameters = trained_parameters(run)

    def train() -> list[Any]:
        model.train()
        value = objective.batch_loss(features, targets) + objective.penalty_value()
        grads = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
        return [value.detach(), *grads]

    def evaluate() -> list[Any]:
        model.eval()
        with torch.no_grad():
            return [objective.batch_loss(features, targets)]

    with HiddenState(objective.components) as saved:
        if saved.opaque:
            return opaque_message(f"its {saved.opaque}")
        written = _versions(model)
        for call, mode in ((train, "training"), (evaluate, "evaluation")):
            try:
                first, second = call(), with_other_seeds(call, features.device)
            except Exception as error:  # a model may raise anything
                return f"{name} fails on {len(features)} rows ({first_line(error)})"
            if (place := saved.changed()) is not None:
                return _change_message(name, model, place, mode)
            if changed := dict(written.items() ^ _versions(model).items()):
                return _change_message(name, model, f"model.{next(iter(changed))}", mode)
            if not all_same(first, second):
                return f"{name} gives another result when it is called again with other seeds"
            if call is train and any(grad is None for grad in first[1:]):
                missing = next(
                    n for n, g in zip(parameters, first[1:], strict=True) if g is None
                )  # fmt: skip
                return (
                    f"{name} has a parameter without a gradient, '{missing}': freeze it "
                    "(requires_grad_(False)) or leave it out"
                )
    return None


def _versions(model: nn.Module) -> dict[str, tuple[int, int]]:
    """Return which tensors the buffers are, and how often each was written to.

    A write may leave the values as they are, for these rows.
    """
    return {path: (id(buffer), buffer._version) for path, buffer in model.named_buffers()}


def _own_method(model: nn.Module) -> str | None:
    """Return a method of a user's module that replaces PyTorch's way of switching modes."""
    for module in model.modules():
        for name in MODES:
            owner = next(owner for owner in type(module).__mro__ if name in vars(owner))
            if name in vars(module) or not is_library(owner):
                return f"{type(module).__name__}.{name}"
    return None


def opaque_message(place: str) -> str:
    """Return a message about a place whose state cannot be compared."""
    what = "an iterator, a file, the clock or a name looked up by text"
    return f"{place} hides its state, as {what} does"


def _change_message(name: str, model: nn.Module, place: str, mode: str) -> str:
    """Return a message about the place that calling a model has changed."""
    if place == DRAWS:
        layers = [
            f"'{path}' ({type(module).__name__})"
            for path, module in model.named_modules()
            if "Dropout" in type(module).__name__ or isinstance(module, nn.RReLU)
        ]
        where = f" in {layers[0]}" if layers else ""
        return f"{name} draws random numbers in {mode}{where}, as dropout does"
    buffers = {f"model.{path}": path for path, _ in model.named_buffers()}
    if place not in buffers:
        return f"its {place} changes when the model is called"
    path = buffers[place]
    owner = model.get_submodule(path.rpartition(".")[0])
    layer = type(owner).__name__
    remedy = (
        "; track_running_stats=False makes it a function of its input"
        if isinstance(owner, nn.modules.batchnorm._NormBase)
        else ""
    )
    return f"{name} changes its buffer '{path}' ({layer}), as batch-norm does{remedy}"


def why_not_as_declared(run: Problem, data: Dataset, loader: Loader) -> str | None:
    """Return what a user's model, loss or penalty do besides computing a value, or None.

    Built-in components are checked only if hooks are attached to the model.
    """
    objective = run.objective
    are_built_in = all(p is None or is_built_in(p) for p in objective.components.values())
    if are_built_in and not has_attachments(objective.model):
        return None
    return why_not_functional(run, data, loader) or _why_not_by_row(
        objective.model, data.train.features, loader.batch_size
    )


@torch.no_grad()
def why_read_by_others(runs: Sequence[Problem], loader: Loader) -> str | None:
    """Return which user's component may read parameters of a model by itself, or None.

    An engine that holds copies of the parameters would let it read those that a run starts from. A
    model may hold its parameters, but no other tensor or array that shares their memory.
    """
    readers, models = {}, []
    for run in runs:
        objective = run.objective
        if not is_untouched_built_in(objective.model):
            models.append(objective.model)
        components = {"loss": objective.loss, "penalty": objective.penalty, "loader": loader}
        others: dict[str, Any] = {
            n: p for n, p in components.items() if not is_untouched_built_in(p)
        }
        if not is_built_in(rule := type(run.optimizer)):
            readers[id(rule)] = f"its optimizer ({rule.__name__})", rule
        if not are_built_in(run.schedule):
            others["schedule"] = run.schedule
        for what, component in others.items():
            readers[id(component)] = f"its {what} ({type(component).__name__})", component
    if not readers and not models:
        return None
    states = [HiddenState({name: component}, draws=False) for name, component in readers.values()]
    for state in states:
        if state.opaque:
            return opaque_message(state.opaque)
    for model in models:
        name = f"its model ({type(model).__name__})"
        states.append(HiddenState({name: model}, draws=False, skip=model.parameters()))
    with HiddenState({str(index): run.objective.model for index, run in enumerate(runs)}):
        for parameter in (p for run in runs for p in trained_parameters(run).values()):
            parameter.fill_(torch.nan)
        place = next((place for state in states if (place := state.changed())), None)
    return place and f"{place} holds parameters of the model, which it may read while they change"


def is_linear(model: nn.Module, features: Tensor) -> bool:
    """Return whether a model is linear in its parameters, with a design of single rows.

    Args:
        model: a user's design is tried; what it changes is put back.
        features: of the training rows, (rows, features).
    """
    if not is_linear_in_parameters(model):
        return False
    try:
        return _why_not_by_row(model, features) is None
    except Exception:  # a design may raise anything
        return False


@torch.no_grad()
def _why_not_by_row(model: Any, features: Tensor, size: int = BATCH) -> str | None:
    """Return why a linear model's design of a row depends on more than the row, or None.

    Args:
        model: a user's design is tried.
        features: (rows, features).
        size: rows of a batch.
    """
    if is_built_in(model) or not hasattr(model, "design"):
        return None
    few = features[telling_rows(features, MOST_ROWS)]
    with HiddenState({"model": model}) as saved:
        together = model.design(few)
        separate = torch.cat([model.design(part) for part in torch.split(few, 3)])
        if saved.changed() is not None or not _is_design_of_features(model, few, together):
            return "its model's design depends on its parameters, or changes them"
        training = model.training
        model.train(not training)
        other_mode = model.design(few)
        model.train(training)
    limit = 1e3 * torch.finfo(together.dtype).eps * float(together.abs().max())
    are_alike = together.shape == separate.shape
    are_alike = are_alike and bool(((together - separate).abs() <= limit).all())
    with HiddenState({"model": model}):  # rows that are few, and not telling, may differ
        alone = partial(is_by_row, model.design, most=len(features))
        if not are_alike or not (
            all(alone(features, partition=partition) for partition in (0, 1))
            and all(alone(x, partition=0, size=size) for x in (features, heavy_tailed(features)))
        ):
            return "its model's design of a row depends on the other rows of a batch"
    if not same_values(together, other_mode):
        return "its model's design differs between training and evaluation"
    return None


class _Design(nn.Module):
    """The design of a linear model as a module, for calls with other parameters."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Any:
        """(rows, features) -> (rows, terms)."""
        model: Any = self.model
        return model.design(features)


def _is_design_of_features(model: Any, features: Tensor, expected: Tensor) -> bool:
    """Return whether a design is the same for other parameters, or none, and changes nothing."""
    named, random = dict(model.named_parameters()), torch.Generator().manual_seed(0)
    numbers = (torch.nan, torch.inf, -torch.inf, 0.0, 1.0)
    trials = [{n: torch.full_like(p, number) for n, p in named.items()} for number in numbers]
    trials += [{n: s * normal(p, random) for n, p in named.items()} for s in (1e-3, 1.0, 1e3, 1e9)]
    saved = HiddenState({"model": model})
    for values in trials:
        with holding(model, {name: value.clone() for name, value in values.items()}):
            is_same = same_values(expected, model.design(features))
            if not is_same or not all(same_values(named[n].data, v) for n, v in values.items()):
                return False
    if saved.changed() is not None:
        return False
    # tensors on the device "meta" have a shape and a type, and no values to compute with
    without = {f"model.{name}": p.to("meta") for name, p in named.items()}
    try:
        design = functional_call(_Design(model), without, (features,))
    except Exception:  # it reads the parameters; a design may raise anything
        return False
    return not design.is_meta and same_values(expected, design)


def telling_rows(values: Tensor, most: int) -> Tensor:
    """Return up to ``most`` row numbers, with one row of each class more.

    They are the rows with the largest values, and others at random.

    Args:
        values: (rows, ...); whole numbers (rows,) are classes.
        most: at least 4.
    """
    if len(values) <= most:
        return torch.arange(len(values), device=values.device)
    random = torch.Generator().manual_seed(0)
    others = torch.randperm(len(values), generator=random)[: most - 4].to(values.device)
    if values.ndim == 1 and not values.is_floating_point():
        first = np.unique(values.cpu().numpy(), return_index=True)[1]
        return torch.from_numpy(np.union1d(first, others.cpu().numpy())).to(values.device)
    sizes = torch.linalg.vector_norm(values.reshape(len(values), -1), torch.inf, dim=1)
    return torch.cat([sizes.topk(4).indices, others])


def with_other_seeds(call: Callable[[], Result], device: torch.device) -> Result:
    """Return what a call returns where all global generators have another seed."""
    with restored_generators(device, all_libraries=True):
        seed_generators(OTHER_SEED, device, all_libraries=True)
        return call()


def all_same(first: list[Any], second: list[Any]) -> bool:
    """Return whether two lists hold the same objects, or tensors of the same values."""
    return len(first) == len(second) and all(
        a is b or (isinstance(a, Tensor) and isinstance(b, Tensor) and same_values(a, b))
        for a, b in zip(first, second, strict=True)
    )
