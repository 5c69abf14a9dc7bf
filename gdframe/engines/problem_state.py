"""The state of a problem: trained parameters, and the optimizer's state before and after steps."""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from gdframe.engines.base import Problem
from gdframe.errors import UserError, first_line
from gdframe.hidden_state.attachments import has_attachments
from gdframe.hidden_state.transparency import is_library
from gdframe.objective import Objective
from gdframe.optimizers.base import Optimizer, State
from gdframe.optimizers.tensors import restored
from gdframe.randomness import Purpose, seeded
from gdframe.registry import is_built_in

LOCKS = (type(threading.Lock()), type(threading.RLock()))
"""Types that copies of a component share, as its threads do."""


def trained_parameters(run: Problem) -> dict[str, Tensor]:
    """Return a run's parameters by name, without frozen ones."""
    named = run.objective.model.named_parameters()
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def settings_of_groups(optimizer: torch.optim.Optimizer) -> list[Any]:
    """Return the settings of an optimizer's parameter groups: all but the parameters."""
    groups = optimizer.param_groups
    return [value for group in groups for name, value in group.items() if name != "params"]


def may_draw(run: Problem) -> bool:
    """Return whether code of a user, who may draw by NumPy or Python, is called in steps."""
    objective, optimizer = run.objective, run.optimizer
    if has_attachments(objective.model):
        return True
    components = [*objective.model.modules(), objective.loss, objective.penalty, optimizer]
    return not all(component is None or is_library(type(component)) for component in components)


def copied(run: Problem) -> tuple[Objective, torch.optim.Optimizer]:
    """Return copies of a run's objective and of its optimizer, bound to the copied parameters.

    PyTorch copies an optimizer without the attributes that its class adds.

    Raises:
        UserError: a component cannot be copied.
    """
    memo = _cannot_be_copied(run)
    try:
        objective, optimizer = copy.deepcopy((run.objective, run.optimizer), memo)
        for name, value in vars(run.optimizer).items():
            if name not in vars(optimizer):
                vars(optimizer)[name] = copy.deepcopy(value, memo)
    except Exception as error:  # of a user's component, whose attributes may be anything
        raise UserError(
            f"a component holds what Python cannot copy ({first_line(error)}); build it where it "
            "is used, or write __deepcopy__"
        ) from error
    return objective, optimizer


def _cannot_be_copied(run: Problem) -> dict[int, Any]:
    """Return the copies of values that ``deepcopy`` refuses, by the identity of the value.

    They are modules of Python and locks, which copies share, and tensors that a call has computed
    and kept, whose copies have its values without its graph.
    """
    objective = run.objective
    components = [*objective.model.modules(), objective.loss, objective.penalty, run.optimizer]
    copies: dict[int, Any] = {}
    for component in components:
        held = getattr(component, "__dict__", {})
        for value in (*held.values(), *held.get("_buffers", {}).values()):
            if isinstance(value, (ModuleType, *LOCKS)):
                copies[id(value)] = value
            elif isinstance(value, Tensor) and not value.is_leaf:
                copies[id(value)] = value.detach().clone()
    return copies


def starting_state(run: Problem, loaded: Mapping[str, Tensor] | None = None) -> State:
    """Return the state that the optimizer holds, or its initial state.

    Random draws by ``init_state`` are a function of the run's seed.

    Args:
        run: its module holds the starting values.
        loaded: other starting values, by name; the state is then the initial one of these.

    Raises:
        ValueError: the optimizer's state has another form than its initial state.
    """
    optimizer = run.optimizer
    assert isinstance(optimizer, Optimizer)
    named = trained_parameters(run)
    params = list(named.values())
    values = params if loaded is None else [loaded[n].to(p.device) for n, p in named.items()]
    if is_built_in(optimizer.init_state):  # these draw no random numbers
        state = optimizer.initial_state(values)
    else:
        with seeded(run.seed, Purpose.STATE, device=params[0].device):
            state = optimizer.initial_state(values)
    if loaded is not None:
        return state
    for index, p in enumerate(params):
        if p not in optimizer.state:
            continue
        current = optimizer.state[p]
        if current.keys() != state.keys():
            names = ", ".join(sorted(current.keys() ^ state.keys()))
            raise ValueError(f"the optimizer's state ({names}) is not in its init_state")
        for name, values in state.items():
            like, value = values[index], current[name]
            if getattr(value, "shape", None) != getattr(like, "shape", None):
                raise ValueError(f"the optimizer's state '{name}' changes its shape")
            values[index] = restored(value, like, p)
    return state


def keep_state(run: Problem, states: Sequence[dict[str, Tensor]]) -> None:
    """Store the state of each trained parameter in the optimizer.

    Args:
        run: the run of the optimizer.
        states: for each trained parameter, in order, its states by name.
    """
    params = trained_parameters(run).values()
    for parameter, state in zip(params, states, strict=True):
        run.optimizer.state[parameter] = dict(state)


def as_states(run: Problem, state: State) -> list[dict[str, Tensor]]:
    """Return a state by parameter and name, from a state by name and parameter."""
    count = len(trained_parameters(run))
    return [{name: values[i] for name, values in state.items()} for i in range(count)]


@contextmanager
def holding(model: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    """Have a module's parameters hold other values, by name, until the context exits.

    The parameters stay the same objects, with all that is attached to them.
    """
    named = dict(model.named_parameters())
    before = {name: named[name].data for name in values}
    try:
        for name, value in values.items():
            named[name].data = value
        yield
    finally:
        for name, value in before.items():
            named[name].data = value
