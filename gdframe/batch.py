"""The loop: advance an engine a block of steps, judge each of its runs, let go of the ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from gdframe.engines.base import Engine
from gdframe.files import NotWrittenError
from gdframe.measurement import Measurement, finite_steps
from gdframe.member import Member
from gdframe.result import Result
from gdframe.share import Share
from gdframe.stopping import Status, Verdict

BLOCK_SECONDS = 0.1
"""How long a block of steps should take: how soon a run notices Ctrl-C or its time limit."""

FIRST_BLOCK, MOST_STEPS = 16, 1 << 22
"""Steps of the first block, and most of any, over all runs: what traces take is bounded."""

SNAPSHOT_SECONDS = 0.25
"""How much work at most is done twice to recover a state."""

SNAPSHOT_SHARE = 0.1
"""Most of the time that is spent on snapshots."""


class Batch:
    """Trains runs of one structure together, each as if it were alone.

    Args:
        members: the runs, in the engine's order, all at the same step.
        engine: which executes them.
        ended: called with each run and its result when it ends.
        failed: called with a run that raised, and its error; the others go on, each by itself. By
            default the error is raised, and all end.

    Attributes:
        members: those that are still training.
    """

    def __init__(
        self,
        members: Sequence[Member],
        engine: Engine,
        *,
        ended: Callable[[Member, Result], None],
        failed: Callable[[Member, Exception], None] | None = None,
    ) -> None:
        self.members = list(members)
        self._ended, self._failed = ended, failed
        self._seat(engine)
        self._block = FIRST_BLOCK
        self._wasted = 0.0

    def _seat(self, engine: Engine) -> None:
        self.engine, self._measurement = engine, Measurement(engine)
        for index, member in enumerate(self.members):
            member.sit(self._measurement, index)

    def fit(self, stop: Callable[[], str | None]) -> None:
        """Train until every run has ended.

        Args:
            stop: names what asks for an end, such as Ctrl-C; None for nothing. The runs then end
                at the next block with the status ``interrupted``.

        Raises:
            NotWrittenError: a folder cannot be written to; no run goes on.
        """
        try:
            self._fit(stop)
        except NotWrittenError:
            raise
        except Exception as error:
            if self._failed is None:
                raise
            if len(self.members) > 1:
                self._one_by_one(stop, self._failed)
            elif self.members:
                self._failed(self.members[0], error)
        finally:
            for member in self.members:
                member.close()

    def _fit(self, stop: Callable[[], str | None]) -> None:
        self.engine.take_up()
        self._share = Share(len(self.members))
        self._let_go({m: verdict for m in self.members if (verdict := m.begin(self._share))})
        self._noted = time.perf_counter()
        while self.members:
            self._advance()
            if self.members and (name := stop()):
                verdict = Verdict(Status.INTERRUPTED, f"interrupted by {name}")
                self._let_go(dict.fromkeys(self.members, verdict))

    def _one_by_one(
        self, stop: Callable[[], str | None], failed: Callable[[Member, Exception], None]
    ) -> None:
        """Go on with each run alone, since one of them raised and the others shall not suffer."""
        for member in self.members:
            member.pause()
        while self.members:
            member = self.members.pop()
            try:
                alone = Batch(
                    [member], member.separate(self.engine), ended=self._ended, failed=failed
                )
            except Exception as error:
                failed(member, error)
                member.close()
            else:
                alone.fit(stop)

    def _advance(self) -> None:
        """Execute a block of steps, and what follows if it ends an epoch."""
        begun, first = time.perf_counter(), self.members[0].step
        self._note_states(begun)
        clock, runs = self.engine.clock, len(self.engine.runs)
        last = min(first + self._block, clock.epoch_end(first))
        self._measurement.forget()
        trace = self.engine.advance(first, last)
        taken = time.perf_counter() - begun
        growth = min(8.0, BLOCK_SECONDS / max(taken, 1e-9))
        self._block = min(max(1, int(self._block * growth)), max(1, MOST_STEPS // runs))
        finite = finite_steps(trace)
        verdicts: dict[Member, Verdict | None] = {}
        for member in self.members:
            at = member.index
            verdict = member.take(trace.loss[at], trace.gradient_norm[at], int(finite[at]))
            if verdict is None and last % clock.steps_per_epoch == 0:
                verdict = member.end_epoch()
            verdicts[member] = verdict or member.out_of_time()
        self._let_go({member: verdict for member, verdict in verdicts.items() if verdict})
        if self.members:
            self._close_ranks(taken)

    def _let_go(self, verdicts: Mapping[Member, Verdict]) -> None:
        """End runs."""
        for member, verdict in verdicts.items():
            result = member.finish(verdict)
            member.close()
            if len(self.engine.runs) > 1:
                member.engine.retire(member.index)
            self.members.remove(member)
            try:
                self._ended(member, result)
            except NotWrittenError:
                raise
            except Exception as error:
                if self._failed is None:
                    raise
                self._failed(member, error)
        self._share.leave(len(verdicts))

    def _close_ranks(self, taken: float) -> None:
        """Go on with an engine for fewer runs, once the ended ones have wasted what that costs."""
        runs, left = len(self.engine.runs), len(self.members)
        if runs == left:
            return
        self._wasted += taken * (runs - left) / runs
        if self._wasted > self.engine.rebuild_seconds:
            self._seat(self.engine.only([member.index for member in self.members]))
            self._wasted = 0.0

    def _note_states(self, now: float) -> None:
        """Take snapshots of all runs if the last ones are old."""
        if now - self._noted < SNAPSHOT_SECONDS:
            return
        for member in self.members:
            assert member.recovery is not None
            member.recovery.note(member.step, self.engine.state(member.index))
        self._noted = time.perf_counter()
        self._noted += (self._noted - now) / SNAPSHOT_SHARE  # the next is as late as this was long
