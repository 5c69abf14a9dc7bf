"""The compiled engine: the steps of an epoch as one ``scan``, over all runs by ``vmap``.

The scanned step computes what the eager loop does, without side effects: the gradient of the
objective on a batch, its norm, and the update rule. Inductor compiles the whole loop to C++ (on a
GPU, to kernels), so that no step returns to Python. ``scan`` is a prototype in PyTorch; only
``loop_package.py`` and ``compiled_loop.py`` call it.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gdframe.data.dataset import Dataset
from gdframe.data.rows import Rows
from gdframe.engines.base import CannotExecute, Engine, Estimate, Part, Problem, Trace
from gdframe.engines.compiled_loop import CompiledLoop
from gdframe.engines.compiled_step import Step
from gdframe.engines.eager import Eager
from gdframe.engines.inductor import cloned, compiler, selected
from gdframe.engines.inexact import InexactOperationError
from gdframe.engines.probe import why_not_functional
from gdframe.engines.pure_rule import why_rule_not_pure
from gdframe.engines.row_order import depends_on_seed, row_order
from gdframe.engines.rule_check import check_together
from gdframe.engines.stack import Stack
from gdframe.engines.structure import why_not_together, why_step_not_update
from gdframe.engines.together import evaluate_together
from gdframe.engines.verification import (
    DifferenceError,
    check_evaluations,
    check_steps,
    runs_to_check,
)
from gdframe.errors import first_line
from gdframe.loaders.base import Loader
from gdframe.objective import Evaluation
from gdframe.registry import ENGINES, is_built_in
from gdframe.runs.packing import pack

SETUP_SECONDS, STEP_SECONDS, TENSOR_SECONDS, WORK_SECONDS = 20.0, 4e-6, 2e-6, 0.2e-9
"""Seconds for compilation, a step, each of its parameter tensors, each product of value and row."""

UNROLLED, FEW_PRODUCTS = 4, 1 << 18
"""Steps that share a pass of the loop, which costs some µs; fewer products make a step small."""

SAMPLE = 32
"""Number of rows on which an evaluation is compared with the plain loop's."""


@ENGINES.register("compiled")
class Compiled(Engine):
    """Executes any functional module with any pure update rule, as compiled code.

    Raises:
        CannotExecute: PyTorch cannot trace or compile the model, the loss or the update rule.
    """

    rebuild_seconds = SETUP_SECONDS

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        rows = self._part("train")  # compiled code reads contiguous rows, copied once
        self.rows["train"] = replace(rows, features=rows.features.contiguous())
        self._stack = Stack(self.runs)
        self._shared = not depends_on_seed(loader) or len({run.seed for run in self.runs}) == 1
        self._orders: tuple[int, Tensor] | None = None
        self._picks_rows = depends_on_seed(loader) or loader.batch_size < loader.rows
        self._full_steps = loader.rows // loader.batch_size  # steps of an epoch with a full batch
        is_small = self._picks_rows and self._products(self.runs, loader) < FEW_PRODUCTS
        self._unrolled = UNROLLED if is_small and self._full_steps >= 4 * UNROLLED else 1
        # the loop crashes if two states share memory, as where one expression of a rule gives both;
        # selecting between new and old values gives each its own memory
        self._selects_by_activity = self._unrolled > 1 or not is_built_in(self._stack.rule)
        for run in self.runs:
            run.objective.model.train()
        self._step = Step(self._stack, shared=self._shared)
        self._step.check(self._sample())
        self._loop = self._build_loop()

    @classmethod
    def why_not(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
        """Return why modules, rules or the machine do not allow compilation, or None."""
        device = data.train.features.device
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "on a GPU it needs Triton, which is not installed"
        if device.type == "cpu" and compiler() is None:
            return "it needs a C++ compiler (g++, clang++ or $CXX), but there is none"
        for run in runs:
            if reason := why_step_not_update(run):
                return reason
        return (
            why_not_together(runs)
            or why_rule_not_pure(runs[0])
            or why_not_functional(runs[0], data, loader)
        )

    @classmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Return an estimate: long compilation, then steps without Python."""
        tensors = len(list(runs[0].objective.model.parameters()))
        work = WORK_SECONDS * cls._products(runs, loader)
        return Estimate(SETUP_SECONDS, STEP_SECONDS + TENSOR_SECONDS * tensors + work)

    @staticmethod
    def _products(runs: Sequence[Problem], loader: Loader) -> int:
        """Return the number of products of a parameter and a row in a step, over all runs."""
        parameters = sum(p.numel() for p in runs[0].objective.model.parameters())
        return loader.batch_size * parameters * len(runs)

    @classmethod
    def describe(cls, loader: Loader) -> str:
        """Return a description of the steps and why they are fast."""
        return f"{super().describe(loader)} of a functional module, compiled"

    def _build_loop(self) -> CompiledLoop:
        """Return the loop over full batches; all lengths of two and more share their code.

        Raises:
            CannotExecute: PyTorch cannot trace or compile a step, or computes it otherwise.
        """
        inputs, _ = self._inputs(0, 0, min(2 * self._unrolled, self._full_steps))
        rows = 2 if self._picks_rows else 0
        try:
            return CompiledLoop(
                self._pass, self._stack.carried(), inputs, self._constants, rows=rows
            )
        except InexactOperationError as error:
            raise CannotExecute(self, f"a step uses {error}") from error
        except Exception as error:  # tracing and compiling may raise anything
            text = first_line(error)
            raise CannotExecute(self, f"PyTorch does not compile it ({text})") from error

    def copy_from_modules(self) -> None:
        """Copy parameters and states from modules and optimizers."""
        if self._step.read_strengths():
            self._loop = self._build_loop()
        self._stack.check_settings()
        self._stack.copy_from_modules()

    def verify(self) -> None:
        """Compare compiled steps, and an epoch's last smaller batch, with the plain loop."""
        check_together(self._stack, self.clock)
        try:
            self._check_steps()
        except DifferenceError:  # perhaps of the code that an earlier process compiled
            self.copy_from_modules()
            if not self._loop.compile_again():
                raise
            self._check_steps()
        if not self._is_single:
            sample = self._sample()
            check_evaluations(
                self, sample, lambda runs: [*map(self._together(sample).__getitem__, runs)]
            )
            self._together(sample, gradient=False)  # validation rows must not fail later

    def _check_steps(self) -> None:
        rows, size = self._part("train"), self.loader.batch_size
        spans = [(0, min(2, self._full_steps)), (self._full_steps, self.loader.steps_per_epoch)]
        for run in runs_to_check(len(self.runs)):
            order = self._order(0) if self._shared else self._order(0)[run]
            for first, last in (span for span in spans if span[0] < span[1]):
                parts = [order[i * size : (i + 1) * size] for i in range(first, last)]
                batches = [rows.take(part) for part in parts]
                rates = self._stack.learning_rates(first, last, self.clock)[:, run].tolist()

                def execute(run: int = run, span: tuple[int, int] = (first, last)) -> Any:
                    trace = self.advance(*span)
                    return trace.loss[run].tolist(), trace.gradient_norm[run].tolist()

                check_steps(self, run, batches, rates, execute)

    @property
    def _is_single(self) -> bool:
        """Return whether the group has one run only; its tensors then have no axis of runs."""
        return len(self.runs) == 1

    @property
    def _constants(self) -> tuple[Any, ...]:
        """Return what all steps of a loop see: numbers of the rule and the penalty, and rows."""
        rows = self._part("train")
        return self._stack.varying, self._step.strengths, rows.features, rows.targets

    def _pass(
        self, carried: Any, inputs: tuple[Tensor, ...], constants: tuple[Any, ...]
    ) -> tuple[Any, tuple[Tensor, Tensor]]:
        """Execute the steps of a pass; return parameters with state, and losses and norms."""
        (index, rate, *active), (varying, strengths, features, targets) = inputs, constants
        losses, norms = [], []
        for k in range(self._unrolled):
            x, y = features, targets
            if self._picks_rows:
                x, y = features[index[k]], targets[index[k]]
            params, state = carried
            *after, loss, norm = self._step(params, state, (varying, strengths), rate[k], x, y)
            carried = selected(active[0][k], after, carried) if active else after
            losses.append(loss)
            norms.append(norm)
        return cloned(carried), (torch.stack(losses), torch.stack(norms))

    def _inputs(
        self, epoch: int, offset: int, steps: int, rates: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], slice]:
        """Return the loop's inputs for some steps of an epoch, and where these steps lie in them.

        The inputs are row indices (passes, steps of a pass, ...), learning rates and, where a pass
        has several steps, which of them are active. A step always has the same place in a pass,
        however an epoch is cut into calls.
        """
        steps_per_pass, size = self._unrolled, self.loader.batch_size
        begin = offset // steps_per_pass * steps_per_pass
        passes = -(-(offset + steps - begin) // steps_per_pass)
        if steps_per_pass > 1:
            passes = max(passes, 2)
        padded = passes * steps_per_pass
        span = slice(offset - begin, offset - begin + steps)
        device, dtype = self._stack.params[0].device, torch.float64
        all_rates = torch.zeros(padded, len(self.runs), dtype=dtype, device=device)
        if rates is not None:
            all_rates[span] = rates
        if self._is_single:
            all_rates = all_rates[:, 0]
        order = self._order(epoch) if self._picks_rows else torch.zeros(0, dtype=torch.int64)
        order = order[..., begin * size : min(begin + padded, self._full_steps) * size].to(device)
        width = size if self._picks_rows else 0
        order = torch.nn.functional.pad(order, (0, padded * width - order.shape[-1]))
        indices = order.reshape(*order.shape[:-1], passes, steps_per_pass, width)
        if not self._shared:
            indices = indices.movedim(0, 2).contiguous()
        inputs = indices, all_rates.reshape(passes, steps_per_pass, *all_rates.shape[1:])
        if not self._selects_by_activity:
            return inputs, span
        active = torch.zeros(padded, dtype=torch.bool, device=device)
        active[span] = True
        return (*inputs, active.reshape(passes, steps_per_pass)), span

    def advance(self, first: int, last: int) -> Trace:
        """Execute full batches by the compiled loop, an epoch's smaller last batch by one step."""
        epoch = first // self.clock.steps_per_epoch
        offset = first - epoch * self.clock.steps_per_epoch
        rates = torch.from_numpy(self._stack.learning_rates(first, last, self.clock))
        rates = rates.to(self._stack.params[0].device)
        whole = max(0, min(last - first, self._full_steps - offset))
        traces = []
        if whole:
            inputs, span = self._inputs(epoch, offset, whole, rates[:whole])
            carried, trace = self._loop(self._stack.carried(), inputs, self._constants)
            self._stack.store(*carried)
            traces.append([values.reshape(-1, len(self.runs))[span] for values in trace])
        if whole < last - first:
            traces.append(self._last_step(epoch, rates[-1]))
        losses, norms = (torch.cat(values).T.cpu().numpy() for values in zip(*traces, strict=True))
        return Trace(losses, norms)

    def _last_step(self, epoch: int, rate: Tensor) -> list[Tensor]:
        """Execute the last step of an epoch, which takes fewer rows; return loss and norm."""
        order = self._order(epoch)[..., self._full_steps * self.loader.batch_size :]
        rows = self._part("train")
        with torch.no_grad():
            params, state, loss, norm = self._step(
                *self._stack.carried(), self._constants[:2], rate[0] if self._is_single else rate,
                rows.features[order], rows.targets[order],
            )  # fmt: skip
            self._stack.store(params, state)
        return [loss.reshape(1, -1), norm.reshape(1, -1)]

    def _order(self, epoch: int) -> Tensor:
        """Return the order of an epoch's rows, (rows,) or (runs, rows); cached for one epoch."""
        if self._orders is None or self._orders[0] != epoch:
            seeds = [self.runs[0].seed] if self._shared else [run.seed for run in self.runs]
            orders = []
            for seed in seeds:
                order = row_order(self.loader, epoch, seed, self.runs)
                orders.append(torch.arange(self.loader.rows) if order is None else order)
            order = orders[0] if self._shared else torch.stack(orders)
            self._orders = (epoch, order.to(self._stack.params[0].device))
        return self._orders[1]

    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Return the evaluation of each run; all at once, or in the module for a single run."""
        if len(self.runs) > 1:
            return self._together(self._part(part), gradient=part == "train")
        self.copy_to_module(0)
        return super().evaluate(part, whole=whole)

    def _together(self, rows: Rows, *, gradient: bool = True) -> list[Evaluation]:
        strengths = self._step.strengths
        return evaluate_together(self._stack, strengths, rows, self.data, gradient=gradient)

    def _sample(self) -> Rows:
        return self._part("train").take(slice(SAMPLE))

    def alone(self, run: int) -> Engine:
        """Return the plain loop for one run, which needs no compilation."""
        if len(self.runs) == 1:
            return self
        engine = Eager([self.runs[run]], self.data, self.loader, epochs=self.epochs)
        engine.load_state(0, self.state(run))
        engine.reason = self.reason
        return engine

    def copy_to_module(self, run: int) -> None:
        """Copy a run's parameters to its module, and its state to its optimizer."""
        self._stack.copy_to_module(run)

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Return a run's parameters from the stack, and its frozen parameters."""
        named = super().parameters(run)
        if run in self.retired:  # the module holds what the run ended with
            return named
        return named | {
            n: p[run] for n, p in zip(self._stack.names, self._stack.params, strict=True)
        }

    def state(self, run: int) -> dict[str, Tensor]:
        """Copy parameters, the module's buffers and the rule's state."""
        model = self.runs[run].objective.model
        state = pack({f"model.{name}": value for name, value in model.state_dict().items()})
        state |= self._stack.read(run)
        # a tied parameter has several names in the module, and one in the stack
        names = {id(p): name for name, p in model.named_parameters()}
        for alias, parameter in model.named_parameters(remove_duplicate=False):
            if (name := names[id(parameter)]) != alias:
                state[f"model.{alias}"] = state[f"model.{name}"].clone()
        return state

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the stack; buffers and frozen parameters never change."""
        self._stack.write(run, state)
