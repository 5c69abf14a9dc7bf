"""The components of a run that may keep state which no checkpoint holds."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from torch import Tensor, nn

from gdframe.engines.stored_state import has_extra_state, held_places, places_of_extra_state
from gdframe.hidden_state import HiddenState, undisturbed, with_state
from gdframe.hidden_state.leaves import HOOKS
from gdframe.runs.log import warn_once
from gdframe.training.run_spec import RunSpec

REMEDIES = {
    "model": "keep it in a buffer (register_buffer) or in get_extra_state",
    "optimizer": "keep it in the optimizer's state or in its parameter groups",
    "stopping": "keep it in memory",
    "metric": "compute a metric from predictions and targets alone",
    "loader": "compute it from epoch and seed",
    "schedule": "compute it from the epoch",
}
"""Advice on state that checkpoints do not hold, by component."""

MOST_NAMED = 3
"""Most places that a warning names."""


class ChangingComponents:
    """Copies what the components of a run keep besides the state that engines return.

    Built-in components keep nothing and are not looked at.

    Args:
        spec: of the run.
    """

    def __init__(self, spec: RunSpec) -> None:
        self._spec = spec
        others = {"schedule": spec.schedule, "loader": spec.loader}
        self._components = with_state({**spec.problem.components, **others})
        self._at_start: HiddenState | None = None
        self._unchanged: nn.Module | None = None

    def copied(self) -> HiddenState:
        """Return a copy of the state of every component that a step calls, without globals."""
        return HiddenState(self._components, draws=False, skip=self._held(), code=False)

    def begin(self) -> None:
        """Note how the components and the stopping rules are before the first step."""
        if self._at_start is None:
            metrics = with_state(self._spec.metrics or {})
            components = {**self._components, "stopping": with_state(self._spec.stopping.rules)}
            components |= {"metric": metrics} if metrics else {}
            if self._components:  # what a component writes to a parameter besides its values
                for name, parameter in self._spec.model.named_parameters():
                    place = f"model parameter {name}"
                    components[place] = vars(parameter)
                    for hooks in HOOKS:
                        components[f"{place} {hooks}"] = getattr(parameter, hooks, None) or {}
            if self._components and has_extra_state(self._spec.model):
                with suppress(Exception):  # of a user's model, which may not be copied
                    self._unchanged = copy.deepcopy(self._spec.model)
            self._at_start = HiddenState(
                components, draws=False, skip=[*self._held(), self._spec.data]
            )

    def warn_of_unsaved(self) -> None:
        """Warn once of state that has changed since the start and is in no checkpoint."""
        if self._at_start is not None and (hidden := self._at_start.unseen):
            warn_once(
                f"{hidden} hides its state, as an iterator does: a resumed run starts anew there; "
                "keep numbers instead"
            )
        places = list(dict.fromkeys(self._unsaved()))
        if not places:
            return
        self._at_start = HiddenState({})  # warn once
        named = [p if {".", "["} & {*p} else f"attributes of {p}" for p in places[:MOST_NAMED]]
        more = f" and {len(places) - MOST_NAMED} more" * (len(places) > MOST_NAMED)
        components = {place.replace("[", ".").partition(".")[0].split(" ")[0] for place in places}
        advice = [f"; {text}" for component, text in REMEDIES.items() if component in components]
        also = ", and predictions with the saved model, start"
        who = f"a resumed run{also if 'model' in components else ' starts'}"
        warn_once(
            f"checkpoints do not hold {', '.join(named)}{more}, which training changes: {who} anew "
            f"there{''.join(advice)}"
        )

    def _held(self) -> list[object]:
        """Return the objects whose changes a checkpoint holds already, and the data."""
        model, optimizer = self._spec.model, self._spec.optimizer
        held = [*model.parameters(), optimizer.state, *self._spec.data.tensors]
        return held + [v for v in model.state_dict().values() if isinstance(v, Tensor)]

    def _unsaved(self) -> Iterator[str]:
        held, whole = held_places(self._spec.problem), set[str]()
        if self._unchanged is not None:
            with suppress(Exception), undisturbed(model=self._spec.model):  # of a user's model
                attributes, whole = places_of_extra_state(self._spec.model, self._unchanged)
                held |= attributes
        for place in self._at_start.changes() if self._at_start else ():
            if place not in whole and not any(
                place == h or place.startswith((f"{h}.", f"{h}[")) for h in held
            ):
                yield place
        optimizer: Any = self._spec.optimizer
        trained = {id(p) for group in optimizer.param_groups for p in group["params"]}
        for key in optimizer.state if self._at_start else ():
            if id(key) not in trained and not isinstance(key, str):
                what = "[a tensor that is not trained]" if isinstance(key, Tensor) else f"[{key!r}]"
                yield f"optimizer.state{what}"
