"""From a run to all that is needed to go on with it, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gdframe.errors import UserError
from gdframe.runs.checkpoint_file import Capture
from gdframe.runs.packing import TEXT
from gdframe.stopping import Memory
from gdframe.training.replay import Snapshot

if TYPE_CHECKING:
    from gdframe.training.run import Run

PREFIXES_OF_OTHERS = ("history", "diagnosis", "observer", "best")
"""Prefixes of tensors that are not the engine's state.

Add the prefix of a new kind of tensor here: what has another prefix is the engine's state."""


@dataclass(frozen=True)
class Best:
    """The best parameters of a run so far, by one of its stopping rules.

    Args:
        snapshot: where they are.
        memories: of the stopping rules at that step.
        executed: steps executed by then.
    """

    snapshot: Snapshot
    memories: dict[str, Memory]
    executed: int


def copied(memories: Mapping[str, Memory]) -> dict[str, Memory]:
    """Return a copy of the memories of stopping rules, which change while a run trains."""
    return {rule: dict(memory) for rule, memory in memories.items()}


def capture(run: Run) -> Capture:
    """Return copies of all that is needed to go on with a run from where it is."""
    columns = run.history.to_arrays()
    tensors = run.engine.state(run.index)
    tensors |= {f"history.{name}": torch.from_numpy(values) for name, values in columns.items()}
    tensors |= {f"diagnosis.{name}": value for name, value in run.diagnosis.state().items()}
    for observer in run.observers:
        for name, value in observer.state().items():
            if not isinstance(value, Tensor):
                raise UserError(
                    f"observer {type(observer).__name__}: its state '{name}' is a "
                    f"{type(value).__name__}; expected a tensor"
                )
            tensors[f"observer.{name}"] = value
    for rule, best in run.best.items():
        tensors |= {f"best.{rule}.{name}": value for name, value in best.snapshot.state.items()}
    facts = {
        "step": run.step,
        "executed": run.executed - run.undone,
        "undone": run.undone,
        "columns": list(columns),
        "seconds": run.seconds,
        "stopping": copied(run.memories),
        "best": {
            rule: {
                "step": best.snapshot.step,
                "stopping": copied(best.memories),
                "executed": best.executed,
            }
            for rule, best in run.best.items()
        },
        "data": run.spec.data.digest,
        "engine": run.engine_name,
        "engine_reason": run.engine_reason,
        "lr_reason": run.lr_reason,
        **({"constructed": dict(run.constructed)} if run.constructed else {}),
    }
    return Capture(tensors, facts)


def restore(run: Run, capture: Capture) -> None:
    """Bring a run to where a capture was taken.

    Raises:
        UserError: it is of a run on other data.
        ValueError: it is of another model.
    """
    if capture.facts["data"] != run.spec.data.digest:
        message = (
            "the data is not what the run was trained on: go on with the data as it was, or "
            "start a new run"
        )
        if run.spec.data.facts and "lr_reason" not in capture.facts:
            message += (
                "; an earlier version of gdframe, which read tables in another way, began the run: "
                "that version can resume it"
            )
        raise UserError(message)
    parts: dict[str, dict[str, Tensor]] = {name: {} for name in PREFIXES_OF_OTHERS}
    state = {}
    for name, values in capture.tensors.items():
        part, _, rest = name.partition(".")
        if part in parts:
            parts[part][rest] = values
        else:
            state[name] = values
    run.engine.load_state(run.index, state)
    run.engine.copy_to_module(run.index)  # the run begins from what its module holds
    run.diagnosis.load_state(parts["diagnosis"])
    run.observer_states = parts["observer"]
    run.engine.reason = capture.facts["engine_reason"]
    run.lr_reason = capture.facts.get("lr_reason", "")
    run.history.load_arrays({name: v.numpy() for name, v in parts["history"].items()})
    run.step, run.seconds_before = capture.facts["step"], capture.facts["seconds"]
    run.history.rewind(run.step)
    run.executed = capture.facts.get("executed", run.step)
    run.undone_before = capture.facts.get("undone", 0)
    run.memories = _memories(capture.facts)
    run.best = {}
    for rule, facts in capture.facts.get("best", {}).items():
        prefix = f"{rule}."
        best = {n.removeprefix(prefix): v for n, v in parts["best"].items() if n.startswith(prefix)}
        if _shapes(best) != _shapes(state):
            raise ValueError(f"the best parameters of the rule '{rule}' have other names or shapes")
        step = facts["step"]
        run.best[rule] = Best(
            Snapshot(step, best, None), copied(facts["stopping"]), facts.get("executed", step)
        )


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shapes of a state; of its model alone where training may change the others."""
    is_fixed = TEXT not in state
    return {n: v.shape for n, v in state.items() if is_fixed or n.startswith("model.")}


MOST_LOOKS = 1_000
"""Most times that a rule can have found a run far from a stationary point: it waits twice as long
each time."""


def _memories(facts: Mapping[str, Any]) -> dict[str, Memory]:
    """Return the memories of the stopping rules, from checkpoints of version 0.1 too.

    Raises:
        ValueError: that of the built-in rule is damaged.
    """
    names = ("best", "last", "stale", "rising")
    if "stopping" not in facts:
        return {"improvement": {name: facts["course"][name] for name in names}}
    memories = copied(facts["stopping"])
    memory = memories.get("improvement")
    if memory is not None and (
        not {*names} <= memory.keys() or not 0 <= memory.get("looks", 0) <= MOST_LOOKS
    ):
        raise ValueError("the memory of its stopping rules is damaged")
    return memories
