"""A small run of any parts, and an engine for it."""

from __future__ import annotations

import torch

import gdframe as gd

DATA = gd.Regression(rows=20, features=3, validation=0.0).load(dtype=torch.float64)


def run_of(model=None, rule=gd.GD, loss=None, penalty=None, schedule=None, **settings):
    model = (model or gd.Linear(3)).double()
    optimizer = rule(model.parameters(), lr=0.05, **settings)
    return gd.Problem(
        gd.Objective(model, loss or gd.MSE(), penalty), optimizer, schedule or gd.Constant(), 0
    )


def built(engine, run, loader=None, epochs=3):
    return gd.build_engine(engine, [run], DATA, loader or gd.MiniBatch(20, 5), epochs=epochs)
