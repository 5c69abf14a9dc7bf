"""The Python state that components keep outside their arguments: saved, restored, guarded."""

from gdframe.hidden_state.guard import ONE_AT_A_TIME, Guard, undisturbed, with_state
from gdframe.hidden_state.state import DRAWS, HiddenState

__all__ = ["DRAWS", "ONE_AT_A_TIME", "Guard", "HiddenState", "undisturbed", "with_state"]
