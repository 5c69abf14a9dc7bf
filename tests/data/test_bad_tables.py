"""Tables that cannot be used: what was found, what was expected, and the key to set."""

from __future__ import annotations

import gzip
import lzma
import os
import tarfile
import zipfile

import pytest

import gdframe as gd
from gdframe.data.reader import read_file

CASES = [
    ("empty.csv", b"", {}, "has no rows: expected a header and at least one row"),
    ("blank.csv", b"\n \n", {}, "has no rows"),
    ("header.csv", b"x,y\n", {}, "has no rows"),
    ("ragged.csv", b"x,y\n1,2\n1,2,3\n", {}, "line 3 has 3 values.*2 columns.*data.separator"),
    ("stray.csv", b"x,y\n1,2\nn0,3\n4,5\n6,7\n", {}, r"'n0', first in row 2.*data.null_values=\["),
    ("name.csv", b"price,y\n1,2\n2,4\n3,5\n", {"target": "prise"}, "did you mean 'price'"),
    ("number.csv", b"x,y\n1,2\n2,4\n", {"target": 5}, "column 5 of .* from 1 to 2.*x, y"),
    ("one.csv", b"x:y\n1:2\n2:4\n", {}, "one column was read: set data.separator"),
    ("data.csv", b"1,2\n2,4\n", {"target": "x"}, "first row was read as data.*data.header=true"),
    ("junk.csv", bytes(range(256)) * 4, {}, "is no text and no format that is known"),
    ("old.xls", b"\xd0\xcf\x11\xe0" + b"x" * 99, {}, "old Excel file: save it as .xlsx or .csv"),
    ("p.pkl", b"\x80\x04\x95abc", {}, "a pickle, which could run code"),
    ("cut.csv.gz", gzip.compress(b"x,y\n1,2\n" * 99)[:-9], {}, "cannot be decompressed"),
    ("cut.csv.xz", lzma.compress(b"x,y\n1,2\n" * 99)[:-9], {}, "cannot be decompressed"),
    ("broken.parquet", b"PAR1 and nothing", {}, "cannot be read"),
    ("latin.csv", "ä,y\n1,2\n".encode("latin-1"), {"encoding": "utf-8"}, "data.encoding=NAME"),
    ("coded.csv", b"x,y\n1,2\n", {"encoding": "klingon"}, "encoding=klingon: expected an encoding"),
    ("sep.csv", b"x,y\n1,2\n", {"separator": "ab"}, "separator=ab: expected one character"),
    ("dec.csv", b"x,y\n1,2\n", {"decimal": "x"}, "decimal=x: expected '.' or ','"),
    ("names.csv", b"1,2\n2,4\n", {"names": ["y"]}, "expected 2 names, one for each column"),
    ("list.json", b'[{"x": 1', {}, "cannot be read as JSON"),
    ("text.csv", b"x,y\n1,a\n2,b\n3,a\n", {"task": "regression"}, "such as 'a'.* needs numbers"),
    ("targets.csv", b"x,y,z\n1,a,1\n2,b,3\n", {"target": ["y", "z"]}, "several targets must be"),
    ("hole.csv", b"x,y\n1,2\n,4\n3,7\n", {"missing": "error"}, "'x' has 1 missing value, first in"),
    ("inf.csv", b"x,y\n1,2\ninf,4\n3,7\n", {}, "'x' has 1 infinite value, first in row 2"),
    ("lonely.csv", b"y\n1\n2.5\n4\n", {}, "no features besides the target; its columns are y"),
    (
        "x.arff",
        b"@relation r\n@attribute y real\n@data\n1,2\n",
        {},
        "line 4 has 2 values.*1 attrib",
    ),
]


@pytest.mark.parametrize(
    ("name", "content", "settings", "words"), CASES, ids=[case[0] for case in CASES]
)
def test_a_table_that_cannot_be_used_is_one_message(
    name, content, settings, words, tmp_path, shared_database
):
    (tmp_path / name).write_bytes(content)
    settings = {"target": "y", "validation": 0.0, **settings}
    with pytest.raises(gd.UserError, match=words) as caught:
        gd.Table(path=str(tmp_path / name), **settings).load()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
def test_a_tar_archive_is_called_so(tmp_path, mode):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    with tarfile.open(tmp_path / "t", mode) as archive:
        archive.add(tmp_path / "a.csv", "a.csv")
        archive.add(tmp_path / "a.csv", "b.csv")
    with pytest.raises(gd.UserError, match="is a tar archive, which may hold several files"):
        read_file(tmp_path / "t")


def test_archives_folders_and_patterns(tmp_path):
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "x,y\n1,2\n")
        archive.writestr("b.csv", "x,y\n1,2\n")
    with pytest.raises(gd.UserError, match=r"holds 2 files \(a.csv, b.csv\)"):
        read_file(tmp_path / "two.zip")
    (tmp_path / "empty").mkdir()
    with pytest.raises(gd.UserError, match="a folder without files"):
        read_file(tmp_path / "empty")
    with pytest.raises(gd.UserError, match="no file fits this pattern"):
        read_file(tmp_path / "*.nothing")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(gd.UserError, match="is no regular file"):
        read_file(tmp_path / "pipe")
    parts = tmp_path / "parts"
    parts.mkdir()
    for place in range(3):
        (parts / f"{place}.csv").write_text(f"x,y\n{place},{'n' if place == 2 else place}\n")
    raw = read_file(parts)
    assert raw.rows == 3
    assert raw.table.column("y").to_pylist() == ["0", "1", "n"]
    (parts / "3.csv").write_text("x,z\n1,2\n")
    with pytest.raises(gd.UserError, match=r"3.csv: has other columns .*lacks y, adds z"):
        read_file(parts)
