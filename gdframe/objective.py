"""The objective: model + loss + penalty over rows, its value and its gradient."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.hidden_state.attachments import is_untouched_built_in
from gdframe.losses.base import Loss
from gdframe.losses.encoded import encoded_rows
from gdframe.losses.weighting import Weighting
from gdframe.metrics.tally import Tally, default_metrics
from gdframe.models.by_row import RowTrials
from gdframe.models.function import Function
from gdframe.optimizers.tensors import global_norm
from gdframe.penalties.base import Penalty
from gdframe.penalties.none import NoPenalty

CHUNK = 1 << 16
"""Most rows evaluated at a time, so that memory for activations is bounded."""


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
    """Put a model in evaluation mode for a while; each module then gets its mode back."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


class Objective:
    """The function that is minimised: ``loss(model(x), y) + penalty(weights)``.

    Args:
        model: prediction from features, or a Function to minimise without data.
        loss: error of a prediction; None for a Function.
        penalty: of the parameters; by default none.
        weighting: of rows that differ in weight; by default none does.

    Example:
        >>> from gdframe.losses import MSE
        >>> from gdframe.models import Linear
        >>> objective = Objective(Linear(1), MSE())
        >>> objective.batch_loss(torch.ones(2, 1), torch.tensor([[1.0], [3.0]])).item()
        5.0
    """

    def __init__(
        self,
        model: nn.Module,
        loss: Loss | None = None,
        penalty: Penalty | None = None,
        weighting: Weighting | None = None,
    ) -> None:
        if (loss is None) != isinstance(model, Function):
            raise ValueError("a Function takes no loss, and any other model needs one")
        self.model, self.loss, self.penalty = model, loss, penalty or NoPenalty()
        self.penalized, self.weighting = self.penalty.select(model), weighting
        self._trials = RowTrials(model)

    @property
    def components(self) -> dict[str, Any]:
        """The model, the loss and the penalty, by these names."""
        return {"model": self.model, "loss": self.loss, "penalty": self.penalty}

    def batch_loss(self, features: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss over a batch, a 0-d tensor; ``targets`` as the loss encodes them."""
        outputs: Tensor = self.model() if self.loss is None else self.model(features)
        return self.mean_loss(outputs, targets)

    def mean_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss of outputs against encoded targets, a 0-d tensor.

        The output of a Function is its value.
        """
        if self.loss is None:
            return outputs
        loss: Callable[..., Tensor] = self.loss if self.weighting is None else self.weighting.mean
        return loss(outputs, targets)

    def split_targets(self, targets: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return encoded targets as the loss takes them, and the weights (rows,), if there are."""
        return (targets, None) if self.weighting is None else self.weighting.detach(targets)

    def penalty_value(self) -> Tensor | float:
        """Return the penalty at the current parameters; 0.0 where nothing is penalised."""
        return self.penalty.value(self.penalized) if self.penalized else 0.0

    def encode(self, rows: Rows) -> Rows:
        """Return rows with their targets encoded for the loss, with weights where rows differ."""
        if self.loss is None:
            return rows
        encoded = encoded_rows(self.loss, rows)
        return encoded if self.weighting is None else self.weighting.attach(encoded, rows.targets)

    @property
    def has_own_loss(self) -> bool:
        """Return whether the loss is a user's, which may be no mean over rows."""
        return not is_untouched_built_in(self.loss)

    @property
    def _has_own_penalty(self) -> bool:
        return not is_untouched_built_in(self.penalty)

    def slices(self, rows: Rows) -> list[slice]:
        """Return the parts of rows whose outputs are computed at a time.

        It is one where the model's outputs for a row depend on other rows, and where a user's
        loss or penalty reads more of the rows than their outputs, such as activations.

        Args:
            rows: encoded; the model is in evaluation mode.
        """
        size = len(rows)
        if size > CHUNK and self._trials.takes_rows_alone(rows.features, CHUNK):
            size = CHUNK
        parts = [slice(start, start + size) for start in range(0, len(rows), size)]
        return [slice(0, len(rows))] if self._reads_activations(rows, parts) else parts

    def _reads_activations(self, rows: Rows, parts: Sequence[slice]) -> bool:
        """Return whether a user's loss of the same outputs, or penalty, changes with the part."""
        values: set[tuple[float, float]] = set()
        if len(parts) == 1 or not (self.has_own_loss or self._has_own_penalty):
            return False
        with torch.no_grad():
            first = self.model(rows.features[parts[0]]).clone()
            for part in parts:
                self.model(rows.features[part])
                loss = self.mean_loss(first, rows.targets[parts[0]])
                values.add((float(loss), float(self.penalty_value())))
        return len(values) > 1

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
        parameters = {name: p for name, p in self.model.named_parameters() if p.requires_grad}
        sums = [torch.zeros_like(p) for p in parameters.values()] if gradient else []
        total, slopes = torch.zeros((), dtype=torch.float64, device=rows.targets.device), None
        tally = tally or Tally(default_metrics(data), self.loss, rows, classes=data.classes)
        with evaluation_mode(self.model), torch.set_grad_enabled(gradient):
            parts = self.slices(rows)
            if len(parts) > 1 and self.has_own_loss:
                total, slopes = self._loss_and_slopes(rows, parts, gradient=gradient)
            for part in parts:
                features, targets = rows.features[part], rows.targets[part]
                outputs = self.model() if self.loss is None else self.model(features)
                tally.add(outputs.detach(), targets)
                if slopes is not None:
                    _accumulate(sums, outputs, parameters, slopes[part])
                    continue
                value = self.mean_loss(outputs, targets) * (len(targets) / len(rows))
                # a user's penalty may be of what the model has computed
                _accumulate(sums, value, parameters, keep=self._has_own_penalty)
                total += value.detach()
            penalty = self.penalty_value()
            if isinstance(penalty, Tensor):
                _accumulate(sums, penalty, parameters)
        norms = [global_norm([s]) for s in sums]
        values = (total, torch.as_tensor(penalty, dtype=torch.float64), *norms, *tally.sums)
        # one wait for a GPU, not one for each number
        scalars = [value.detach().to(total) for value in values]
        loss, added, *rest = torch.stack(scalars).tolist()
        return Evaluation(
            loss=loss,
            objective=loss + added,
            gradient_norms=dict(zip(parameters, rest[: len(norms)], strict=False)),
            metrics=tally.values(rest[len(norms) :]),
        )

    def _loss_and_slopes(
        self, rows: Rows, parts: Sequence[slice], *, gradient: bool
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of all rows' outputs, in float64, and its gradient by the outputs."""
        with torch.no_grad():
            outputs = torch.cat([self.model(rows.features[part]) for part in parts])
        outputs.requires_grad_(gradient)
        value = self.mean_loss(outputs, rows.targets)
        slopes = torch.zeros_like(outputs)
        if value.requires_grad:
            (slopes,) = torch.autograd.grad(value, outputs)
        return value.detach().double(), slopes


def _accumulate(
    sums: list[Tensor], value: Tensor, parameters: Mapping[str, Tensor],
    slope: Tensor | None = None, *, keep: bool = False,
) -> None:  # fmt: skip
    """Add the gradient of ``value`` to ``sums`` in place; nothing if there are none.

    Args:
        sums: by parameter.
        value: a number, or outputs.
        parameters: by name.
        slope: the gradient by the outputs.
        keep: whether the graph of the computation is needed again.
    """
    pairs = [(s, p) for s, p in zip(sums, parameters.values(), strict=False) if p.requires_grad]
    if not pairs or not value.requires_grad:
        return
    wanted = [parameter for _, parameter in pairs]  # a mode of the model may freeze some
    slopes = torch.autograd.grad(value, wanted, slope, retain_graph=keep, allow_unused=True)
    for (total, _), slope in zip(pairs, slopes, strict=True):
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
        self.penalty, self.mean_loss = objective.penalty, objective.mean_loss
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
        values, x = {**parameters, **self._constants}, (features,)
        outputs: Tensor = functional_call(self.model, values, () if self.loss is None else x)
        return outputs

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
