"""A model that keeps its activations, and a penalty on them."""

from __future__ import annotations

import torch
from torch import nn

import gdframe as gd


class Remembering(nn.Module):
    """Keeps what its first layer computed."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(3, 4), nn.Linear(4, 1)

    def forward(self, x):
        self.hidden = torch.relu(self.first(x))
        return self.last(self.hidden)


class Activity(gd.Penalty):
    """Of the activations beyond a limit."""

    def __init__(self, *, strength, limit=0.0):
        super().__init__(strength=strength)
        self.limit = limit

    def select(self, model):
        self.model = model
        return super().select(model)

    def value(self, weights):
        return self.strength * (self.model.hidden - self.limit).relu().mean()
