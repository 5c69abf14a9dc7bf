"""Runs trained by one call of compiled loops: their arrays, and how modules and arrays agree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gdframe.engines.base import Problem
from gdframe.engines.linear.pool import shares, side_by_side
from gdframe.engines.problem_state import as_states, holding, starting_state, trained_parameters
from gdframe.engines.row_order import depends_on_seed
from gdframe.engines.rule import Rule
from gdframe.engines.stack import require_settings, settings_of
from gdframe.loaders.base import Loader
from gdframe.objective import Evaluation, Objective

Array = NDArray[Any]

MANY = 16
"""Fewest runs that gain from being trained side by side; fewer are trained one after another."""

WIDEST = 64
"""Most runs side by side, so that their parameters stay in the fastest cache."""

CHUNK = 512
"""Fewest rows whose gradient is summed by itself. Chunks are cut by the data alone, and added in
order, so that the sum is the same for any number of threads."""

SEGMENT = 1 << 18
"""Outputs kept at a time while rows are summed."""

GROUP = 16
"""Rows of one run predicted at a time, which stay in the fastest cache."""

AHEAD = 2048
"""Bytes of rows to ask for ahead of their use."""


def rows_ahead(x: Array) -> int:
    """Return how many rows before its use to ask for a row of x (rows, features)."""
    return int(np.clip(AHEAD // max(1, x.strides[0]), 4, 16))


@dataclass(frozen=True)
class Sums:
    """Sums over the rows of a large batch.

    Args:
        loss: (runs,) sum of the loss.
        gradient: (outputs, features, runs) its gradient; without the last axis for one run.
        bias_gradient: (outputs, runs) likewise.
    """

    loss: NDArray[np.float64]
    gradient: Array
    bias_gradient: Array


class Block:
    """One run, or up to WIDEST that visit rows in one order.

    Args:
        runs: which.
        rule: their update rule.
        functions: the compiled loops, for one run or for many.
    """

    def __init__(self, runs: Sequence[Problem], rule: Rule, functions: Mapping[str, Any]) -> None:
        self.runs, self.rule, self.functions = list(runs), rule, functions
        self.many = len(runs) > 1
        model = runs[0].objective.model
        weight = dict(model.named_parameters())["weight"].detach().numpy()
        self.outputs, d = weight.shape
        self.has_bias = model.bias is not None
        self.dtype = weight.dtype
        count = (len(runs),) if self.many else ()
        k, n = self.outputs, len(rule.states)
        self.weight = np.zeros((k, d, *count), self.dtype)
        self.bias = np.zeros((k, *count), self.dtype)
        self.states = np.zeros((k, d, n, *count) if self.many else (k, n, d), self.dtype)
        self.bias_states = np.zeros((k, n, *count) if self.many else (k, n, 1), self.dtype)
        self.counters = np.zeros((len(rule.counters), *count))
        self._settings = groups = settings_of(runs)
        self.hyper = self._by_run([rule.values(g) for g in groups], np.float64)
        limits = [g.get("clip_norm") for g in groups]
        clip = np.array([np.inf if limit is None else limit for limit in limits], self.dtype)
        self.clip = clip if self.many else clip[0]
        self.gradient, self.bias_gradient = np.zeros_like(self.weight), np.zeros_like(self.bias)
        self.slope = np.zeros_like(self.bias)
        self.values = np.zeros((len(rule.step_values), *count), self.dtype)
        self.reset()

    def _by_run(self, rows: Sequence[Sequence[float]], dtype: Any) -> Array:
        """Return (values, runs), or (values,) for one run."""
        columns = np.array(rows, dtype=dtype).T
        return np.ascontiguousarray(columns if self.many else columns[..., 0])

    def reset(self) -> None:
        """Copy parameters and states from modules and optimizers again.

        Raises:
            UserError: an optimizer's settings are no longer those that the block was made for.
        """
        require_settings(self._settings, self.runs)
        objectives = [run.objective for run in self.runs]
        losses = [o.loss.kernel_arguments if o.loss else () for o in objectives]
        penalties = [o.penalty.kernel_arguments if o.penalized else () for o in objectives]
        self.loss_arguments = self._by_run(losses, self.dtype)
        self.penalty_arguments = self._by_run(penalties, self.dtype)
        for index, run in enumerate(self.runs):
            self.load_model(index, {n: p.detach() for n, p in trained_parameters(run).items()})
            self.load_states(index, as_states(run, starting_state(run)))

    def of(self, array: Array, run: int) -> Array:
        """Return the part of an array with a last axis of runs that is one run's."""
        return array[..., run] if self.many else array

    def load_model(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Take parameters from tensors."""
        self.of(self.weight, run)[...] = state["weight"].numpy()
        if self.has_bias:
            self.of(self.bias, run)[...] = state["bias"].numpy()

    def model(self, run: int) -> dict[str, Tensor]:
        """Return copies of a run's parameters."""
        state = {"weight": torch.from_numpy(self.of(self.weight, run).copy())}
        if self.has_bias:
            state["bias"] = torch.from_numpy(self.of(self.bias, run).copy())
        return state

    def optimizer_states(self, run: int) -> list[dict[str, Array]]:
        """Return views of the optimizer's state of a run, for weight and bias, by name."""
        states, biases = self.of(self.states, run), self.of(self.bias_states, run)
        if self.many:
            weight = {name: states[:, :, i] for i, name in enumerate(self.rule.states)}
            bias = {name: biases[:, i] for i, name in enumerate(self.rule.states)}
        else:
            weight = {name: states[:, i] for i, name in enumerate(self.rule.states)}
            bias = {name: biases[:, i, 0] for i, name in enumerate(self.rule.states)}
        counters = self.of(self.counters, run)
        for index, name in enumerate(self.rule.counters):
            weight[name] = bias[name] = counters[index : index + 1].reshape(())
        return [weight, bias][: 1 + self.has_bias]

    def load_states(self, run: int, states: Sequence[Mapping[str, Any]]) -> None:
        """Take the optimizer's state of weight and bias from tensors.

        Raises:
            ValueError: weight and bias have counted differently.
        """
        for name in self.rule.counters:
            if len({float(state[name]) for state in states}) > 1:
                raise ValueError(f"weight and bias have counted '{name}' differently")
        for arrays, state in zip(self.optimizer_states(run), states, strict=True):
            for name, array in arrays.items():
                array[...] = state[name].cpu().numpy()

    def steps(
        self, x: Array, y: Array, order: Array, first: int, size: int, factors: Array, which: Array
    ) -> tuple[Array, Array]:
        """Execute steps of an epoch; return losses and gradient norms (runs, steps)."""
        count = factors.shape[1]
        trace = (count, len(self.runs)) if self.many else (count,)
        losses, norms = np.empty(trace, self.dtype), np.empty(trace, self.dtype)
        parameters = (
            self.weight, self.bias, self.states, self.bias_states, self.has_bias, self.counters,
            self.hyper, self.loss_arguments, self.penalty_arguments,
        )  # fmt: skip
        rates = (factors, which) if self.many else (np.ascontiguousarray(factors[which[0]]),)
        values = (self.values,) if self.many else ()
        ahead = rows_ahead(x)
        if size == 1 and bool(np.all(self.clip == np.inf)):
            z = np.empty_like(self.bias)
            self.functions["row_steps"](
                x, y, order, first, ahead, *parameters, *rates, losses, norms, z, self.slope,
                *values,
            )  # fmt: skip
        else:
            responses = np.empty((min(size, len(x)), *self.bias.shape), self.dtype)
            buffers = (self.gradient, self.bias_gradient, responses, self._scratch())
            self.functions["batch_steps"](
                x, y, order, first, size, ahead, *parameters, self.clip, *rates, losses, norms,
                *buffers, *values,
            )  # fmt: skip
        return (losses.T, norms.T) if self.many else (losses[None], norms[None])

    def sums(
        self,
        x: Array,
        y: Array,
        order: Array,
        begin: int,
        end: int,
        watch: Callable[[int, Array], None] | None = None,
        scattered: bool = False,
    ) -> Sums:
        """Sum the loss and its gradient over rows ``order[begin:end]``.

        Args:
            x: (rows, features).
            y: (rows, outputs), or (rows, 1) class indices.
            order: (rows,) indices.
            begin: the first position in ``order``.
            end: the one after the last.
            watch: is given the first position and the outputs (rows, outputs, runs) of each
                segment of rows.
            scattered: whether the rows lie far apart, so that each is asked for ahead of its use.
        """
        ahead = rows_ahead(x) if scattered else len(order)
        chunk = max(CHUNK, -(-(end - begin) // 256))
        segment = max(chunk, SEGMENT // max(1, self.bias.size) // chunk * chunk)
        total = Sums(
            np.zeros(self.clip.shape), np.zeros(self.weight.shape), np.zeros(self.bias.shape)
        )
        for start in range(begin, end, segment):
            stop = min(start + segment, end)
            cuts = [*range(start, stop, chunk), stop]
            parts = Sums(
                np.empty((len(cuts) - 1, *self.clip.shape)),
                np.empty((len(cuts) - 1, *self.weight.shape), self.dtype),
                np.empty((len(cuts) - 1, *self.bias.shape), self.dtype),
            )
            responses = np.empty((stop - start, *self.bias.shape), self.dtype)
            share = partial(self._accumulate, x, y, order, ahead, cuts, parts, responses)
            side_by_side([partial(share, a, b) for a, b in shares(len(cuts) - 1)])
            for whole, part in zip(vars(total).values(), vars(parts).values(), strict=True):
                whole += part.sum(axis=0, dtype=np.float64)
            if watch is not None:
                watch(start - begin, responses)
        return total

    def _accumulate(
        self,
        x: Array,
        y: Array,
        order: Array,
        ahead: int,
        cuts: Sequence[int],
        parts: Sums,
        responses: Array,
        low: int,
        high: int,
    ) -> None:
        """Sum chunks ``low`` to ``high - 1`` of the rows between ``cuts``."""
        scratch = self._scratch()
        for i in range(low, high):
            arguments = (
                x, y, order, cuts[i], cuts[i + 1], ahead, self.weight, self.bias,
                self.loss_arguments, parts.gradient[i], parts.bias_gradient[i],
                responses[cuts[i] - cuts[0] :], scratch,
            )  # fmt: skip
            if self.many:
                self.functions["accumulate"](*arguments, parts.loss[i])
            else:
                parts.loss[i] = self.functions["accumulate"](*arguments)

    def _scratch(self) -> Array:
        """Return what loops over rows need for themselves: slopes, for one run of several rows."""
        if self.many:
            return np.zeros_like(self.bias)
        return np.zeros((3, GROUP * self.outputs), self.dtype)

    def step(self, sums: Sums, terms: int, factors: Array) -> tuple[Array, Array]:
        """Update with the sums of a batch; return its loss and gradient norm, (runs, 1)."""
        gradient = sums.gradient.astype(self.dtype)
        bias_gradient = sums.bias_gradient.astype(self.dtype)
        arguments = (
            gradient, bias_gradient, float(terms), self.weight, self.bias, self.states,
            self.bias_states, self.has_bias, self.counters, self.hyper, self.penalty_arguments,
            self.clip,
        )  # fmt: skip
        if self.many:
            squared = np.empty(len(self.runs), self.dtype)
            scale = np.empty(len(self.runs), self.dtype)
            self.functions["finish"](*arguments, factors, self.values, scale, squared)
            norms = np.sqrt(squared)
        else:
            norm = self.functions["finish"](*arguments, float(factors[0]))
            norms = np.array([norm], self.dtype)
        losses = (np.atleast_1d(sums.loss) / terms).astype(self.dtype)
        return losses[:, None], norms[:, None]

    def mean_gradient(self, sums: Sums, terms: int) -> tuple[Array, Array]:
        """Return the gradient of the objective from the sums over all rows, weight and bias."""
        gradient = sums.gradient.astype(self.dtype)
        bias_gradient = sums.bias_gradient.astype(self.dtype)
        share = self.dtype.type(1.0 / terms)
        arguments = (
            self.weight, self.bias, gradient, bias_gradient, self.has_bias, share,
            self.penalty_arguments,
        )  # fmt: skip
        if self.many:
            self.functions["mean_gradient"](*arguments, np.empty(len(self.runs), self.dtype))
        else:
            self.functions["mean_gradient"](*arguments)
        return gradient, bias_gradient

    def evaluations(self, sums: Sums, terms: int, *, gradient: bool) -> list[Evaluation]:
        """Return the objective of each run from the sums over all rows, without metrics."""
        gradients = self.mean_gradient(sums, terms) if gradient else ()
        named = list(zip(("weight", "bias")[: 1 + self.has_bias], gradients, strict=False))
        losses = (np.atleast_1d(sums.loss) / terms).tolist()
        return [
            Evaluation(
                loss=loss,
                objective=loss + self.penalty_value(run),
                gradient_norms={n: float(np.linalg.norm(self.of(g, run))) for n, g in named},
                metrics={},
            )
            for run, loss in enumerate(losses)
        ]

    def penalty_value(self, run: int) -> float:
        """Return the penalty at a run's parameters."""
        objective = self.runs[run].objective
        if not objective.penalized:
            return 0.0
        with torch.no_grad(), holding(objective.model, self.model(run)):
            return float(objective.penalty_value())


def groups_of(runs: Sequence[Problem], loader: Loader) -> list[list[int]]:
    """Return which runs are trained by one call: those with one order of rows, if they are many."""
    by_order: dict[int, list[int]] = defaultdict(list)
    for index, run in enumerate(runs):
        by_order[run.seed if depends_on_seed(loader) else 0].append(index)
    groups: list[list[int]] = []
    for indices in by_order.values():
        if len(indices) < MANY:
            groups += [[index] for index in indices]
        else:
            parts = -(-len(indices) // WIDEST)
            groups += [indices[i::parts] for i in range(parts)]
    return groups


def penalizes_biases(objective: Objective) -> bool:
    """Return whether the penalty acts on the bias."""
    return any(p is objective.model.bias for p in objective.penalized)
