"""Damaged files and columns of every type: each is read, or refused in one line that names it."""

from __future__ import annotations

import bz2
import contextlib
import decimal
import gzip
import io
import json
import lzma
import random
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import gdframe as gd
from gdframe.cli.inspect import profile
from gdframe.data.reader import read_file, size_of
from gdframe.data.reading import sniff
from gdframe.data.reading.layout import SEPARATORS
from gdframe.data.reading.typed import seconds_of

ROWS = 24
SMALL = list(range(ROWS))
FAR = [2**63 - 1, -(2**63) + 1, 2**62, *SMALL[3:]]  # such as infinity in DuckDB
FAR32 = [2**31 - 1, -(2**31) + 1, *SMALL[2:]]
NUMBERS = "int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64 bool_ null"
TEXTS = "string large_string string_view binary large_binary binary_view"


def columns() -> dict[str, pa.Array]:
    """Return columns of each type of Arrow, by a name."""
    arrays = {name: pa.array(SMALL).cast(getattr(pa, name)()) for name in NUMBERS.split()[:-2]}
    arrays |= {"bool": pa.array([True, False] * 12), "null": pa.nulls(ROWS)}
    arrays |= {n: pa.array(["a", "b"] * 12).cast(getattr(pa, n)()) for n in TEXTS.split()}
    arrays["no text"] = pa.array([None] * ROWS, pa.string())
    arrays["fixed binary"] = pa.array([b"ab"] * ROWS, pa.binary(2))
    arrays["large"] = pa.array([2**64 - 1] * ROWS, pa.uint64())
    arrays["infinite"] = pa.array([np.inf, -np.inf, np.nan, *SMALL[3:]])
    for unit in ("s", "ms", "us", "ns"):
        kinds = (pa.timestamp(unit), pa.timestamp(unit, "Europe/Berlin"), pa.duration(unit))
        for kind in kinds:
            arrays[f"{kind}"] = pa.array(SMALL).view(kind)
            arrays[f"far {kind}"] = pa.array(FAR).view(kind)
    for kind in (pa.date64(), pa.time64("us"), pa.time64("ns")):
        arrays[f"{kind}"] = pa.array([9_999, *SMALL[1:]]).view(kind)
        arrays[f"far {kind}"] = pa.array(FAR).view(kind)
    for kind in (pa.date32(), pa.time32("s"), pa.time32("ms")):
        arrays[f"{kind}"] = pa.array(SMALL, pa.int32()).view(kind)
        arrays[f"far {kind}"] = pa.array(FAR32, pa.int32()).view(kind)
    decimals = [decimal.Decimal(place) for place in SMALL]
    for kind in (pa.decimal32(9, 2), pa.decimal64(18, 3), pa.decimal128(38, 9),
                 pa.decimal256(76, 70)):  # fmt: skip
        arrays[f"{kind}"] = pa.array(decimals, kind)
    lists = {"list": pa.list_(pa.int64()), "large list": pa.large_list(pa.int64()),
             "fixed": pa.list_(pa.int64(), 1), "list view": pa.list_view(pa.int64())}  # fmt: skip
    arrays |= {name: pa.array([[1]] * ROWS, kind) for name, kind in lists.items()}
    arrays["struct"] = pa.array([{"a": 1}] * ROWS)
    arrays["map"] = pa.array([[("a", 1)]] * ROWS, pa.map_(pa.string(), pa.int64()))
    arrays["union"] = pa.UnionArray.from_sparse(pa.array([0] * ROWS, pa.int8()), [pa.array(SMALL)])
    arrays["interval"] = pa.array([(1, 2, 3)] * ROWS, pa.month_day_nano_interval())
    arrays["run ends"] = pa.RunEndEncodedArray.from_arrays(pa.array([ROWS], pa.int32()), ["a"])
    arrays["uuid"] = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16] * ROWS,
                                                                        pa.binary(16)))  # fmt: skip
    for name in ("string", "null", "bool", "float16", "large", "date32[day]", "far timestamp[us]"):
        with contextlib.suppress(pa.ArrowNotImplementedError):
            arrays[f"dictionary of {name}"] = arrays[name].dictionary_encode()
    return arrays


COLUMNS = columns()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of extreme numbers
@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_type_is_read_or_refused_in_one_line(name, tmp_path):
    numbers = pa.array([place * 7 % 11 for place in SMALL])
    table = pa.table({"t": COLUMNS[name], "a": numbers, "y": pa.array(SMALL, pa.float64())})
    file = tmp_path / "table"
    for write in (pa.parquet.write_table, pa.feather.write_feather):
        with contextlib.suppress(pa.ArrowException):  # it cannot hold the type
            write(table, file)
        if not file.exists():
            continue
        assert_works_or_is_refused(lambda: profile(str(file)))
        for settings in ({}, {"target": "t"}, {"exclude": ["t"]}, {"categorical": ["t"]}):
            assert_works_or_is_refused(
                lambda s=settings: gd.Table(path=str(file), **{"target": "y", **s}).load()
            )
        file.unlink()
    for target in "yt":
        assert_works_or_is_refused(lambda t=target: gd.Dataset.from_frame(table, target=t))


def assert_works_or_is_refused(action) -> str:
    """Check that an action works or refuses its input in one line; return that line, or nothing."""
    message = ""
    try:
        action()
    except gd.UserError as error:
        message = str(error)
    assert "\n" not in message
    return message


def files() -> dict[str, bytes]:
    """Return a small table in each format."""
    table = pa.table({"x": [float(place) for place in SMALL], "y": ["a", "b"] * 12})
    text = "x,y\n" + "".join(f"{place},{place % 2}\n" for place in SMALL)
    parquet, feather, npz, archive = (io.BytesIO() for _ in range(4))
    pa.parquet.write_table(table, parquet)
    pa.feather.write_feather(table, feather)
    np.savez(npz, x=np.arange(9.0), y=np.array(["a", "b", "c"] * 3))
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("t.csv", text)
    rows = [{"x": place, "y": "a"} for place in SMALL]
    header = "@relation r\n@attribute x real\n@attribute y {a,b}\n@data\n"
    contents = {
        "parquet": parquet.getvalue(), "feather": feather.getvalue(), "npz": npz.getvalue(),
        "zip": archive.getvalue(), "csv": text.encode(), "gz": gzip.compress(text.encode()),
        "bz2": bz2.compress(text.encode()), "xz": lzma.compress(text.encode()),
        "json": json.dumps(rows).encode(), "arff": (header + "1,a\n{0 2, 1 b}\n" * 9).encode(),
        "utf16": text.encode("utf-16"),
    }  # fmt: skip
    with contextlib.suppress(ImportError):
        import openpyxl

        excel, book = io.BytesIO(), openpyxl.Workbook()
        for row in (("x", "y"), (1, 2), (3, 4)):
            book.active.append(row)
        book.save(excel)
        contents["xlsx"] = excel.getvalue()
    return contents


FILES = files()


@pytest.mark.filterwarnings("ignore::UserWarning")  # of openpyxl, on a part that it does not know
@pytest.mark.parametrize("kind", FILES)
def test_a_damaged_file_is_refused_in_one_line_that_names_it(kind, tmp_path, shared_database):
    whole, chance, file = FILES[kind], random.Random(0), tmp_path / f"t.{kind}"
    for _ in range(60):
        content = bytearray(whole)
        for _ in range(chance.choice([0, 1, 1, 8])):
            content[chance.randrange(len(content))] = chance.randrange(256)
        file.write_bytes(content[: chance.choice([len(whole), chance.randrange(len(whole))])])
        message = assert_works_or_is_refused(lambda: read_file(file))
        assert not message or str(file) in message
        assert size_of(file) >= 0


def npz(tmp_path, header: str, values: bytes = b"") -> str:
    """Write an NPZ file with one array and return its path."""
    text = header.encode() + b"\n"
    with zipfile.ZipFile(tmp_path / "t.npz", "w") as archive:
        start = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little")
        archive.writestr("a.npy", start + text + values)
    return str(tmp_path / "t.npz")


@pytest.mark.parametrize(
    ("kind", "shape", "words"),
    [
        ("<f8", (10**15,), "needs about"),
        ("<f8", (10**9, 10**9), "at most 120,000"),
        ("<f8", (2, 2, 2), r"has the shape \(2, 2, 2\)"),
        ("<f8", (), r"has the shape \(\)"),
        ("<f8", (-5,), "cannot be read"),
        ("|b1", (10**14, 2), "needs about"),
        ("|S0", (10**9,), "values of 0 bytes"),
        ("<U0", (10**9,), "values of 0 bytes"),
        ("|O", (3,), "cannot be read"),
        ("<f8", (3,), "cannot be read"),
        ("nothing", (3,), "cannot be read"),
    ],
)
def test_the_header_of_an_array_is_checked_before_memory_is_taken(kind, shape, words, tmp_path):
    path = npz(tmp_path, f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}")
    with pytest.raises(gd.UserError, match=words) as caught:
        read_file(path)
    assert path in str(caught.value)


def test_a_wide_sparse_file_is_refused_before_its_zeros_take_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("gdframe.errors.free_memory", lambda: 1e9)
    names = "".join(f"@attribute a{place} real\n" for place in range(5_000))
    (tmp_path / "t.arff").write_text(f"@relation r\n{names}@data\n" + "{0 1}\n" * 5_000)
    with pytest.raises(gd.UserError, match=r"t.arff: needs about 1.6 GB"):
        read_file(tmp_path / "t.arff")


def test_a_long_value_of_arff_is_read(tmp_path):
    (tmp_path / "t.arff").write_text(
        f"@relation r\n@attribute x string\n@attribute y real\n@data\n'{'b' * 200_000}',1\n"
    )
    assert read_file(tmp_path / "t.arff").rows == 1


@pytest.mark.parametrize("encoding", ["rot13", "zlib", "hex", "klingon", "undefined", "a\0"])
def test_a_codec_that_gives_no_text_is_refused(encoding, tmp_path):
    (tmp_path / "t.csv").write_text("x,y\n1,2\n")
    with pytest.raises(gd.UserError, match="expected an encoding"):
        gd.Table(path=str(tmp_path / "t.csv"), target="y", encoding=encoding).load()


def test_an_empty_last_column_is_profiled_and_not_proposed_as_target(tmp_path):
    rows = "".join(f"{place},{place * 3},\n" for place in SMALL)
    (tmp_path / "t.csv").write_text(f"x,y,empty\n{rows}")
    text = profile(str(tmp_path / "t.csv"))
    assert "data.target=y" in text
    assert "data.target=empty" not in text


def test_times_are_seconds_to_the_microsecond():
    stamps = pa.array([1_700_000_000_123_456_789, None])
    assert seconds_of(stamps.view(pa.timestamp("ns"))).to_pylist() == [1_700_000_000.123456, None]
    assert seconds_of(pa.array([1_500]).view(pa.time64("ns"))).to_pylist() == [1e-6]
    assert seconds_of(pa.array([-3_500]).view(pa.duration("ms"))).to_pylist() == [-3.5]
    assert seconds_of(pa.array([-2], pa.int32()).view(pa.date32())).to_pylist() == [-172_800.0]
    assert seconds_of(pa.array([5])) is None


def test_a_few_values_of_a_long_line_are_looked_at(tmp_path, monkeypatch):
    looks = []

    def look(value):
        looks.append(value)
        return False

    monkeypatch.setattr(sniff, "MOST_VALUES", 50)
    monkeypatch.setattr(sniff, "_begins_or_ends_with_number", look)
    (tmp_path / "t.csv").write_text(",".join("a" * 150_000) + "\n" + ",".join("1" * 150_000))
    with pytest.raises(gd.UserError, match="has 150,000 columns; at most 120,000 are read"):
        read_file(tmp_path / "t.csv")
    assert len(looks) <= 50 * len(SEPARATORS)


def test_a_file_of_blank_lines_is_refused(tmp_path, monkeypatch, shared_database):
    monkeypatch.setattr("gdframe.data.reading.text_file.MOST_BLANK", 1_000)
    for line, rows in (("1\n", 2_000), ("1\r\n", 2_000), ("1\n\n", 4_000)):
        (tmp_path / "t").write_bytes(gzip.compress(f"x\n{line * 2_000}".encode()))
        assert read_file(tmp_path / "t").rows == rows
    (tmp_path / "t").write_bytes(gzip.compress(b"x\n1\n" + b"\n" * 2_000))
    with pytest.raises(gd.UserError, match="t: most of its 2,002 lines are blank"):
        read_file(tmp_path / "t")
