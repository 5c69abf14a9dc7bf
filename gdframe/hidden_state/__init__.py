"""The Python state that components keep outside their arguments: saved, restored, guarded."""

from gdframe.hidden_state.guard import Guard
from gdframe.hidden_state.state import DRAWS, HiddenState, undisturbed

__all__ = ["DRAWS", "Guard", "HiddenState", "undisturbed"]
