"""The objective: model + loss + penalty over rows, its value and its gradient."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad

from gdframe.data.dataset import Dataset, Rows
from gdframe.errors import UserError, first_line
from gdframe.hidden_state import undisturbed
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.hidden_state.in_place import unchanged_rows
from gdframe.losses.base import Loss
from gdframe.losses.encoded import encoded_rows
from gdframe.metrics.tally import Tally, default_metrics
from gdframe.models.function import Function
from gdframe.optimizers.tensors import global_norm
from gdframe.penalties.base import Penalty
from gdframe.penalties.none import NoPenalty

CHUNK = 1 << 16
"""Rows evaluated at a time, so that memory for activations is bounded."""


@dataclass(frozen=True)
class Evaluation:
    """The objective over a set of rows.

    Args:
        loss: mean loss over the rows.
        objective: loss + penalty.
        gradient_norms: Euclidean norm of the objective's gradient by parameter; empty where no
            gradient was asked for.
        metrics: by name.
    """

    loss: float
    objective: float
    gradient_norms: dict[str, float]
    metrics: dict[str, float]

    @property
    def gradient_norm(self) -> float:
        """Norm of the whole gradient."""
        return math.hypot(*self.gradient_norms.values())


@contextmanager
def evaluation_mode(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode for a while."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class Objective:
    """The function that is minimised: ``loss(model(x), y) + penalty(weights)``.

    Args:
        model: prediction from features, or a Function to minimise without data.
        loss: error of a prediction; None for a Function.
        penalty: of the parameters; by default none.

    Example:
        >>> from gdframe.losses import MSE
        >>> from gdframe.models import Linear
        >>> objective = Objective(Linear(1), MSE())
        >>> objective.batch_loss(torch.ones(2, 1), torch.tensor([[1.0], [3.0]])).item()
        5.0
    """

    def __init__(
        self, model: nn.Module, loss: Loss | None = None, penalty: Penalty | None = None
    ) -> None:
        if (loss is None) != isinstance(model, Function):
            raise ValueError("a Function takes no loss, and any other model needs one")
        self.model, self.loss, self.penalty = model, loss, penalty or NoPenalty()
        self.penalized = self.penalty.select(model)

    def batch_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss over a batch, a 0-d tensor; ``targets`` as the loss encodes them."""
        if self.loss is None:
            value: Tensor = self.model()
            return value
        return self.loss(self.model(features), targets)

    def penalty_value(self) -> Tensor | float:
        """Return the penalty at the current parameters; 0.0 where nothing is penalised."""
        return self.penalty.value(self.penalized) if self.penalized else 0.0

    def check(self, data: Dataset, *, smallest: int | None = None) -> None:
        """Try model, loss and penalty on a few rows, and leave them as they were.

        Args:
            data: that they are for.
            smallest: rows of the smallest batch of an epoch, if that is known.

        Raises:
            UserError: the loss is not for this data, the model does not take its features or
                returns outputs of another shape than the loss needs, or one of them changes what
                it is given.
        """
        if self.loss is not None:
            self.loss.check(data)
        model = type(self.model).__name__
        training = self.model.training
        with undisturbed(model=self.model, loss=self.loss, penalty=self.penalty):
            try:
                self.model.eval()
                if self.loss is None:
                    self._check_value(model, self._try(f"model {model}", self.model))
                    return
                self._check_rows(self.loss, data)
                if smallest == 1:
                    self.model.train()
                    row = self.encode(Rows(data.train.features[:1], data.train.targets[:1]))
                    self._try(
                        f"model {model} in a batch of one row, in training",
                        lambda: self.batch_loss(row.features.clone(), row.targets.clone()),
                        "; choose a batch_size that leaves no batch of one row",
                    )
            finally:
                self.model.train(training)

    def _check_rows(self, loss: Loss, data: Dataset) -> None:
        """Try model and loss on two rows, in evaluation and in training."""
        model = type(self.model).__name__
        rows = self.encode(Rows(data.train.features[:2], data.train.targets[:2]))
        features, targets = rows.features.clone(), rows.targets.clone()
        what = f"features of shape {tuple(features.shape)} and type {features.dtype}"
        with unchanged_rows(self.model, loss, features, targets):
            outputs = self._try(f"model {model} on {what}", lambda: self.model(features))
        if not isinstance(outputs, Tensor):
            raise UserError(
                f"model {model}: forward returned a {type(outputs).__name__}; expected one tensor "
                f"of outputs (rows, {loss.outputs(data)})"
            )
        expected = (len(features), loss.outputs(data))
        if tuple(outputs.shape) != expected:
            raise UserError(
                f"model {model}: outputs have shape {tuple(outputs.shape)} for {len(features)} "
                f"rows; loss {loss.name} needs {expected}"
            )
        with unchanged_rows(self.model, loss, features, targets):
            value = self._try(f"loss {loss.name}", lambda: loss(outputs, targets))
        self._check_value(f"loss {loss.name}", value)
        if is_untouched_built_in(self.model) and is_untouched_built_in(loss):
            return
        self.model.train()
        unchanged = unchanged_rows(self.model, loss, features, targets)
        with unchanged, suppress(Exception), torch.no_grad():  # it may need more rows in training
            self.batch_loss(features, targets)

    @staticmethod
    def _try(what: str, call: Callable[[], Any], remedy: str = "") -> Any:
        """Return what a component returns; what it raises becomes a message."""
        try:
            with torch.no_grad():
                return call()
        except UserError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"{what}: fails ({reason}){remedy}") from error

    @staticmethod
    def _check_value(what: str, value: Any) -> None:
        if not isinstance(value, Tensor) or value.ndim:
            shape = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value)
            raise UserError(f"{what}: returned {shape}; expected one number, a 0-d tensor")

    def encode(self, rows: Rows) -> Rows:
        """Return rows with their targets encoded for the loss."""
        return rows if self.loss is None else encoded_rows(self.loss, rows)

    def evaluate(
        self,
        rows: Rows,
        data: Dataset,
        *,
        gradient: bool,
        tally: Tally | None = None,
    ) -> Evaluation:
        """Return the objective over ``rows``, in evaluation mode; parameters keep their ``grad``.

        Args:
            rows: with targets encoded for the loss.
            data: whose task decides the metrics where there is no tally.
            gradient: whether to compute the norms of the objective's gradient.
            tally: of the metrics, empty; by default that of the task's metrics.
        """
        named = self.model.named_parameters()
        parameters = {name: parameter for name, parameter in named if parameter.requires_grad}
        sums = [torch.zeros_like(p) for p in parameters.values()] if gradient else []
        total = torch.zeros((), dtype=torch.float64, device=rows.targets.device)
        tally = tally or Tally(default_metrics(data), self.loss, rows)
        with evaluation_mode(self.model), torch.set_grad_enabled(gradient):
            for start in range(0, len(rows), CHUNK):
                features = rows.features[start : start + CHUNK]
                targets = rows.targets[start : start + CHUNK]
                share = len(targets) / len(rows)
                if self.loss is None:
                    value = self.model()
                else:
                    outputs = self.model(features)
                    value = self.loss(outputs, targets)
                    tally.add(outputs.detach(), targets)
                _accumulate(sums, share * value, parameters)
                total += share * value.detach()
            penalty = self.penalty_value()
            if isinstance(penalty, Tensor):
                _accumulate(sums, penalty, parameters)
        norms = [global_norm([s]) for s in sums]
        if not isinstance(penalty, Tensor):
            penalty = torch.tensor(penalty, dtype=torch.float64)
        # one wait for a GPU, not one for each number
        scalars = [value.detach().to(total) for value in (total, penalty, *norms, *tally.sums)]
        loss, added, *rest = torch.stack(scalars).tolist()
        return Evaluation(
            loss=loss,
            objective=loss + added,
            gradient_norms=dict(zip(parameters, rest[: len(norms)], strict=False)),
            metrics=tally.values(rest[len(norms) :]),
        )


def _accumulate(sums: list[Tensor], value: Tensor, parameters: Mapping[str, Tensor]) -> None:
    """Add the gradient of ``value`` to ``sums`` in place; nothing if there are none."""
    if not sums or not value.requires_grad:
        return
    slopes = torch.autograd.grad(value, list(parameters.values()), allow_unused=True)
    for total, slope in zip(sums, slopes, strict=True):
        if slope is not None:
            total += slope


class FunctionalObjective:
    """An objective as a function of its parameters, without side effects.

    It works inside ``torch.vmap``, the transforms of ``torch.func`` and compiled loops. The model
    is in the mode (training or evaluation) that it is in when it is called.

    Args:
        objective: model, loss and penalty.
        names: of the parameters that each call is given; all others are constants.
        model: computes what the objective's model does, by the same names of parameters; by
            default that model itself.
        dtype: of constants; by default their own.

    Example:
        >>> from gdframe.losses import MSE
        >>> from gdframe.models import Linear
        >>> objective = FunctionalObjective(Objective(Linear(1), MSE()), ["weight", "bias"])
        >>> parameters = {"weight": torch.tensor([[2.0]]), "bias": torch.zeros(1)}
        >>> value, loss = objective(parameters, torch.ones(2, 1), torch.zeros(2, 1))
        >>> value.item()
        4.0
    """

    def __init__(
        self,
        objective: Objective,
        names: Iterable[str],
        *,
        model: nn.Module | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        self.model, self.loss = model or objective.model, objective.loss
        self.penalty = objective.penalty
        named = dict(objective.model.named_parameters())
        chosen = {id(named[name]): name for name in names}
        # a penalised parameter by its name, or a constant
        self._penalized = [chosen.get(id(p), p.detach()) for p in objective.penalized]
        self._constants: dict[str, Tensor] = {}
        if dtype is not None:
            rest = {name: p.detach() for name, p in named.items() if id(p) not in chosen}
            rest |= dict(objective.model.named_buffers())
            self._constants = {
                name: value.to(dtype) if value.is_floating_point() else value
                for name, value in rest.items()
            }

    @property
    def is_penalized(self) -> bool:
        """Return whether there is a penalty on any parameter."""
        return bool(self._penalized)

    def outputs(self, parameters: Mapping[str, Tensor], features: Tensor) -> Tensor:
        """Return the model's outputs (rows, outputs) at parameters; of a Function its value."""
        values = {**parameters, **self._constants}
        arguments = () if self.loss is None else (features,)
        outputs: Tensor = functional_call(self.model, values, arguments)
        return outputs

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs against encoded targets, a 0-d tensor."""
        return outputs if self.loss is None else self.loss(outputs, targets)

    def penalty_at(
        self, parameters: Mapping[str, Tensor], strengths: Mapping[str, Tensor] | None = None
    ) -> Tensor | float:
        """Return the penalty at parameters; 0.0 where nothing is penalised.

        Args:
            parameters: by name.
            strengths: numbers of the penalty that replace its own, by name.
        """
        if not self._penalized:
            return 0.0
        penalty = copy.copy(self.penalty)
        vars(penalty).update(strengths or {})
        return penalty.value([parameters[p] if isinstance(p, str) else p for p in self._penalized])

    def __call__(
        self,
        parameters: Mapping[str, Tensor],
        features: Tensor,
        targets: Tensor,
        strengths: Mapping[str, Tensor] | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return the objective and the mean loss at parameters, 0-d tensors."""
        loss = self.mean_loss(self.outputs(parameters, features), targets)
        return loss + self.penalty_at(parameters, strengths) if self._penalized else loss, loss

    def gradient(
        self,
        parameters: Mapping[str, Tensor],
        features: Tensor,
        targets: Tensor,
        strengths: Mapping[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], Tensor]:
        """Return the objective's gradient by parameter, and the mean loss, at parameters."""
        gradient, loss = grad(self.__call__, has_aux=True)(
            dict(parameters), features, targets, strengths
        )
        return gradient, loss.detach()
