"""The data of a sweep: each is what a run alone loads, and a file is read for all its splits."""

from __future__ import annotations

import pytest
import torch

from gdframe.api import composed, plain
from gdframe.config.load_data import load_data
from gdframe.data.source import Source
from gdframe.engines.component_difference import first_difference
from gdframe.registry import DATASETS
from gdframe.sweeps.executing.datasets import Datasets

SPLITS = [
    ["data.fold=0/3"], ["data.fold=1/3"], ["data.fold=2/3"], ["data.validation=0.3"],
    ["data.test=0.2"], ["data.standardize=false"], ["data.seed=1"], ["data.fold=0/3"],
]  # fmt: skip
TABLE = "age,city,day,y\n" + "\n".join(
    f"{i % 37},{'ABC'[i % 3]},2024-0{1 + i % 9}-1{i % 9},{(7 * i) % 50}" for i in range(60)
)


def assert_same(a, b):
    assert len(a.tensors) == len(b.tensors)
    for first, second in zip(a.tensors, b.tensors, strict=True):
        assert torch.equal(first, second)
    assert first_difference(a.encoding, b.encoding) is None
    assert (a.facts, a.notes, a.classes) == (b.facts, b.notes, b.classes)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_splits_of_one_source_are_what_each_loads_alone(name, tmp_path):
    if not issubclass(DATASETS.get(name), Source):
        pytest.skip("has no split")
    settings = []
    if name == "table":
        (tmp_path / "t.csv").write_text(TABLE)
        settings = [f"data.path={tmp_path / 't.csv'}", "data.target=y", "data.task=regression"]
    datasets = Datasets()
    for split in SPLITS:
        config = plain(composed([f"data={name}", *settings, *split]))
        assert_same(datasets.load(config), load_data(config))


def test_a_table_is_read_at_most_twice_for_all_its_folds(tmp_path, monkeypatch):
    (tmp_path / "t.csv").write_text(TABLE)
    from gdframe.data.table import Table

    reads, read = [], Table.read
    monkeypatch.setattr(Table, "read", lambda table: reads.append(1) or read(table))
    datasets = Datasets()
    base = ["data=table", f"data.path={tmp_path / 't.csv'}", "data.target=y"]
    for _ in range(3):
        for fold in range(10):
            datasets.load(plain(composed([*base, f"data.fold={fold}/10"])))
    assert len(reads) == 2
    datasets.load(plain(composed([*base, "data.exclude=[city]"])))
    assert len(reads) == 3


def test_data_that_do_not_fit_are_loaded_again(monkeypatch):
    monkeypatch.setattr("gdframe.sweeps.executing.datasets.free_memory", lambda: 1.0)
    datasets = Datasets()
    first, second = (plain(composed([f"data.fold={fold}/3"])) for fold in (0, 1))
    first_data = datasets.load(first)
    assert datasets.load(first) is first_data
    datasets.load(second)
    again = datasets.load(first)
    assert again is not first_data
    assert_same(again, first_data)
