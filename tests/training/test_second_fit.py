"""A trainer that is fitted again, and the parts that a fit leaves as they were."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import gdframe as gd
from gdframe.training import replay

DATA = gd.Regression(rows=60, features=3, noise=0.5).load(dtype=torch.float64)


def make(*, model=None, lr=0.05, epochs=4, **more):
    model = model or gd.Linear(DATA.features).double()
    settings = {"engine": "eager", "stopping": gd.Stopping(tolerance=None), **more}
    rule = gd.GD(model.parameters(), lr=lr)
    return gd.Trainer(
        model, gd.MSE(), rule, gd.MiniBatch(DATA.rows, 7), DATA, epochs=epochs, **settings
    )


@pytest.mark.parametrize("engine", ["eager", "linear"])
def test_a_second_fit_goes_on_from_the_end_or_from_what_was_restored(engine):
    trainer = make(engine=engine)
    captures: list = []

    class Keep(gd.Observer):
        def on_epoch(self, run):
            captures.append(run.capture())

    trainer.run.observers = [Keep()]
    first = trainer.fit()
    end = {name: values.clone() for name, values in trainer.run.parameters().items()}
    again = trainer.fit()
    assert (again.steps, again.objective) == (first.steps, first.objective)
    trainer.run.restore(captures[1])
    restored = trainer.fit()
    assert (restored.steps, restored.objective) == (first.steps, first.objective)
    for name, values in trainer.run.parameters().items():
        assert torch.equal(values, end[name])


def test_observers_need_no_hash():
    @dataclass
    class Plain(gd.Observer):
        epochs: int = 0

        def on_epoch(self, run):
            self.epochs += 1

    observers = [Plain(), Plain()]
    make(observers=observers).fit()
    assert [observer.epochs for observer in observers] == [4, 4]


def test_the_learning_rate_is_restored_after_an_error():
    class Breaks(gd.Linear):
        def forward(self, x):
            if self.training and self.weight.abs().sum() > 0.5:
                raise RuntimeError("broken")
            return super().forward(x)

    trainer = make(model=Breaks(DATA.features).double(), schedule=gd.Cosine(), engine="eager")
    with pytest.raises(RuntimeError, match="broken"):
        trainer.fit()
    assert trainer.run.spec.optimizer.param_groups[0]["lr"] == 0.05


def test_every_observer_is_closed():
    class Fails(gd.Observer):
        def close(self):
            raise gd.UserError("not closed")

    class Closes(gd.Observer):
        closed = False

        def close(self):
            self.closed = True

    last = Closes()
    with pytest.raises(gd.UserError, match="not closed"):
        make(observers=[Fails(), last]).fit()
    assert last.closed


def test_a_state_far_back_is_found_in_few_replays(monkeypatch):
    """Rows of one kind let the weight grow; the objective overflows long before a step's loss."""
    rows = 20_001
    x = torch.ones(rows, 1)
    x[-1] = 1e10
    data = gd.Dataset.from_arrays(x.numpy(), torch.zeros(rows).numpy())
    model = gd.Linear(1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    rule = gd.GD(model.parameters(), lr=1.001)  # it grows by 0.2 % a step
    loader = gd.PerSample(rows, shuffle=False)
    trainer = gd.Trainer(
        model, gd.MSE(), rule, loader, data, epochs=1, stopping=gd.Stopping(tolerance=None),
        engine="linear",
    )  # fmt: skip
    replays = []
    plain = replay.Snapshots.replay
    monkeypatch.setattr(replay.Snapshots, "replay", lambda *a: replays.append(a[-1]) or plain(*a))
    result = trainer.fit()
    assert result.status == gd.Status.DIVERGED
    assert len(replays) < 60
    assert torch.isfinite(torch.tensor(result.objective))
