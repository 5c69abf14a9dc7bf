"""Splits into training, validation and test rows: at random, by time, by groups, in folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gdframe as gd
from gdframe.data.split import Split, split_rows

shares = st.sampled_from([0.0, 0.1, 0.2, 0.35, 0.5])
seeds = st.integers(0, 99)


def is_partition(parts, rows):
    return sorted(np.concatenate(parts).tolist()) == list(range(rows))


@given(
    rows=st.integers(4, 200), share=st.floats(0.05, 0.9), seed=seeds, classes=st.integers(1, 4)
)  # fmt: skip
def test_a_split_is_a_partition_stratified_by_class(rows, share, seed, classes):
    label = np.arange(rows) % classes
    count = round(share * rows)
    if count in (0, rows) or rows == classes:
        return
    parts = split_rows(Split(share, seed=seed), rows, classes=label, keys=None)
    assert is_partition(parts, rows)
    assert set(label[parts.train]) == set(label)
    for value in range(classes):
        exact = (label == value).sum() * count / rows
        assert (label[parts.validation] == value).sum() <= np.ceil(exact)
        assert (label[parts.validation] == value).sum() >= min(
            np.floor(exact), (label == value).sum() - 1
        )


def test_a_split_depends_on_the_seed_alone():
    a, b, c = (split_rows(Split(0.2, seed=s), 100, keys=None)[1] for s in (1, 1, 2))
    assert len(a) == 20
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


@pytest.mark.parametrize("share", [-0.1, 1.0, 0.001, 0.99])
@pytest.mark.parametrize("name", ["validation", "test"])
def test_shares_that_leave_a_part_without_rows_are_refused(name, share):
    with pytest.raises(gd.UserError, match=rf"^{name}="):
        split_rows(Split(**{"validation": 0.0, name: share}), 10, keys=None)


@given(rows=st.integers(20, 200), test=shares, seed=seeds, folds=st.integers(2, 7))
def test_test_rows_are_the_same_in_all_folds_and_each_other_row_validates_once(
    rows, test, seed, folds
):
    label = np.arange(rows) % 3
    parts = [
        split_rows(Split(0.2, test, f"{k}/{folds}", seed=seed), rows, classes=label, keys=None)
        for k in range(folds)
    ]
    for one in parts:
        assert is_partition(one, rows)
        assert np.array_equal(one.test, parts[0].test)
    validated = np.concatenate([one.validation for one in parts])
    assert is_partition([validated, parts[0].test], rows)
    sizes = [len(one.validation) for one in parts]
    assert max(sizes) - min(sizes) <= 1
    for value in range(3):
        counts = [(label[one.validation] == value).sum() for one in parts]
        assert max(counts) - min(counts) <= 1


@given(
    sizes=st.lists(st.integers(1, 9), min_size=6, max_size=25), test=shares, seed=seeds,
    fold=st.none() | st.sampled_from(["0/3", "1/3", "2/3"]),
)  # fmt: skip
def test_rows_of_a_group_stay_together(sizes, test, seed, fold):
    groups = np.repeat(np.arange(len(sizes)), sizes)
    np.random.default_rng(seed).shuffle(groups)
    try:
        parts = split_rows(Split(0.3, test, fold, "group", seed), len(groups), keys=groups)
    except gd.UserError:  # groups that are too large for a part
        return
    assert is_partition(parts, len(groups))
    owners = [set(groups[part]) for part in parts]
    assert not owners[0] & owners[1]
    assert not owners[0] & owners[2]
    assert not owners[1] & owners[2]


@given(
    times=st.lists(st.integers(0, 30), min_size=20, max_size=80), test=shares,
    fold=st.none() | st.sampled_from(["0/3", "1/3", "2/3"]),
)  # fmt: skip
def test_no_row_trains_that_is_later_than_a_row_that_validates(times, test, fold):
    times = np.array(times)
    try:
        parts = split_rows(Split(0.3, test, fold, "time"), len(times), keys=times)
    except gd.UserError:  # all times are equal, or nearly all
        return
    if fold is None:
        assert is_partition(parts, len(times))
    assert times[parts.train].max() < times[parts.validation].min()
    if len(parts.test):
        assert times[parts.validation].max() < times[parts.test].min()
    for part in parts:
        assert (np.diff(times[part]) >= 0).all()


@pytest.mark.parametrize("fold", ["5", 5, -1, "2/2", "1/1", "a", "1/b", "", 0.5])
def test_folds_that_do_not_exist_are_refused(fold):
    with pytest.raises(gd.UserError, match=r"fold=.*K/N"):
        Split(fold=fold)


def table(tmp_path, rows=60):
    lines = ["day,who,x,y"]
    lines += [f"2024-01-{1 + i % 28:02d},p{i % 7},{i * 0.1},{i * 0.2 + i % 3}" for i in range(rows)]
    path = tmp_path / "t.csv"
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_tables_are_split_by_a_column(tmp_path):
    path = table(tmp_path)
    by_group = gd.Table(path=path, target="y", split="group", group="who", test=0.2).load()
    assert not any("who" in name for name in by_group.encoding.feature_names)
    assert by_group.facts["test_rows"] == len(by_group.test)
    by_time = gd.Table(path=path, target="y", split="time", time="day", validation=0.3).load()
    assert by_time.facts["split"] == "time"
    assert any("split in time" in note for note in by_time.notes)
    for wrong, words in (
        ({"split": "time"}, "needs data.time=COLUMN"),
        ({"group": "who"}, "is for data.split=group"),
        ({"split": "time", "time": "who"}, "expected dates or numbers"),
        ({"split": "weekday"}, "random, time or group"),
        ({"fold": "1/3", "validation": path}, "exclude each other"),
        ({"split": "group", "group": "nobody"}, "nobody"),
    ):
        with pytest.raises(gd.UserError, match=words):
            gd.Table(path=path, target="y", **wrong).load()


def test_validation_and_test_rows_come_from_files(tmp_path):
    path = table(tmp_path)
    other = tmp_path / "other.csv"
    other.write_text("x,y,who,day\n9,8,p1,2024-02-01\n7,,p1,2024-02-02\n1,2,p9,2024-02-03\n")
    data = gd.Table(path=path, target="y", validation=str(other), test=str(other)).load()
    assert data.rows == 60
    assert data.test.targets.tolist() == [[8.0], [2.0]]
    place = data.encoding.feature_names.index("x")
    values = data.validation.features[:, place] * data.encoding.scale[place]
    assert values.numpy() + data.encoding.mean[place] == pytest.approx([9.0, 1.0], rel=1e-5)
    empty = tmp_path / "empty.csv"
    empty.write_text("x,who,day\n9,p1,2024-02-01\n")
    with pytest.raises(gd.UserError, match="no row has a target 'y'"):
        gd.Table(path=path, target="y", test=str(empty)).load()


def test_arrays_and_frames_have_test_rows_folds_and_groups():
    x, y = np.arange(60.0).reshape(30, 2), np.arange(30.0)
    groups = np.repeat(list("abcdef"), 5)
    split = gd.Split(0.2, test=0.2, by="group", keys=groups)
    data = gd.Dataset.from_arrays(x, y, validation=split)
    parts = [data.train, data.validation, data.test]
    owners = [{groups[int(t)] for t in part.targets[:, 0]} for part in parts]
    assert sum(map(len, owners)) == 6
    frame = {"x": y, "who": groups, "y": y}
    data = gd.Dataset.from_frame(frame, "y", validation=gd.Split(by="group", keys="who"))
    assert data.features == 1
    assert len(gd.Dataset.from_frame(frame, "y", validation=gd.Split(fold="1/3")).validation) == 10
    for keys, words in (([1, 2, 3], r"keys have shape \(3,\)"), (None, "keys have shape")):
        with pytest.raises(gd.UserError, match=words):
            gd.Dataset.from_arrays(x, y, validation=gd.Split(by="time", keys=keys))
