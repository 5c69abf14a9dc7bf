"""Users' rules and losses read what they would read on the plain loop."""

from __future__ import annotations

import numpy as np
import pytest

import gdframe as gd

from .writing import dataset


class Reads(gd.StoppingRule):
    """Ends at a weight of the module, and at a metric, that it reads by itself."""

    def __init__(self, model):
        self.model, self.seen = model, []

    def judge(self, memory, end):
        self.seen.append((self.model.weight[0, 0].item(), end.row["train/mae"]))
        return


@pytest.mark.parametrize("engine", ["linear", "gram"])
def test_a_rule_may_read_the_module_and_any_column(engine, monkeypatch):
    monkeypatch.setattr("gdframe.engines.gram.CHEAP", 10)
    seen = []
    for name in ("eager", engine):
        data, model = dataset(), gd.Linear(3).double()
        rule = Reads(model)
        gd.Trainer(
            model, gd.MSE(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
            engine=name, epochs=4, stopping=[rule],
        ).fit()  # fmt: skip
        seen.append(rule.seen)
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-9)


class NonNegative(gd.MSE):
    def predict(self, outputs):
        return outputs.clamp_(min=0)


def test_gram_measures_what_a_loss_predicts(monkeypatch):
    monkeypatch.setattr("gdframe.engines.gram.CHEAP", 10)
    histories = []
    for engine in ("eager", "gram"):
        data, model = dataset(), gd.Linear(3).double()
        histories.append(gd.Trainer(
            model, NonNegative(), gd.GD(model.parameters(), lr=0.1), gd.FullBatch(data.rows), data,
            engine=engine, epochs=4,
        ).fit().history)  # fmt: skip
    for column in ("train/r2", "train/rmse"):
        np.testing.assert_allclose(*(history[column] for history in histories), rtol=1e-9)


class ByError(gd.MiniBatch):
    """Begins with the rows that the model predicts best."""

    def __init__(self, rows, predict):
        super().__init__(rows, batch_size=16)
        self.predict = predict

    def order(self, epoch, seed):
        return self.predict()[:, 0].argsort()


class ByNorm(gd.Schedule):
    def __init__(self, weight):
        self.weight = weight

    def factor(self, epochs, clock):
        return np.full(len(epochs), 1 / (1 + float(np.linalg.norm(self.weight))))


class Decays(gd.MSE):
    """Adds a penalty that is far below the tolerances of a comparison."""

    def __init__(self, weight):
        self.weight = weight

    def __call__(self, outputs, targets):
        return super().__call__(outputs, targets) + 1e-9 * (self.weight**2).sum()

    kernel = staticmethod(gd.MSE.kernel)


LIVE = {}
"""Where a rule finds the model, as in a notebook."""


class Anchored(gd.Optimizer):
    """Pulls towards the model that a global holds, from the tenth step on."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @staticmethod
    def init_state(params):
        return {"steps": gd.counters(params)}

    @staticmethod
    def update(params, grads, state, hyper):
        steps = [count + 1 for count in state["steps"]]
        if steps[0] > 10:
            anchors = [p.detach() for p in LIVE["model"].parameters()]
            grads = [g + 0.5 * (p - a) for g, p, a in zip(grads, params, anchors, strict=True)]
        new = [p - hyper["lr"] * g for p, g in zip(params, grads, strict=True)]
        return new, {"steps": steps}


def with_rule(rule, model):
    LIVE["model"] = model
    return {"optimizer": rule(model.parameters(), lr=0.01)}


READERS = {
    "optimizer": lambda model, data: with_rule(Anchored, model),
    "optimizer on its class": lambda model, data: with_rule(
        type("Holds", (gd.GD,), {"model": model}), model
    ),
    "loader": lambda model, data: {
        "loader": ByError(data.rows, lambda: model(data.train.features).detach())
    },
    "schedule": lambda model, data: {"schedule": ByNorm(model.weight.detach().numpy())},
    "schedule in another": lambda model, data: {
        "schedule": gd.Warmup(epochs=1, then=ByNorm(model.weight.detach()))
    },
    "loss": lambda model, data: {"loss": Decays(model.weight)},
}


@pytest.mark.parametrize("reader", READERS)
def test_what_may_read_parameters_is_left_to_the_plain_loop(reader):
    def build(engine):
        data, model = dataset(), gd.Linear(3).double()
        parts = {"loss": gd.MSE(), "loader": gd.FullBatch(data.rows), "schedule": None}
        parts["optimizer"] = gd.GD(model.parameters(), lr=0.01)
        parts |= READERS[reader](model, data)
        return gd.Trainer(
            model, data=data, engine=engine, epochs=4, **parts,
        )  # fmt: skip

    kind = reader.split()[0]
    with pytest.raises(gd.CannotExecute, match=rf"its {kind} \(.* holds parameters of the model"):
        build("linear")
    assert build("auto").fit().engine == "eager"
