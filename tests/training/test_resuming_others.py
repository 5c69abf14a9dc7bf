"""A run of somebody else's optimizer or model goes on bit for bit."""

from __future__ import annotations

import csv
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from model_metadata import METADATA
from others import MODELS, OPTIMIZERS, RULES, Descent, ListOfTensors, Unfreezes, trainer

import gdframe as gd
from gdframe.runs.checkpoint_file import load_checkpoint, save_checkpoint
from gdframe.runs.model_file import load_model, read_model, write_model


def stored(capture):
    """Return a capture as a file gives it back."""
    with tempfile.TemporaryDirectory() as folder:
        save_checkpoint(Path(folder), capture, keep=1)
        loaded, problems = load_checkpoint(Path(folder))
    assert not problems
    return loaded


def assert_resumes(**parts):
    whole = trainer(**parts)
    whole.fit()
    for epochs in (1, 3):
        first = trainer(epochs=epochs, **parts)
        first.fit()
        resumed = trainer(**parts)
        resumed.run.restore(stored(first.run.capture()))
        resumed.fit()
        for name, values in whole.run.parameters().items():
            assert torch.equal(values, resumed.run.parameters()[name]), (epochs, name)


@pytest.mark.parametrize("optimizer", [*OPTIMIZERS, *RULES], ids=lambda c: c.__name__)
def test_an_optimizer_goes_on_wherever_it_keeps_its_state(optimizer):
    assert_resumes(optimizer=optimizer)


@pytest.mark.parametrize("optimizer", [gd.Adam, torch.optim.Adam], ids=["gdframe", "torch"])
@pytest.mark.parametrize("model", MODELS, ids=lambda c: c.__name__)
def test_a_model_goes_on_whatever_its_state_is_like(model, optimizer):
    assert_resumes(model=model, optimizer=lambda params: optimizer(params, lr=0.05))


@pytest.mark.parametrize("model", MODELS, ids=lambda c: c.__name__)
def test_a_model_file_predicts_as_the_trained_model(model, tmp_path):
    run = trainer(model=model)
    run.fit()
    trained, loaded = run.run.spec.model.eval(), model().double().eval()
    write_model(tmp_path / "model", trained, METADATA)
    load_model(loaded, read_model(tmp_path / "model")[1])
    rows = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.equal(loaded(rows), trained(rows))


@pytest.mark.parametrize("rule", RULES, ids=lambda c: c.__name__)
def test_a_state_dict_keeps_what_a_state_has_become(rule):
    run = trainer(optimizer=rule, epochs=1)
    run.fit()
    first = run.run.spec.optimizer
    params = [p.detach().clone().requires_grad_() for p in first.param_groups[0]["params"]]
    second = rule(params)
    second.load_state_dict(first.state_dict())
    for p, q in zip(first.param_groups[0]["params"], params, strict=True):
        for name, value in first.state[p].items():
            assert type(second.state[q][name]) is type(value)
            if value is not None:
                assert torch.equal(torch.as_tensor(second.state[q][name]), torch.as_tensor(value))


def test_a_captured_state_does_not_change_with_the_run_that_goes_on_from_it():
    first = trainer(optimizer=ListOfTensors, epochs=2)
    first.fit()
    capture = first.run.capture()
    before = {name: values.clone() for name, values in capture.tensors.items()}
    resumed = trainer(optimizer=ListOfTensors)
    resumed.run.restore(capture)
    resumed.fit()
    assert all(torch.equal(values, capture.tensors[name]) for name, values in before.items())


def test_settings_of_the_new_optimizer_stay():
    first = trainer(optimizer=lambda p: torch.optim.SGD(p, lr=0.05, weight_decay=0.2), epochs=1)
    first.fit()
    resumed = trainer(optimizer=lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.3))
    resumed.run.restore(first.run.capture())
    (group,) = resumed.run.spec.optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.1, 0.3)


def test_a_state_that_no_file_can_hold_is_refused_by_name():
    class Odd(Descent):
        def factor(self, group, p, state):
            state["odd"] = object()
            return 1.0

    odd = trainer(optimizer=Odd)
    odd.fit()
    with pytest.raises(gd.UserError, match=r"'optimizer\.0\.odd' cannot be saved: it holds a obj"):
        odd.run.capture()


def test_the_history_of_a_model_that_freezes_is_nan_where_it_is_not_measured(tmp_path):
    table = gd.CSVHistory(tmp_path)
    run = trainer(model=Unfreezes, optimizer=torch.optim.SGD, observers=[table])
    columns = run.fit().history.epochs
    assert {len(values) for values in columns.values()} == {5}
    frozen, trained = (columns[f"gradient_norm/{name}.bias"] for name in ("inner", "outer"))
    assert np.isnan(frozen).tolist() == [True, True, False, False, False]
    assert np.isnan(trained).tolist() == [False, False, True, True, True]
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name, values in columns.items():
        np.testing.assert_array_equal([float(row[name] or "nan") for row in rows], values)
