"""The size of a compressed Arrow file is known before it is decompressed."""

from __future__ import annotations

import struct

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pytest

import gdframe as gd
from gdframe.data.reading.arrow_sizes import decompressed_size
from gdframe.data.reading.columnar import read_feather

RANDOM = np.random.default_rng(0)
TABLES = {
    "numbers": pa.table({"a": RANDOM.normal(size=5_000), "b": np.arange(5_000) % 7}),
    "text": pa.table({"t": [f"word {i % 50}" for i in range(5_000)]}),
    "dictionary": pa.table(
        {"d": pa.array([f"class {i % 50}" for i in range(5_000)]).dictionary_encode()}
    ),
    "missing": pa.table({"m": pa.array([None, 1.5] * 2_500)}),
    "empty": pa.table({"e": pa.array([], pa.float64())}),
}


@pytest.mark.parametrize("compression", ["uncompressed", "lz4", "zstd"])
@pytest.mark.parametrize("name", TABLES)
@pytest.mark.parametrize("chunk", [1_000, 10_000])
def test_headers_tell_the_size_of_the_values(tmp_path, name, compression, chunk):
    table, path = TABLES[name], tmp_path / "t.feather"
    pa.feather.write_feather(table, path, compression=compression, chunksize=chunk)
    with pa.memory_map(str(path)) as source:
        size = decompressed_size(source)
    with pa.memory_map(str(path)) as source:
        reader = pa.ipc.open_file(source)
        batches = [reader.get_batch(i) for i in range(reader.num_record_batches)]
        read = pa.Table.from_batches(batches, reader.schema)
    # a dictionary is stored once, and counts for each batch that is read
    assert 0.95 * read.unify_dictionaries().combine_chunks().nbytes <= size
    assert size <= 1.05 * read.nbytes + 1_000
    assert read_feather(path).equals(read)


@pytest.mark.parametrize("size", [10**15, 2**62, -7])
def test_a_size_that_cannot_be_is_refused_before_it_is_believed(tmp_path, size):
    path = tmp_path / "t.feather"
    pa.feather.write_feather(pa.table({"a": np.zeros(100_000)}), path, compression="zstd")
    content, zstd = path.read_bytes(), bytes.fromhex("28b52ffd")
    before = struct.pack("<q", 8 * 65_536) + zstd
    assert content.count(before) == 1
    path.write_bytes(content.replace(before, struct.pack("<q", size) + zstd))
    with pytest.raises((gd.UserError, ValueError), match=r"GB|bytes"):
        read_feather(path)


def test_damaged_headers_are_no_sizes(tmp_path):
    path = tmp_path / "t.feather"
    pa.feather.write_feather(TABLES["numbers"], path, compression="zstd")
    content = bytearray(path.read_bytes())
    for place in range(8, 900, 3):
        damaged = content.copy()
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        with pa.memory_map(str(path)) as source:
            try:
                assert decompressed_size(source) >= 0
            except ValueError as error:
                assert str(error)  # noqa: PT017
