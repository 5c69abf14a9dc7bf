"""Whether a model takes rows alone is told for any two rows that depend on each other."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch

from gdframe.models.by_row import is_by_row, parts, takes_rows_alone


@pytest.mark.parametrize("rows", [2, 3, 4, 10, 17])
def test_any_two_rows_are_in_different_parts_once(rows):
    cuts = [[set(part.tolist()) for part in parts(rows, partition)] for partition in (0, 1)]
    for cut in cuts:
        assert sorted(row for part in cut for row in part) == list(range(rows))
    for pair in combinations(range(rows), 2):
        assert not all(any(part >= set(pair) for part in cut) for cut in cuts)


@pytest.mark.parametrize("pair", list(combinations(range(9), 2)), ids=str)
def test_two_rows_that_depend_on_each_other_are_seen(pair):
    features = torch.arange(9.0)[:, None]

    class Paired(torch.nn.Linear):
        """Adds the sum of the pair's rows to each of them."""

        def forward(self, x):
            special = torch.isin(x, features[list(pair)]).to(x.dtype)
            return super().forward(x) + special * (special * x).sum()

    assert not takes_rows_alone(Paired(1, 1), features, 65_536)


def test_each_row_alone_is_seen():
    features = torch.arange(9.0)[:, None]
    assert all(is_by_row(torch.sin, features, 65_536, partition) for partition in (0, 1))
    assert takes_rows_alone(torch.nn.Sequential(torch.nn.Linear(1, 1)), features, 65_536)
