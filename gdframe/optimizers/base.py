"""The base class of optimizers: two pure functions, and the torch optimizer that applies them."""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor

from gdframe.errors import UserError, bad_value, in_words
from gdframe.optimizers.tensors import clip_norm, computed, described, owned, restored, storage_of

State: TypeAlias = dict[str, list[Tensor]]
"""Optimizer state by name; each name holds one tensor for each parameter."""

Hyper: TypeAlias = Mapping[str, Any]
"""Hyperparameters by name, each a float or a 0-d tensor (so that ``vmap`` works over them)."""

BOOKKEEPING = frozenset(
    ("params", "param_names", "initial_lr", "max_lr", "min_lr", "base_momentum", "max_momentum")
)
"""Entries of a parameter group that PyTorch and its learning-rate schedulers add to settings."""

REMEDIES = {
    "weight_decay": "add a penalty to the loss (penalty=l2)",
    "maximize": "minimise the negative of the objective",
}
"""Replacements of settings of ``torch.optim`` that gdframe's optimizers do not have."""


class Optimizer(torch.optim.Optimizer):
    """Base class of gdframe's optimizers; a subclass defines ``update`` and often ``init_state``.

    Both are pure functions on whole lists of tensors. They may compute in place on their arguments,
    but keep no state between calls except the state that they return. ``step`` applies them, so an
    instance works in any PyTorch loop: with closures, parameter groups, ``state_dict``, torch's
    learning-rate schedulers and parameters without a gradient (whose values and states stay
    unchanged). Parameters in float16 and bfloat16 are updated in float32, their states included.

    Args:
        params: tensors, or parameter groups as in ``torch.optim``.
        defaults: all hyperparameters by name, including ``lr``. ``clip_norm``, by default None,
            is the largest joint Euclidean norm of a parameter group's gradients; longer gradients
            are scaled down to it.

    Raises:
        UserError: ``lr`` is negative or not finite, ``clip_norm`` is not positive, a parameter is
            complex, or a parameter group has an unknown setting.

    Example:
        >>> class SignDescent(Optimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, {"lr": lr})
        ...     @staticmethod
        ...     def update(params, grads, state, hyper):
        ...         return [p - hyper["lr"] * g.sign() for p, g in zip(params, grads)], state
        >>> x = torch.nn.Parameter(torch.tensor([3.0, -2.0]))
        >>> (x**2).sum().backward()
        >>> SignDescent([x], lr=0.5).step()
        >>> x.tolist()
        [2.5, -1.5]
    """

    torch_names: ClassVar[Mapping[str, tuple[str, int | None]]] = {}
    """Names of hyperparameters in a parameter group, where torch's schedulers expect other names.

    An entry is torch's name, and the index if that holds a tuple: ``{"beta1": ("betas", 0)}``.
    """

    def __init__(self, params: Any, defaults: dict[str, Any]) -> None:
        for name in ("init_state", "update"):
            function = inspect.getattr_static(type(self), name)
            if inspect.isfunction(function) and "self" in inspect.signature(function).parameters:
                raise UserError(
                    f"{type(self).__name__}.{name} takes an instance: make it a staticmethod, with "
                    "settings from hyper, and state from state"
                )
        try:
            inspect.signature(type(self).update).bind("params", "grads", "state", "hyper")
        except TypeError as error:
            raise UserError(
                f"{type(self).__name__}.update: {error}; expected a staticmethod "
                "update(params, grads, state, hyper)"
            ) from error
        super().__init__(params, self._in_torch_names({"clip_norm": None, **defaults}, {}))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("init_state", "update"):
            raise UserError(
                f"{type(self).__name__}.{name} was set on an instance, and every engine uses that "
                "of the class: define a subclass with it"
            )
        super().__setattr__(name, value)

    # the first call of torch's wrappers imports its compiler, which takes a second
    _add_param_group = inspect.unwrap(torch.optim.Optimizer.add_param_group)
    _load_state_dict = inspect.unwrap(torch.optim.Optimizer.load_state_dict)
    zero_grad = inspect.unwrap(torch.optim.Optimizer.zero_grad)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group of parameters with its settings.

        Raises:
            UserError: a setting is unknown or out of range, or a parameter is complex.
        """
        group = self._in_torch_names(param_group, self.defaults)
        self._check_names(group)
        settings = {**self.defaults, **group}
        lr, limit = float(settings["lr"]), settings.get("clip_norm")
        if not (math.isfinite(lr) and lr >= 0):
            raise bad_value(f"lr={lr:g}", "a finite number of at least 0")
        if limit is not None and not float(limit) > 0:
            raise bad_value(f"clip_norm={limit:g}", "a number above 0, or null for no clipping")
        self._add_param_group(group)
        for p in self.param_groups[-1]["params"]:
            if p.is_complex():
                self.param_groups.pop()
                raise UserError(
                    f"a parameter of shape {tuple(p.shape)} is complex: gdframe's optimizers take "
                    "real parameters; use real and imaginary parts (torch.view_as_real)"
                )

    def _in_torch_names(self, settings: Mapping[str, Any], defaults: Hyper) -> dict[str, Any]:
        """Return settings under their names in a parameter group."""
        group = dict(settings)
        for name, (torch_name, place) in self.torch_names.items():
            if name not in group:
                continue
            value = group.pop(name)
            if place is not None:
                values: list[Any] = [
                    *(group.get(torch_name) or defaults.get(torch_name) or (0.0, 0.0))
                ]
                values[place] = value
                value = tuple(values)
            group[torch_name] = value
        return group

    def _check_names(self, group: Mapping[str, Any]) -> None:
        unknown = group.keys() - self.defaults.keys() - BOOKKEEPING
        if unknown:
            name = min(unknown)
            remedy = REMEDIES.get(name, "leave it out")
            raise UserError(
                f"parameter group has {name}={group[name]!r}: {type(self).__name__} has no such "
                f"setting; {remedy}. It has: {in_words(sorted(self.defaults))}"
            )

    def hyper(self, group: Mapping[str, Any]) -> dict[str, Any]:
        """Return the hyperparameters of a parameter group, under the names that ``update`` uses.

        Raises:
            UserError: the group has an unknown setting.
        """
        if len(group) > len(self.defaults) + 1:
            self._check_names(group)
        settings = {name: group[name] for name in self.defaults}
        for name, (torch_name, place) in self.torch_names.items():
            value = settings[torch_name]
            settings[name] = value if place is None else value[place]
        for torch_name, _ in self.torch_names.values():
            settings.pop(torch_name, None)
        return settings

    @staticmethod
    def init_state(params: list[Tensor]) -> State:
        """Return the state before the first update; by default none."""
        return {}

    @staticmethod
    @abstractmethod
    def update(
        params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Return the parameters and the state after one update."""

    @classmethod
    def apply(
        cls, params: list[Tensor], grads: list[Tensor], state: State, hyper: Hyper
    ) -> tuple[list[Tensor], State]:
        """Return ``update`` of gradients that are clipped to ``hyper["clip_norm"]``.

        A state that ``update`` does not return stays unchanged.

        Raises:
            UserError: ``update`` returns something else.
        """
        if hyper.get("clip_norm") is not None:
            grads = clip_norm(grads, hyper["clip_norm"])
        after: Any = cls.update(params, grads, dict(state), hyper)  # a user's may return anything
        if (
            not isinstance(after, (tuple, list))
            or len(after) != 2
            or not isinstance(after[1], Mapping)
        ):
            is_pair = isinstance(after, tuple) and len(after) == 2
            returned = f"{described(after[1])} as the state" if is_pair else described(after)
            raise UserError(
                f"{cls.__name__}.update: returned {returned}; expected a tuple of two: a "
                "list of the new parameters, and the new state, a dict"
            )
        new_params, new_state = after
        return new_params, {**state, **new_state}

    @classmethod
    def initial_state(cls, params: Sequence[Tensor]) -> State:
        """Return ``init_state`` of detached parameters, in new memory.

        Raises:
            UserError: a state does not have one value for each parameter.
        """
        values = [computed(p) for p in params]
        state = cls.init_state(list(values))
        if not isinstance(state, Mapping):
            raise UserError(
                f"{cls.__name__}.init_state: returned {described(state)}; expected a dict of names "
                "and lists of one tensor for each parameter"
            )
        for name, entries in state.items():
            if not isinstance(entries, (list, tuple)) or len(entries) != len(values):
                raise UserError(
                    f"{cls.__name__}.init_state: state '{name}' is {described(entries)}; "
                    f"expected a list of {len(values)} tensors, one for each parameter"
                )
        used = {storage_of(p) for p in params}
        return {name: [owned(v, used) for v in entries] for name, entries in state.items()}

    def prepare(self, params: Sequence[Tensor]) -> None:
        """Store the initial state of parameters that have none."""
        if all(p in self.state for p in params):
            return
        initial = self.initial_state(params)
        for index, p in enumerate(params):
            if p not in self.state:
                self.state[p] = {name: values[index] for name, values in initial.items()}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update all parameters that have a gradient; return the closure's loss, if any.

        Raises:
            UserError: a gradient is sparse, or ``update`` returns values of a wrong form.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if not params:
                continue
            if any(p.grad.is_sparse for p in params):
                raise UserError(
                    f"{type(self).__name__}: a gradient is sparse; expected a dense gradient"
                )
            self.prepare(params)
            states = [self.state[p] for p in params]
            if any(state.keys() != states[0].keys() for state in states):
                names = {*states[0]}.union(*states) - {*states[0]}.intersection(*states)
                raise UserError(
                    f"{type(self).__name__}: a parameter that is trained later has no state "
                    f"{in_words(sorted(names))}; return it from init_state, which every "
                    "parameter starts with"
                )
            state = {key: [entry[key] for entry in states] for key in states[0]}
            values, grads = [computed(p) for p in params], [computed(p.grad) for p in params]
            self._store(params, values, *self.apply(list(values), grads, state, self.hyper(group)))
        return loss

    def _store(
        self, params: list[Tensor], values: list[Tensor], after: Sequence[Tensor], state: State
    ) -> None:
        """Copy updated values into the parameters; store states in memory of their own."""
        name = type(self).__name__
        if not isinstance(after, (list, tuple)) or len(after) != len(params):
            raise UserError(
                f"{name}.update: returned {described(after)} as parameters; expected a list of "
                f"{len(params)} tensors"
            )
        live = {storage_of(p): index for index, p in enumerate(params)}
        for p, value in zip(params, after, strict=True):
            if not isinstance(value, Tensor) or value.shape != p.shape:
                raise UserError(
                    f"{name}.update: returned {described(value)} for a parameter of shape "
                    f"{tuple(p.shape)}"
                )
        # a parameter that is returned in another's place must be read before it is overwritten
        after = [
            v if v is values[i] or storage_of(v) not in live else v.clone()
            for i, v in enumerate(after)
        ]
        used = {*live, *(storage_of(p.grad) for p in params if p.grad is not None)}
        new_states = {}
        for key, entries in state.items():
            if not isinstance(entries, (list, tuple)) or len(entries) != len(params):
                raise UserError(
                    f"{name}.update: returned {described(entries)} as state '{key}'; expected a "
                    f"list of {len(params)} tensors"
                )
            new_states[key] = [owned(value, used) for value in entries]
        for p, value, new in zip(params, values, after, strict=True):
            if new is not value or storage_of(value) != storage_of(p):
                p.copy_(new)
        for key, entries in new_states.items():
            for p, value in zip(params, entries, strict=True):
                self.state[p][key] = value

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a copied or loaded optimizer, without the setting that torch adds."""
        super().__setstate__(state)
        self.defaults.pop("differentiable", None)

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Restore a state of ``state_dict``; states keep their types.

        Raises:
            UserError: the state is of another optimizer, such as one of ``torch.optim``.
        """
        name = type(self).__name__
        for group in state_dict["param_groups"]:
            names = group.keys() - BOOKKEEPING
            if names != self.defaults.keys():
                raise UserError(
                    f"the state is of another optimizer: its parameter groups hold "
                    f"{in_words(sorted(names))}, and those of {name} hold "
                    f"{in_words(sorted(self.defaults))}; start {name} without it"
                )
        params = [p for group in self.param_groups for p in group["params"]]
        initial = self.initial_state(params)
        for entry in state_dict["state"].values():
            if entry.keys() != initial.keys():
                raise UserError(
                    f"the state is of another optimizer: it holds {in_words(sorted(entry))} for a "
                    f"parameter, and {name} holds {in_words(sorted(initial))}; start {name} "
                    "without it"
                )
        self._load_state_dict(dict(state_dict))
        saved = [key for group in state_dict["param_groups"] for key in group["params"]]
        for index, (p, key) in enumerate(zip(params, saved, strict=True)):
            for entry, value in state_dict["state"].get(key, {}).items():
                self.state[p][entry] = restored(value, initial[entry][index], p)
