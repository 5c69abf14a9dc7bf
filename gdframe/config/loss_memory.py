"""Warns of losses that keep what they learn from targets where no file holds it."""

from __future__ import annotations

from gdframe.data.rows import Rows
from gdframe.hidden_state import HiddenState
from gdframe.losses.base import Loss
from gdframe.losses.encoded import encoded_rows
from gdframe.registry import is_built_in
from gdframe.runs.log import is_first, warn_once


def warn_of_encode(loss: Loss, rows: Rows) -> None:
    """Warn if a user's loss learns from targets what is not in itself: in its class or a global."""
    if is_built_in(loss) or not is_first(("encode", type(loss))):
        return
    with HiddenState({"loss": loss}) as saved:
        encoded_rows(loss, rows)
        places = [place for place in saved.changes() if place.startswith("loss ")]
    if places:  # a loss's own attributes are compared when its model is saved
        place = places[0].removeprefix("loss ")
        warn_once(
            f"encode of loss {type(loss).__name__} changes {place}, which no file holds: "
            "predictions with the saved model do not know it, and runs of one process share it; "
            "pass it as an argument, or keep it in a buffer of the model"
        )
