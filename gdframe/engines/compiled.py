"""Any functional module, compiled: the steps of an epoch as one scan, runs side by side by vmap.

The scanned step is what the eager loop does, written without side effects: the gradient of the
objective at a batch, its norm, and the update rule's pure functions. Inductor compiles the whole
loop to C++ (or, on a GPU, to kernels), so that no step returns to Python. ``scan`` is a prototype
of PyTorch's: this file alone knows it.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import types
import warnings
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from gdframe.data.dataset import Dataset, Rows
from gdframe.engines.base import CannotExecute, Engine, Estimate, Part, Problem, Trace
from gdframe.engines.compiled_step import Step
from gdframe.engines.eager import Eager
from gdframe.engines.inexact import InexactOperationError, RefuseInexact
from gdframe.engines.probe import first_line, why_not_functional, why_not_stateless
from gdframe.engines.row_order import depends_on_seed, row_order
from gdframe.engines.stack import Stack
from gdframe.engines.structure import why_not_pure, why_not_together
from gdframe.engines.together import evaluate_together
from gdframe.engines.verification import check_steps, compare_evaluation, runs_to_check
from gdframe.loaders.base import Loader
from gdframe.objective import Evaluation
from gdframe.registry import ENGINES

SETUP_SECONDS, STEP_SECONDS, TENSOR_SECONDS, WORK_SECONDS = 20.0, 4e-6, 2e-6, 0.2e-9
"""Of compilation; of a step; of each parameter tensor in it; of each product of value and row."""

UNROLLED, FEW_PRODUCTS = 4, 1 << 18
"""Steps in one pass of the loop, where each has fewer products than this: a pass costs some µs."""

OPTIONS: dict[str, Any] = {
    "cpp_wrapper": True,
    # PyTorch keeps what it compiled only of operations that it says depend on nothing but their
    # graph, and has not said so yet of its loops, which do not either
    "unsafe_marked_cacheable_functions": dict.fromkeys(
        ("torch.ops.higher_order.scan", "torch.ops.higher_order.while_loop"), torch.__version__
    ),
}
"""Of Inductor: no Python between steps, and what is compiled is kept for other processes."""

FEW = 32
"""Rows on which an evaluation is compared with the plain loop's."""

_number = count()


@ENGINES.register("compiled")
class Compiled(Engine):
    """Executes any functional module with any pure update rule, at compiled speed.

    Raises:
        CannotExecute: PyTorch cannot trace or compile the model, the loss or the rule.
    """

    rebuild_seconds = SETUP_SECONDS

    def __init__(
        self, runs: Sequence[Problem], data: Dataset, loader: Loader, *, epochs: int
    ) -> None:
        super().__init__(runs, data, loader, epochs=epochs)
        self._stack = Stack(self.runs)
        self._shared = not depends_on_seed(loader) or len({run.seed for run in self.runs}) == 1
        self._orders: tuple[int, Tensor] | None = None
        self._indexed = depends_on_seed(loader) or loader.batch_size < loader.rows
        self._full = loader.rows // loader.batch_size  # steps of an epoch that take a whole batch
        small = self._products(self.runs, loader) < FEW_PRODUCTS and self._full >= 4 * UNROLLED
        self._unrolled = UNROLLED if small and self._indexed else 1
        # two states that a rule computes alike would share memory in the loop, which crashes; what
        # is chosen between the step's and the one before has memory of its own
        own = self._stack.rule.__module__.startswith("gdframe.")
        self._selects = self._unrolled > 1 or not own
        for run in self.runs:
            run.objective.model.train()
        self._step = Step(self._stack, shared=self._shared)
        try:
            with RefuseInexact():  # type: ignore[no-untyped-call]
                self._try_step()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # PyTorch's, about its own prototypes
                self._epoch = self._compiled()
        except InexactOperationError as error:
            raise CannotExecute(self, f"a step uses {error}") from error
        except Exception as error:  # whatever tracing and compiling raise
            reason = f"PyTorch does not compile it ({first_line(error)})"
            raise CannotExecute(self, reason) from error

    @classmethod
    def why_not(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> str | None:
        """Functional modules, pure rules, and a compiler on this machine."""
        device = data.train.features.device
        if device.type == "cuda" and importlib.util.find_spec("triton") is None:
            return "on a GPU it needs Triton, which is not installed"
        if device.type == "cpu" and compiler() is None:
            return "it needs a C++ compiler (g++ or clang++, or $CXX), and none is found"
        for run in runs:
            if reason := why_not_pure(run):
                return reason
        return (
            why_not_together(runs)
            or why_not_stateless(runs[0])
            or why_not_functional(runs[0], data, loader)
        )

    @classmethod
    def estimate(cls, runs: Sequence[Problem], data: Dataset, loader: Loader) -> Estimate:
        """Long compilation, then steps without Python."""
        tensors = len(list(runs[0].objective.model.parameters()))
        work = WORK_SECONDS * cls._products(runs, loader)
        return Estimate(SETUP_SECONDS, STEP_SECONDS + TENSOR_SECONDS * tensors + work)

    @staticmethod
    def _products(runs: Sequence[Problem], loader: Loader) -> int:
        """Return how many products of a parameter and a row a step has, over all runs."""
        parameters = sum(p.numel() for p in runs[0].objective.model.parameters())
        return loader.batch_size * parameters * len(runs)

    @classmethod
    def describe(cls, loader: Loader) -> str:
        """What makes it fast."""
        return f"{super().describe(loader)} of a functional module, compiled"

    def _try_step(self) -> None:
        """Execute a step without compiling it, which shows soonest what cannot be done."""
        order = self._order(0)[..., : self.loader.batch_size]
        rows = self._part("train")
        rate = torch.ones(len(self.runs), dtype=torch.float64, device=rows.targets.device)
        kept = self._stack.params, self._stack.state
        with torch.no_grad():
            params, state = _cloned(self._taken())
            self._step(
                params, state, self._stack.varying, rate[0] if self._alone else rate,
                rows.features[order], rows.targets[order],
            )  # fmt: skip
        self._stack.params, self._stack.state = kept

    def take_up(self) -> None:
        """Copy what modules and optimizers hold."""
        self._step.read_strengths()
        self._stack.check_settings()
        self._stack.take_up()

    def verify(self) -> None:
        """Compare compiled steps with the plain loop's, and those of an epoch's rest."""
        rows, size = self._part("train"), self.loader.batch_size
        spans = [(0, min(2, self._full)), (self._full, self.loader.steps_per_epoch)]
        for run in runs_to_check(len(self.runs)):
            order = self._order(0) if self._shared else self._order(0)[run]
            for first, last in (span for span in spans if span[0] < span[1]):
                parts = [order[i * size : (i + 1) * size] for i in range(first, last)]
                batches = [Rows(rows.features[p], rows.targets[p]) for p in parts]
                rates = self._stack.factors(first, last, self.clock)[:, run].tolist()

                def execute(run: int = run, span: tuple[int, int] = (first, last)) -> Any:
                    trace = self.advance(*span)
                    return trace.loss[run].tolist(), trace.gradient_norm[run].tolist()

                check_steps(self, run, batches, rates, execute)
        if not self._alone:
            few = Rows(rows.features[:FEW], rows.targets[:FEW])
            found = evaluate_together(
                self._stack, self._step.strengths, few, self.data, gradient=True
            )
            for run in runs_to_check(len(self.runs)):
                compare_evaluation(found[run].loss, self.runs[run], few, self.data)

    @property
    def _alone(self) -> bool:
        """Whether there is a single run, whose tensors then have no axis of runs."""
        return len(self.runs) == 1

    def _taken(self) -> tuple[list[Tensor], dict[str, list[Tensor]]]:
        """Return parameters and state as a step takes them."""
        params, state = self._stack.params, self._stack.state
        if self._alone:
            return [p[0] for p in params], {k: [v[0] for v in vs] for k, vs in state.items()}
        return params, state

    def _put(self, params: list[Tensor], state: dict[str, list[Tensor]]) -> None:
        """Take parameters and state back."""
        if self._alone:
            params = [p[None] for p in params]
            state = {k: [v[None] for v in vs] for k, vs in state.items()}
        self._stack.params, self._stack.state = params, state

    def _compiled(self) -> Callable[..., Any]:
        """Return the compiled loop over steps that take whole batches, several in a pass."""
        from torch._higher_order_ops import scan

        def loop(
            carried: Any, varying: dict[str, Tensor], given: tuple[Tensor, ...],
            features: Tensor, targets: Tensor,
        ) -> Any:  # fmt: skip
            def steps(carried: Any, given: tuple[Tensor, ...]) -> Any:
                index, rate, *active = given
                losses, norms = [], []
                for k in range(self._unrolled):
                    x, y = features, targets
                    if self._indexed:
                        x, y = features[index[k]], targets[index[k]]
                    params, state = carried
                    *after, loss, norm = self._step(params, state, varying, rate[k], x, y)
                    carried = _chosen(active[0][k], after, carried) if active else after
                    losses.append(loss)
                    norms.append(norm)
                return _cloned(carried), (torch.stack(losses), torch.stack(norms))

            return scan(steps, _cloned(carried), given)

        # PyTorch limits how often one code object is compiled: each engine has its own
        name = f"gdframe_steps_{next(_number)}"
        own = types.FunctionType(
            loop.__code__.replace(co_name=name), loop.__globals__, name, None, loop.__closure__
        )
        compiled = torch.compile(own, fullgraph=True, options=_options())
        # lengths of two and more share their code; one has its own
        self._run(compiled, *self._given(0, 0, min(2, self._full)))
        return compiled

    def _given(
        self, epoch: int, offset: int, steps: int, rates: Tensor | None = None
    ) -> tuple[tuple[Tensor, ...], slice]:
        """Return what the loop goes over to execute some steps of an epoch, and which they are.

        That are indices (passes, steps of a pass, ...), rates and, where a pass has several steps,
        which of them count: a step has its place in a pass, however an epoch is cut into calls.
        """
        several, size = self._unrolled, self.loader.batch_size
        begin = offset // several * several
        passes = -(-(offset + steps - begin) // several)
        if several > 1:
            passes = max(passes, 2)
        padded = passes * several
        here = slice(offset - begin, offset - begin + steps)
        device, dtype = self._stack.params[0].device, torch.float64
        every = torch.zeros(padded, len(self.runs), dtype=dtype, device=device)
        if rates is not None:
            every[here] = rates
        if self._alone:
            every = every[:, 0]
        order = self._order(epoch) if self._indexed else torch.zeros(0, dtype=torch.int64)
        order = order[..., begin * size : min(begin + padded, self._full) * size].to(device)
        width = size if self._indexed else 0
        order = torch.nn.functional.pad(order, (0, padded * width - order.shape[-1]))
        indices = order.reshape(*order.shape[:-1], passes, several, width)
        if not self._shared:
            indices = indices.movedim(0, 2).contiguous()
        given = indices, every.reshape(passes, several, *every.shape[1:])
        if not self._selects:
            return given, here
        active = torch.zeros(padded, dtype=torch.bool, device=device)
        active[here] = True
        return (*given, active.reshape(passes, several)), here

    def _run(
        self, loop: Callable[..., Any], given: tuple[Tensor, ...], here: slice
    ) -> tuple[Any, list[Tensor]]:
        """Return parameters with state, and losses and norms (steps, runs), after the loop."""
        rows = self._part("train")
        for tensor in given:
            torch._dynamo.maybe_mark_dynamic(tensor, 0)
        with torch.no_grad():
            carried, traces = loop(
                self._taken(), self._stack.varying, given, rows.features, rows.targets
            )
        return carried, [trace.reshape(-1, len(self.runs))[here] for trace in traces]

    def advance(self, first: int, last: int) -> Trace:
        """Execute whole batches by the compiled loop, and what is left of an epoch step by step."""
        epoch = first // self.clock.steps_per_epoch
        offset = first - epoch * self.clock.steps_per_epoch
        rates = torch.from_numpy(self._stack.factors(first, last, self.clock))
        rates = rates.to(self._stack.params[0].device)
        whole = max(0, min(last - first, self._full - offset))
        traces = []
        if whole:
            given = self._given(epoch, offset, whole, rates[:whole])
            carried, trace = self._run(self._epoch, *given)
            self._put(*carried)
            traces.append(trace)
        if whole < last - first:
            traces.append(self._rest(epoch, rates[-1]))
        losses, norms = (torch.cat(values).T.cpu().numpy() for values in zip(*traces, strict=True))
        return Trace(losses, norms)

    def _rest(self, epoch: int, rate: Tensor) -> list[Tensor]:
        """Execute the last step of an epoch, which takes fewer rows; return loss and norm."""
        order = self._order(epoch)[..., self._full * self.loader.batch_size :]
        rows = self._part("train")
        with torch.no_grad():
            params, state, loss, norm = self._step(
                *self._taken(), self._stack.varying, rate[0] if self._alone else rate,
                rows.features[order], rows.targets[order],
            )  # fmt: skip
            self._put(params, state)
        return [loss.reshape(1, -1), norm.reshape(1, -1)]

    def _order(self, epoch: int) -> Tensor:
        """Return the order of an epoch's rows, (rows,) or (runs, rows), kept until the next one."""
        if self._orders is None or self._orders[0] != epoch:
            seeds = [self.runs[0].seed] if self._shared else [run.seed for run in self.runs]
            orders = []
            for seed in seeds:
                order = row_order(self.loader, epoch, seed)
                orders.append(torch.arange(self.loader.rows) if order is None else order)
            found = orders[0] if self._shared else torch.stack(orders)
            self._orders = (epoch, found.to(self._stack.params[0].device))
        return self._orders[1]

    def evaluate(self, part: Part, *, whole: bool = True) -> list[Evaluation]:
        """Evaluate all runs at once; a single one in its module, which is given its parameters."""
        if len(self.runs) > 1:
            rows, gradient = self._part(part), part == "train"
            return evaluate_together(
                self._stack, self._step.strengths, rows, self.data, gradient=gradient
            )
        self.settle(0)
        return super().evaluate(part, whole=whole)

    def alone(self, run: int) -> Engine:
        """Return the plain loop, which needs no compiling for the few steps it is for."""
        if len(self.runs) == 1:
            return self
        engine = Eager([self.runs[run]], self.data, self.loader, epochs=self.epochs)
        engine.load_state(0, self.state(run))
        engine.reason = self.reason
        return engine

    def settle(self, run: int) -> None:
        """Hand a run's parameters to its module, and its state to its optimizer."""
        self._stack.settle(run)

    def parameters(self, run: int) -> dict[str, Tensor]:
        """Return a run's part of the stack, and its frozen parameters."""
        named = super().parameters(run)
        if run in self.retired:  # the module holds what the run ended with
            return named
        return named | {
            n: p[run] for n, p in zip(self._stack.names, self._stack.params, strict=True)
        }

    def state(self, run: int) -> dict[str, Tensor]:
        """Copy parameters, the module's buffers and the rule's state."""
        model = self.runs[run].objective.model
        state = {f"model.{n}": v.detach().clone() for n, v in model.state_dict().items()}
        state |= self._stack.read(run)
        # a tied parameter has several names in the module, and one in the stack
        names = {id(p): name for name, p in model.named_parameters()}
        for alias, parameter in model.named_parameters(remove_duplicate=False):
            if (name := names[id(parameter)]) != alias:
                state[f"model.{alias}"] = state[f"model.{name}"].clone()
        return state

    def load_state(self, run: int, state: Mapping[str, Tensor]) -> None:
        """Copy the state into the stack; buffers are as they were, since they never change."""
        self._stack.write(run, state)


def _options() -> dict[str, Any]:
    """Return what Inductor is asked for."""
    from gdframe.engines.products import OneDNN, is_faster  # which import Inductor

    return OPTIONS | ({"post_grad_custom_post_pass": OneDNN()} if is_faster() else {})


def compiler() -> str | None:
    """Return the C++ compiler that Inductor would use, or None."""
    names = [os.environ.get("CXX") or "g++", "clang++", "c++"]
    return next((found for name in names if (found := shutil.which(name))), None)


def _cloned(tensors: Any) -> Any:
    """Copy all tensors, since what a scan carries may not share memory with what it is given."""
    return tree_map(torch.clone, tuple(tensors))


def _chosen(counts: Tensor, after: Any, before: Any) -> Any:
    """Return all tensors after a step, or before it if the step does not count."""
    return tree_map(lambda a, b: torch.where(counts, a, b), tuple(after), tuple(before))
