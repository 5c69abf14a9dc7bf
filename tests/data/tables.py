"""Small tables as people have them, and what each of them is."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet


@dataclass(frozen=True)
class Case:
    """A file and what is to be read from it.

    Args:
        name: of the case, and of the file.
        content: of the file.
        settings: of the source.
        features: kind of each feature by name, in order.
        first: features of the first row as numbers; None where they are not compared.
        target: values of the target, or labels.
        notes: parts of lines that tell what was read.
    """

    name: str
    content: str | bytes
    target: Sequence[Any]
    features: Mapping[str, str]
    first: Sequence[float] | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def write(self, folder):
        path = folder / self.name
        content = self.content
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


NUMBERS = {"a": "number", "b": "number"}
PLAIN = "a,b,y\n1,2.5,10\n2,3.5,20\n4,5.5,35\n"
Y = [10.0, 20.0, 35.0]
BASIC = {"target": Y, "features": NUMBERS, "first": [1.0, 2.5], "settings": {"target": "y"}}


def plain(name: str, content: str | bytes, *notes: str, **settings: Any) -> Case:
    """Return a case of the table of two numbers and a target, written in some way."""
    return Case(name, content, Y, NUMBERS, [1.0, 2.5], {"target": "y", **settings}, notes)


def zipped(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, PLAIN)
    return buffer.getvalue()


def columnar(kind: str) -> bytes:
    table = pa.table({"a": [1, 2, 4], "b": [2.5, 3.5, 5.5], "y": [10, 20, 35]})
    buffer = io.BytesIO()
    if kind == "parquet":
        pa.parquet.write_table(table, buffer)
    elif kind == "feather":
        pa.feather.write_feather(table, buffer)
    elif kind == "npz":
        np.savez(buffer, **{name: table.column(name).to_numpy() for name in table.column_names})
    else:
        openpyxl = __import__("openpyxl")
        book = openpyxl.Workbook()
        book.active.append(["a", "b", "y"])
        for row in table.to_pylist():
            book.active.append(list(row.values()))
        book.save(buffer)
    return buffer.getvalue()


ARFF = """% a comment
@relation 'two words'
@attribute a numeric
@attribute 'kind of b' {'x y', z}
@attribute y REAL
@data
1,'x y',10
2,z,20
?,z,35
"""

FORMATS = [
    plain("plain.csv", PLAIN),
    plain("no_ending", PLAIN),
    plain("wrong_ending.parquet", PLAIN),
    plain("no_last_end.csv", PLAIN.rstrip("\n")),
    plain("blank_lines.csv", PLAIN.replace("\n", "\n\n")),
    plain("spaces.csv", PLAIN.replace(",", " , ")),
    plain("quoted.csv", '"a","b","y"\n"1","2.5","10"\n"2","3.5","20"\n"4","5.5","35"\n'),
    plain("tab.txt", PLAIN.replace(",", "\t"), "tabs separate"),
    plain("semicolon.csv", PLAIN.replace(",", ";"), "semicolons separate"),
    plain("bar.csv", PLAIN.replace(",", "|"), "vertical bars separate"),
    plain("blank.dat", PLAIN.replace(",", " "), "blanks separate"),
    plain("runs.dat", PLAIN.replace(",", "   ").replace("\n", "  \n  "), "blanks separate"),
    plain("colon.txt", PLAIN.replace(",", ":"), separator=":"),
    plain("tab_named.txt", PLAIN.replace(",", "\t"), separator="tab"),
    plain("crlf.csv", PLAIN.replace("\n", "\r\n")),
    plain("cr.csv", PLAIN.replace("\n", "\r")),
    plain("crcrlf.csv", PLAIN.replace("\n", "\r\r\n")),
    plain("mixed_ends.csv", PLAIN.replace("\n", "\r\n", 2)),
    plain("bom.csv", b"\xef\xbb\xbf" + PLAIN.encode()),
    plain("utf16.csv", PLAIN.encode("utf-16"), "read as utf-16"),
    plain("utf16le.csv", PLAIN.encode("utf-16-le"), "read as utf-16-le"),
    plain("utf32.csv", PLAIN.encode("utf-32"), "read as utf-32"),
    plain("zipped.zip", zipped("t.csv"), "decompressed (zip)"),
    plain("mac.zip", zipped("t.csv", "__MACOSX/._t.csv"), "decompressed (zip)"),
    plain("t.csv.gz", gzip.compress(PLAIN.encode()), "decompressed (gzip)"),
    plain("t.csv.bz2", bz2.compress(PLAIN.encode()), "decompressed (bzip2)"),
    plain("t.csv.xz", lzma.compress(PLAIN.encode()), "decompressed (xz)"),
    plain("gzip_without_ending.csv", gzip.compress(PLAIN.encode()), "decompressed"),
    plain("t.parquet", columnar("parquet")),
    plain("parquet_called.csv", columnar("parquet")),
    plain("t.feather", columnar("feather")),
    plain("t.npz", columnar("npz")),
    plain("t.xlsx", columnar("xlsx")),
    plain("lines.json", '{"a":1,"b":2.5,"y":10}\n{"a":2,"b":3.5,"y":20}\n{"a":4,"b":5.5,"y":35}'),
    plain("list.json", '[{"a":1,"b":2.5,"y":10},{"a":2,"b":3.5,"y":20},{"a":4,"b":5.5,"y":35}]'),
    plain("hash_header.dat", "# a b y\n 1 2.5 10\n 2 3.5 20\n 4 5.5 35\n", "are in a comment"),
    plain("hash_comma.csv", "# made by hand\n" + PLAIN, "begin with '#' left out"),
    plain("percent.csv", "% made by hand\n%\n" + PLAIN, "begin with '%' left out"),
    plain("inner_comments.csv", PLAIN.replace("\n2", "\n!stop\n2"), comment="!"),
    plain("preamble.csv", "Device: X7\nSerial 1234\n\n" + PLAIN, "2 lines before the table left"),
    plain("skip.csv", "1,2,3\n4,5,6\n" + PLAIN, skip=2),
    plain("trailing.csv", PLAIN.replace("\n", ",\n")),
    plain("by_number.csv", PLAIN, target=3),
    plain("by_last.csv", PLAIN, target=-1),
    plain("named.csv", PLAIN.partition("\n")[2], names=["a", "b", "y"]),
    plain("renamed.csv", "A,B,C\n" + PLAIN.partition("\n")[2], names=["a", "b", "y"], header=True),
]  # fmt: skip

HEADERS = [
    Case("iris.data", "5.1,3.5,setosa\n4.9,3,setosa\n6,2.2,virginica\n", ["setosa", "setosa",
         "virginica"], {"c1": "number", "c2": "number"}, [5.1, 3.5], {"target": -1},
         ["the table has no header"]),
    Case("all_text.data", "low,x,no\nhigh,y,yes\nlow,y,yes\nhigh,x,no\n",
         ["no", "yes", "yes", "no"], {"c1": "category", "c2": "category"}, [0, 1, 1, 0],
         {"target": 3}, ["the table has no header"]),
    Case("text_header.csv", "size,form,buy\nlow,x,no\nhigh,y,yes\nlow,y,yes\nhigh,x,no\n",
         ["no", "yes", "yes", "no"], {"size": "category", "form": "category"}, [0, 1, 1, 0],
         {"target": "buy"}),
    Case("forced_data.csv", "a,b\nc,d\na,d\n", ["b", "d", "d"], {"c1": "category"}, [1, 0],
         {"target": 2, "header": False}),
    Case("years.csv", "2019,2020,2021\n1.5,2,3\n2.5,4,5\n3.5,5,9\n", [3.0, 5.0, 9.0],
         {"2019": "number", "2020": "number"}, [1.5, 2], {"target": 2021, "header": True}),
    Case("row_names.txt", '"a" "y"\n"r1" 1 10\n"r2" 2 20\n"r3" 4 35\n', Y,
         {"a": "number"}, [1], {"target": "y"}, ["the rows' names", "'c1' is left out: it names"]),
    Case("twice.csv", "x,x,y\n1,2,10\n3,4,20\n6,5,35\n", Y, {"x": "number", "x_2": "number"},
         [1, 2], {"target": "y"}, ["read as 'x_2'"]),
    Case("umlaut.csv", "größe;preis\n1;10\n2;20\n3;35\n".encode("latin-1"), Y, {"größe": "number"},
         [1], {"target": "preis"}, ["read as cp1252"]),
    Case("cyrillic.csv", "рост;вес\n1;10\n2;20\n3;35\n".encode("cp1251"), Y, {"рост": "number"},
         [1], {"target": "вес", "encoding": "cp1251"}),
    Case("hash_name.csv", "#,x,y\n5,1,10\n9,2,20\n7,4,35\n", Y, {"x": "number"}, [1],
         {"target": "y"}, ["'#' is left out"]),
    Case("odd_names.csv", '"a [m]","b, c","ä#$","y"\n1,2,3,10\n2,5,1,20\n3,3,8,35\n', Y,
         {"a [m]": "number", "b, c": "number", "ä#$": "number"}, [1, 2, 3], {"target": "y"}),
]  # fmt: skip

VALUES = [
    Case("decimal_comma.csv", "a;b;y\n1,5;2;10\n2,5;3;20\n3,25;7;35\n", Y, NUMBERS, [1.5, 2],
         {"target": "y"}, ["'1,5' read as the number 1.5"]),
    Case("german.csv", "a;y\n1.234,5;10\n2.000,25;20\n12,0;35\n", Y, {"a": "number"}, [1234.5],
         {"target": "y"}, ["read as the number 1234.5"]),
    Case("thousands.csv", 'a,y\n"1,234",10\n"12,000",20\n"1,000,000",35\n', Y, {"a": "number"},
         [1234], {"target": "y"}, ["the number 1234; \"data.decimal=','\" if ',' begins"]),
    Case("decimal_set.csv", "a;y\n1,234;10\n1,500;20\n7,125;35\n", Y, {"a": "number"}, [1.234],
         {"target": "y", "decimal": ","}),
    Case("thousands_set.csv", "a;y\n1.234;10\n1.500;20\n7.125;35\n", Y, {"a": "number"}, [1234],
         {"target": "y", "thousands": ".", "decimal": ","}),
    Case("swiss.csv", "a,y\n1'234.5,10\n2'000,20\n12,35\n", Y, {"a": "number"}, [1234.5],
         {"target": "y"}),
    Case("thin.csv", "a;y\n1\u202f234;10\n2\u00a0000;20\n12;35\n", Y, {"a": "number"}, [1234],
         {"target": "y"}),
    Case("money.csv", 'a,b,y\n"$1,200",5 €,10\n"-$3",7 €,20\n"($80)",9 €,35\n', Y, NUMBERS,
         [1200, 5], {"target": "y"}, ["'$1,200' read as the number 1200"]),
    Case("share.csv", "a,y\n45%,10\n5.5 %,20\n0%,35\n", Y, {"a": "number"}, [45], {"target": "y"},
         ["'45%' read as the number 45"]),
    Case("minus.csv", "a,y\n\u22125,10\n\u22123.5,20\n2,35\n", Y, {"a": "number"}, [-5],
         {"target": "y"}),
    Case("nulls.csv", "a,b,y\n?,1,10\nNA,n/a,20\n4,null,35\n6,5,40\n5,3,50\n", [*Y, 40.0, 50.0],
         NUMBERS, [np.nan, 1], {"target": "y"}, ["missing values in 2 columns of 5 rows"]),
    Case("dash.csv", "a,y\n-,10\n3,20\n4,35\n7,40\n", [*Y, 40.0], {"a": "number"}, [np.nan],
         {"target": "y"}, ["1 value such as '-' read as missing"]),
    Case("dash_class.csv", "a,y\n1,+\n3,-\n4,-\n7,+\n", ["+", "-", "-", "+"], {"a": "number"}, [1],
         {"target": "y"}),
    Case("sentinel_set.csv", "a,y\n-200,10\n3,20\n4,35\n7,40\n", [*Y, 40.0], {"a": "number"},
         [np.nan], {"target": "y", "null_values": [-200]}),
    Case("sentinel_told.csv", "a,y\n" + "".join(f"{i % 7 + 0.5},{i * i}\n" for i in range(30))
         + "-200,5\n-200.0,6\n", [*(float(i * i) for i in range(30)), 5.0, 6.0],
         {"a": "number"}, [0.5], {"target": "y"}, ["data.null_values=[-200]"]),
    Case("null_text.csv", "a,y\nx,10\nleer,20\nz,35\nx,1\n", [*Y, 1.0], {"a": "category"}, [1, 0],
         {"target": "y", "null_values": ["leer"]}),
    Case("case.csv", "a,y\nYes,10\nyes ,20\nNO,35\nno,40\nyes,41\n", [*Y, 40.0, 41.0],
         {"a": "category"}, [0, 1], {"target": "y"}, ["are one category"]),
    Case("booleans.csv", "a,b,y\nTrue,1,10\nFALSE,3,20\ntrue,4,35\n", Y,
         {"a": "boolean", "b": "number"}, [1, 1], {"target": "y"}),
    Case("two_values.csv", "a,y\n5,10\n7,20\n5,35\n", Y, {"a": "boolean"}, [5], {"target": "y"}),
    Case("iso.csv", "t,y\n2024-01-31,10\n2024-02-01,20\n2024-02-07,35\n", Y, {"t": "date"}, None,
         {"target": "y"}, ["read as a date (year, month, day)"]),
    Case("german_dates.csv", "t;y\n31.01.2024;10\n01.02.2024;20\n07.02.2025;35\n", Y,
         {"t": "date"}, None, {"target": "y"}, ["read as a date (day, month, year)"]),
    Case("us_dates.csv", "t,y\n1/31/2024,10\n2/1/2024,20\n2/7/2024,35\n", Y, {"t": "date"}, None,
         {"target": "y"}, ["read as a date (month, day, year)"]),
    Case("vague_dates.csv", "t,y\n1/3/2024,10\n2/1/2024,20\n2/7/2024,35\n", Y, {"t": "date"}, None,
         {"target": "y"}, ["could be month, day, year as well"]),
    Case("named_months.csv", "t,y\n31-Jan-2024,10\n1-Feb-24,20\n7-Mar-2024,35\n", Y, {"t": "date"},
         None, {"target": "y"}, ["read as a date"]),
    Case("times.csv", "t,y\n2024-01-31 10:00:30.5,10\n2024-01-31T11:00Z,20\n2024-02-01 9:15,35\n",
         Y, {"t": "date"}, None, {"target": "y"}, ["read as a date"]),
    Case("clock.csv", "t,y\n10:00,10\n11:30,20\n09:15:30,35\n", Y, {"t": "date"}, None,
         {"target": "y"}, ["read as a date (time)"]),
    Case("codes.csv", "a,b,y\n1,1,10\n2,7,20\n1,9,35\n", Y, {"a": "category", "b": "number"},
         [1, 0, 1], {"target": "y", "categorical": ["a"]}),
    Case("mixed_codes.csv", "a,y\n" + "1,1\n2,2\n0,4\n3+,3\n" * 4, [1.0, 2.0, 4.0, 3.0] * 4,
         {"a": "category"}, None, {"target": "y", "task": "regression"}),
    Case("late_text.csv", "a,y\n" + "".join(f"{i},{i * 2}\n" for i in range(600)) + "-,1\n",
         [*(float(2 * i) for i in range(600)), 1.0], {"a": "number"}, [0], {"target": "y"}),
]  # fmt: skip

LONG = [f"name {i} of many" for i in range(30)]


def rows(function, count: int = 30) -> str:
    return "".join(function(i) + "\n" for i in range(count))


SQUARES = [float(i * i) for i in range(30)]

ROLES = [
    Case("pandas_index.csv", ",a,y\n" + rows(lambda i: f"{i},{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y"}, ["'c1' is left out: it numbers the rows"]),
    Case("id.csv", "Id,a,y\n" + rows(lambda i: f"{900 - 7 * i},{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y"}, ["'Id' is left out: it numbers the rows"]),
    Case("id_kept.csv", "Id,a,y\n" + rows(lambda i: f"{900 - 7 * i},{i % 7},{i * i}"), SQUARES,
         {"Id": "number", "a": "number"}, [900, 0], {"target": "y", "features": ["Id", "a"]}),
    Case("names.csv", "who,a,y\n" + rows(lambda i: f"{LONG[i]},{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y"}, ["30 different texts", "data.text=hash"]),
    Case("hashed.csv", "who,a,y\n" + rows(lambda i: f"{LONG[i]},{i % 7},{i * i}"), SQUARES,
         {"who": "words", "a": "number"}, None, {"target": "y", "text": "hash"}),
    Case("constant.csv", "k,a,y\n" + rows(lambda i: f"5,{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y"}, ["'k' is left out: its value is always 5.0"]),
    Case("empty_column.csv", "k,a,y\n" + rows(lambda i: f",{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y"}, ["'k' is left out: it has no values"]),
    Case("excluded.csv", "k,a,y\n" + rows(lambda i: f"{i % 3},{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y", "exclude": ["k"]}),
    Case("carried.csv", "k,a,y\n" + rows(lambda i: f"r{i},{i % 7},{i * i}"), SQUARES,
         {"a": "number"}, [0], {"target": "y", "id": "k"}),
    Case("copy.csv", "k,a,y\n" + rows(lambda i: f"{3 * i * i + 1},{i % 7},{i * i}"), SQUARES,
         {"k": "number", "a": "number"}, [1, 0], {"target": "y"}, ["'k' determines the target"]),
    Case("copy_class.csv", "k,a,y\n" + rows(lambda i: f"{'MB'[i % 2]},{i % 7},{i % 2}"),
         [i % 2 for i in range(30)], {"k": "category", "a": "number"}, None, {"target": "y"},
         ["'k' determines the target"]),
    Case("feature_list.csv", "k,a,y\n" + rows(lambda i: f"{i % 3},{i % 7},{i * i}"), SQUARES,
         {"a": "number", "k": "number"}, [0, 0], {"target": "y", "features": ["a", 1]}),
]  # fmt: skip

TARGETS = [
    Case("signs.csv", "a,y\n1,-1\n2,1\n4,-1\n", [-1, 1, -1], {"a": "number"}, [1],
         {"target": "y"}, ["-1, 1 read as classes; data.task=regression"]),
    Case("two_four.csv", "a,y\n1,2\n2,4\n4,2\n", [2, 4, 2], {"a": "number"}, [1], {"target": "y"},
         ["2, 4 read as classes"]),
    Case("floats.csv", "a,y\n1,0.0\n2,1.0\n4,0.0\n", [0, 1, 0], {"a": "number"}, [1],
         {"target": "y"}),
    Case("halves.csv", "a,y\n1,0.5\n2,1.5\n4,0.5\n", [0.5, 1.5, 0.5], {"a": "number"}, [1],
         {"target": "y"}),
    Case("digits.csv", "a,y\n1,0\n2,1\n4,2\n5,1\n", [0, 1, 2, 1], {"a": "number"}, [1],
         {"target": "y"}, ["0, 1, 2 read as classes; data.task=regression for numbers"]),
    Case("quality.csv", "a,y\n" + "1,3\n2,5\n4,6\n" * 3, [3.0, 5.0, 6.0] * 3, {"a": "number"}, [1],
         {"target": "y"}, ["'y': 3 whole numbers read as numbers to regress on"]),
    Case("quality_classes.csv", "a,y\n" + "1,3\n2,5\n4,6\n" * 3, [3, 5, 6] * 3, {"a": "number"},
         [1], {"target": "y", "task": "classification"}),
    Case("yes.csv", "a,y\n1,Yes\n2,no\n4,yes\n5,yes\n", ["yes", "no", "yes", "yes"],
         {"a": "number"}, [1], {"target": "y"}),
    Case("several.csv", "a,y,z\n1,10,1\n2,20,2\n4,35,5\n", [[10, 1], [20, 2], [35, 5]],
         {"a": "number"}, [1], {"target": ["y", "z"]}),
    Case("missing_target.csv", "a,y\n1,10\n2,\n3,20\n4,35\n", Y, {"a": "number"}, [1],
         {"target": "y"}, ["1 row without a target left out, first row 2"]),
    Case("dropped.csv", "a,b,y\n1,2,10\n,3,20\n3,3,20\n4,7,35\n", Y, NUMBERS, [1, 2],
         {"target": "y", "missing": "drop"}, ["1 row with missing values left out, first row 2"]),
    Case("large.csv", "a,y\n" + rows(lambda i: f"{i % 7},{1600000000 + i}"),
         [1.6e9 + i for i in range(30)], {"a": "number"}, [0], {"target": "y"}),
]  # fmt: skip

TOGETHER = [
    Case("export.csv", ("Export;2024\r\r\n\r\r\nNr;Größe;Datum;Preis\r\r\n" + "".join(
         f"{i};1.{i:03d},5;{i % 28 + 1:02d}.01.2024;{i % 9},25 €\r\r\n" for i in range(30))
         ).encode("cp1252"), [i % 9 + 0.25 for i in range(30)],
         {"Größe": "number", "Datum": "date"}, None, {"target": "Preis"},
         ["read as cp1252", "1 line before the table", "'Nr' is left out", "read as a date"]),
    Case("meter.txt.gz", gzip.compress(("% meter 7\n% t  v  y\n" + "".join(
         f"   {i}.5   {'-' if i == 3 else i * 2}   {i * i}\n" for i in range(30))).encode()),
         SQUARES, {"t": "number", "v": "number"}, [0.5, 0], {"target": "y"},
         ["decompressed", "are in a comment", "blanks separate", "read as missing"]),
    Case("survey.csv", "ID,Income,Smoker,City,Score\n" + "".join(
         f'{i + 1},"${i + 1},{i:03d}",{("Yes", "no ", "YES", "No")[i % 4]},'
         f'{("Rome", "rome")[i % 2]},'
         f"{'' if i == 4 else i % 2}\n" for i in range(30)), [i % 2 for i in range(30) if i != 4],
         {"Income": "number", "Smoker": "category"}, None, {"target": "Score"},
         ["'ID' is left out", "'City' is left out", "1 row without a target", "0, 1 read as"]),
    Case("arff_without_ending", ARFF, Y, {"a": "boolean", "kind of b": "category"}, [1, 1, 0],
         {"target": "y"}),
]  # fmt: skip

CASES = [*FORMATS, *HEADERS, *VALUES, *ROLES, *TARGETS, *TOGETHER]
