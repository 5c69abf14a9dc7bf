"""Keeps a run that has a result from being trained from its start, which would replace it."""

from __future__ import annotations

from gdframe.errors import UserError
from gdframe.runs.checkpoint_file import unread_checkpoints
from gdframe.runs.run_folder import CHECKPOINTS, MODEL, RESULT, RunFolder


def refuse_start_anew(folder: RunFolder) -> None:
    """Refuse to train a run that has no whole checkpoint from its start, if that would lose it.

    Raises:
        UserError: the run has ended, or has a model, which an interruption would replace, or its
            checkpoints are links.
    """
    result, damage = folder.find_result()
    if result is not None and result["status"] not in ("failed", "interrupted"):
        raise UserError(
            f"{folder}: the run has ended and has no whole checkpoint to resume from; start a new "
            "run in another folder"
        )
    if folder.has(MODEL):
        reason = damage or f"{folder}: the run has a model and no whole checkpoint to resume from"
        raise UserError(
            f"{reason}; it would train from its start and replace {MODEL}: copy the folder, remove "
            f"{MODEL} and {RESULT} from the copy, and resume the copy"
        )
    if unread := unread_checkpoints(folder.subfolder(CHECKPOINTS).path):
        raise UserError(
            f"{unread[0]}: is a link or no file, and is not read; the run would train from its "
            "start: put a copy of the checkpoint in its place, or remove it"
        )
