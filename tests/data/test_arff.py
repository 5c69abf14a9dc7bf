"""Nominal attributes of ARFF files are categories and classes, also where labels are numerals."""

from __future__ import annotations

import numpy as np
import pytest

import gdframe as gd
from gdframe.data.reading.arff_attribute import attribute_in

pytestmark = pytest.mark.usefixtures("shared_database")


def write(path, lines, *attributes):
    declared = [f"@attribute {attribute}" for attribute in attributes]
    path.write_text("\n".join(["@relation r", *declared, "@data", *lines]) + "\n")
    return str(path)


def drawn(seed, count=60):
    """Return rows of a code, a number and a class that the code decides."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(1, 8, count)
    return codes, rng.normal(size=count), 3 + 2 * (codes % 3)


ATTRIBUTES = ("code {1,2,3,4,5,6,7}", "x numeric", "class {7,5,3}")


@pytest.mark.parametrize("seed", range(5))
def test_numerals_that_are_declared_nominal_are_categories_and_classes(tmp_path, seed):
    codes, x, labels = drawn(seed)
    lines = [f"{c},{v:.3f},{y}" for c, v, y in zip(codes, x, labels, strict=True)]
    path = write(tmp_path / "t.arff", lines, *ATTRIBUTES)
    frame = gd.Table(path=path, target="class").read()
    assert [(c.name, c.kind) for c in frame.columns] == [("code", "category"), ("x", "number")]
    assert frame.columns[0].categories == tuple(sorted(set(map(str, codes))))
    assert frame.classes == (3, 5, 7)
    assert [frame.classes[i] for i in frame.target] == labels.tolist()
    numbers = gd.Table(path=path, target="class", task="regression").read()
    assert numbers.classes is None
    assert numbers.target.tolist() == labels.tolist()


@pytest.mark.parametrize("ending", ["arff", "csv"])
def test_new_rows_are_read_by_the_same_types(tmp_path, ending):
    codes, x, labels = drawn(0)
    lines = [f"{c},{v:.3f},{y}" for c, v, y in zip(codes, x, labels, strict=True)]
    path = write(tmp_path / "t.arff", lines, *ATTRIBUTES)
    words = ["data=table", f"data.path={path}", "data.target=class", "lr=1", "variant=batch"]
    gd.train(*words, "epochs=200", "stopping=[]", folder=tmp_path / "run")
    new = tmp_path / f"new.{ending}"
    if ending == "arff":
        write(new, lines, *ATTRIBUTES)
    else:
        new.write_text("\n".join(["code,x,class", *lines]) + "\n")
    assert gd.predict(tmp_path / "run", new).column(0).to_pylist() == labels.tolist()


def test_a_nominal_attribute_that_names_the_rows_is_left_out(tmp_path):
    lines = [f"{i},{i % 2}.5,{i * i}" for i in range(30)]
    labels = ",".join(map(str, range(30)))
    path = write(tmp_path / "t.arff", lines, f"who {{{labels}}}", "x real", "y real")
    frame = gd.Table(path=path, target="y").read()
    assert [c.name for c in frame.columns] == ["x"]
    assert "'who' is left out: it has 30 different texts" in "\n".join(frame.notes)


def test_a_sparse_row_leaves_out_the_first_label(tmp_path):
    lines = ["{0 b, 1 2.5, 2 1}", "{2 2}", "{0 b, 2 5.5}"]
    path = write(tmp_path / "t.arff", lines, "c {a,b}", "x numeric", "y numeric")
    frame = gd.Table(path=path, target="y").read()
    assert frame.columns[0].categories == ("a", "b")
    assert frame.take(np.arange(3)).tolist() == [[0, 1, 2.5], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("line", "name", "labels"),
    [
        ("@attribute a {1, 2 ,3}", "a", ("1", "2", "3")),
        ("@ATTRIBUTE 'a b' { t}  % only one", "a b", ("t",)),
        ("@attribute a {'x, y', \"z\"}", "a", ("x, y", '"z"')),
        ('@attribute a {"x, y",z}', "a", ("x, y", "z")),
        ("@attribute a numeric", "a", ()),
        ("@attribute a string", "a", ()),
    ],
)
def test_declarations(line, name, labels):
    attribute = attribute_in(line)
    assert (attribute.name, attribute.labels) == (name, labels)
    assert attribute.is_number == line.endswith("numeric")
    assert attribute_in("@data") is None
