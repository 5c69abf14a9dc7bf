"""The state of a module and its optimizer as a checkpoint holds it, whoever wrote them."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gdframe.engines.base import Problem
from gdframe.engines.component_difference import first_difference
from gdframe.errors import in_words
from gdframe.optimizers.base import BOOKKEEPING, Optimizer, State
from gdframe.optimizers.tensors import restored
from gdframe.randomness import Purpose, seeded
from gdframe.registry import is_built_in
from gdframe.runs.model_file import adopt_buffers
from gdframe.runs.packing import can_pack, pack, unpack
from gdframe.sameness import PLAIN, same

NUMBER = "number."
"""Begins the name of a value that an optimizer of another library keeps as a Python number."""

GROUPS, SHARED, TRAINED = "optimizer.groups", "optimizer.shared", "model trained"
"""Names of what optimizers keep in parameter groups besides their settings, and in their state for
no single parameter; and of which parameters are trained, where that has changed."""

KEYED, SAME = "optimizer.keyed", "optimizer.same"
"""Names of what optimizers keep for a parameter under keys that are no text, or that begin as
``NUMBER`` does; and of tensors in the state of one parameter that are those of another one."""


def read_state(run: Problem) -> dict[str, Tensor]:
    """Return copies of a module's and its optimizer's state.

    Raises:
        UserError: the state holds what a file cannot hold.
    """
    model, optimizer = run.objective.model, run.optimizer
    values: dict[str, Any] = {f"model.{name}": v for name, v in model.state_dict().items()}
    trained = [name for name, p in model.named_parameters() if p.requires_grad]
    if trained != run.trained:
        values[TRAINED] = trained
    keyed: dict[int, dict[Any, Any]] = {}
    places: dict[int, str] = {}
    again: dict[str, str] = {}
    for index, parameter in enumerate(_optimized(optimizer)):
        for key, value in optimizer.state.get(parameter, {}).items():
            if not isinstance(key, str) or key.startswith(NUMBER):
                keyed.setdefault(index, {})[key] = value
                continue
            is_number = type(value) in (bool, int, float)
            name = f"optimizer.{index}.{NUMBER if is_number else ''}{key}"
            dtype = torch.float64 if isinstance(value, float) else None
            values[name] = torch.as_tensor(value, dtype=dtype) if is_number else value
            if isinstance(value, Tensor) and (first := places.setdefault(id(value), name)) != name:
                again[name] = first
    values |= {name: content for name, content in ((KEYED, keyed), (SAME, again)) if content}
    if _may_change_groups(optimizer):
        values[GROUPS] = _values_in_groups(optimizer)
    state: dict[Any, Any] = optimizer.state
    if shared := {key: v for key, v in state.items() if isinstance(key, str)}:
        values[SHARED] = shared
    return pack(values)


def _may_change_groups(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether steps of an optimizer may change its settings: a pure rule cannot."""
    attached = [n for n, v in vars(optimizer).items() if n == "step" or ("_hooks" in n and v)]
    return bool(attached) or (not is_built_in(optimizer) and _overrides_a_method(optimizer))


def _overrides_a_method(optimizer: torch.optim.Optimizer) -> bool:
    """Return whether a class has another method than the functions of a pure rule."""
    methods = [name for name, value in vars(Optimizer).items() if inspect.isfunction(value)]
    return any(
        inspect.unwrap(getattr(type(optimizer), name, Optimizer)) is not
        inspect.unwrap(getattr(Optimizer, name))
        for name in methods if name != "__init__"
    )  # fmt: skip


def write_state(run: Problem, state: Mapping[str, Tensor]) -> None:
    """Copy a state of ``read_state`` into the module and the optimizer.

    Raises:
        ValueError: the state is of another model or optimizer.
    """
    values = unpack(state)
    model = run.objective.model
    own = {k.removeprefix("model."): v for k, v in values.items() if k.startswith("model.")}
    _load_model(model, own)
    trained = values.get(TRAINED, run.trained)
    for name, parameter in model.named_parameters():
        if parameter.requires_grad != (name in trained):
            parameter.requires_grad_(name in trained)
    _load_optimizer(run, values)


def held_places(run: Problem) -> set[str]:
    """Return what ``read_state`` reads, as paths of ``HiddenState``, but for extra state."""
    model, groups = run.objective.model, _values_in_groups(run.optimizer)
    return {f"model.{name}" for name in (*model.state_dict(), *_recomputed(model))} | {
        f"optimizer.param_groups[{index}][{name!r}]"
        for index, group in enumerate(groups)
        for name in ("params", "lr", *group)
    }


def _recomputed(model: nn.Module) -> list[str]:
    """Return the attributes that utilities of PyTorch compute anew before each call of a module."""
    hooks = ((path, h) for path, m in model.named_modules() for h in m._forward_pre_hooks.values())
    return [
        f"{path}.{getattr(hook, 'name', getattr(hook, '_tensor_name', ''))}".lstrip(".")
        for path, hook in hooks
        if type(hook).__module__.startswith("torch.nn.utils.")
    ]


def has_extra_state(model: nn.Module) -> bool:
    """Return whether a module returns more than tensors for its ``state_dict``."""
    return bool(_with_extra_state(model))


def places_of_extra_state(model: nn.Module, unchanged: nn.Module) -> tuple[set[str], set[str]]:
    """Return what extra state brings back, as paths of ``HiddenState``: attributes, and modules.

    Args:
        model: a module, maybe trained.
        unchanged: a copy of it from before; it gets the state of ``model``.

    Raises:
        Exception: the module cannot load its own state.
    """
    _load_model(unchanged, model.state_dict())
    others, attributes, whole = _with_extra_state(unchanged), set(), set()
    for path, module in _with_extra_state(model).items():
        place = f"model.{path}".rstrip(".")
        here, there = vars(module), vars(others[path])
        back = [n for n in here if n in there and first_difference(here[n], there[n]) is None]
        attributes |= {f"{place}.{name}" for name in back}
        whole |= {place} if len(back) == len(here) == len(there) else set()
    return attributes, whole


def _with_extra_state(model: nn.Module) -> dict[str, nn.Module]:
    plain = nn.Module.get_extra_state
    return {p: m for p, m in model.named_modules() if type(m).get_extra_state is not plain}


def _load_model(model: nn.Module, values: Mapping[str, Any]) -> None:
    adopt_buffers(model, values)
    forms = [{k: _described(k, v) for k, v in d.items()} for d in (values, model.state_dict())]
    if forms[0] != forms[1]:
        differing = [k for k in {**forms[0], **forms[1]} if forms[0].get(k) != forms[1].get(k)]
        before, now = (in_words([f.get(k, f"no {k}") for k in differing[:3]]) for f in forms)
        raise ValueError(f"the state is of another model: it has {before}, and this one {now}")
    model.load_state_dict(values)


def _described(name: str, value: Any) -> str:
    """Return a name with the shape of a tensor; ``get_extra_state`` returns other values."""
    return f"{name} of shape {tuple(value.shape)}" if isinstance(value, Tensor) else name


def _load_optimizer(run: Problem, values: Mapping[str, Any]) -> None:
    optimizer = run.optimizer
    optimizer.state.clear()
    if GROUPS in values:
        _load_groups(optimizer, values[GROUPS])
    parameters, like = _optimized(optimizer), State()
    groups = [group for group in optimizer.param_groups for _ in group["params"]]
    optimizer.state.update(_placed(values.get(SHARED, {}), parameters[0], groups[0]))
    for index, items in values.get(KEYED, {}).items():
        placed = {key: _placed(v, parameters[index], groups[index]) for key, v in items.items()}
        optimizer.state.setdefault(parameters[index], {}).update(placed)
    whole = (GROUPS, SHARED, KEYED, SAME)
    states = [n for n in values if n.startswith("optimizer.") and n not in whole]
    if not states:
        return
    if isinstance(optimizer, Optimizer):  # also of parameters that are not trained now
        with seeded(run.seed, Purpose.STATE, device=parameters[0].device):
            like = optimizer.initial_state(parameters)
    for name in states:
        _, at, key = name.split(".", 2)
        index, value = int(at), values[name]
        parameter, short = parameters[index], key.removeprefix(NUMBER)
        if short != key:
            value = value.item()
        elif short in like:
            value = restored(value, like[short][index], parameter)
        else:
            value = _placed(value, parameter, groups[index])
        optimizer.state.setdefault(parameter, {})[short] = value
    for name, first in values.get(SAME, {}).items():
        (_, at, key), (_, of, other) = name.split(".", 2), first.split(".", 2)
        optimizer.state[parameters[int(at)]][key] = optimizer.state[parameters[int(of)]][other]


def _values_in_groups(optimizer: torch.optim.Optimizer) -> list[dict[str, Any]]:
    """Return what parameter groups hold besides parameters, learning rate and default settings."""
    return [
        {
            name: value
            for name, value in group.items()
            if name not in (*BOOKKEEPING, "lr")
            and not (
                isinstance(value, (*PLAIN, tuple))
                and same(value, optimizer.defaults.get(name, optimizer))
            )
            and can_pack(value)
        }
        for group in optimizer.param_groups
    ]


def _load_groups(optimizer: torch.optim.Optimizer, stored: list[dict[str, Any]]) -> None:
    if len(stored) != len(optimizer.param_groups):
        raise ValueError(
            f"the state is of an optimizer with {len(stored)} parameter groups, and this one has "
            f"{len(optimizer.param_groups)}"
        )
    present = _values_in_groups(optimizer)
    for name, value in (item for before in stored for item in before.items()):
        needs_number = isinstance(optimizer.defaults.get(name), (int, float))
        is_misplaced = needs_number and not isinstance(value, (int, float))
        if is_misplaced or name in (*BOOKKEEPING, "lr"):
            raise ValueError(f"'{name}' in its parameter groups is of another optimizer")
    for group, before, now in zip(optimizer.param_groups, stored, present, strict=True):
        for name in now.keys() - before.keys():
            if name in optimizer.defaults:
                group[name] = optimizer.defaults[name]
            else:
                del group[name]
        group.update(_placed(before, group["params"][0], group))


def _placed(value: Any, parameter: Tensor, group: Mapping[str, Any]) -> Any:
    """Return a copy of another library's state where PyTorch keeps it: counters on the CPU."""
    if isinstance(value, Tensor):
        stays = value.ndim == 0 and not (group.get("capturable") or group.get("fused"))
        return value.detach().clone() if stays else value.detach().to(parameter.device, copy=True)
    if isinstance(value, dict):
        return {key: _placed(v, parameter, group) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_placed(v, parameter, group) for v in value)
    return value


def _optimized(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"]]
