"""Queries of users: what they may do, what they give, and that none writes or waits for ever."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import signal
import sys
import threading
from pathlib import Path

import duckdb
import pytest
from thinned import thinned

import gdframe as gd
from gdframe.data.reading import query as query_module
from gdframe.data.reading.database import database, waiting_for
from gdframe.data.reading.query import run_query
from gdframe.data.reading.query_tree import REFUSED, TABLES

COPY = "COPY (SELECT 1 AS c) TO 'out.csv'"
OVERWRITE = "COPY (SELECT 1 AS c) TO 'a.csv' (USE_TMP_FILE false)"
ENDLESS = "SELECT count(*) AS x FROM range(1000000000000000), range(1000)"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [(place, 3 * place + 1) for place in range(12)]
    lines = "".join(f"{x},{y}\n" for x, y in rows)
    Path("a.csv").write_text(f"x,y\n{lines}")
    Path("b.csv").write_text("x,z\n1,7\n2,9\n")
    Path("parts").mkdir()
    Path("parts/1.csv").write_text("x,y\n1,2\n")
    Path("parts/2.csv").write_text("x,y\n3,4\n")
    Path("link.csv").symlink_to("parts/1.csv")
    Path("odd[1].csv").write_text("x,y\n5,6\n")
    Path("p.json").write_text("".join(json.dumps({"x": x, "y": y}) + "\n" for x, y in rows))
    Path("g.csv.gz").write_bytes(gzip.compress(Path("a.csv").read_bytes()))
    duckdb.sql("FROM 'a.csv'").write_parquet("a.parquet")
    os.mkfifo("pipe")
    return tmp_path


def content() -> dict[str, bytes]:
    return {str(f): f.read_bytes() for f in Path().rglob("*") if f.is_file()}


WRITING = [
    COPY, OVERWRITE, f"({COPY})", f"FROM ({COPY})", f"SELECT * FROM ({COPY})",
    f"WITH a AS ({COPY}) SELECT * FROM 'a.csv'",
    "with A as materialized ( cOpY/**/(SELECT 1) to 'out.csv') select 1 AS x",
    f"WITH a AS ({OVERWRITE}) SELECT * FROM 'a.csv'",
    f"WITH a AS (WITH b AS ({COPY}) SELECT 1 AS x) SELECT * FROM a",
    f"WITH RECURSIVE a AS ({COPY}) SELECT 1 AS x",
    f"SELECT (WITH a AS ({COPY}) SELECT 1) AS x",
    f"SELECT 1 AS x WHERE EXISTS (WITH a AS ({COPY}) SELECT 1)",
    f"FROM 'a.csv', LATERAL (WITH a AS ({COPY}) SELECT x + 1)",
    f"FROM 'a.csv' POSITIONAL JOIN (WITH a AS ({COPY}) SELECT 1)",
    f"FROM (WITH a AS ({COPY}) FROM 'a.csv') PIVOT (sum(y) FOR x IN (1, 2))",
    f"SELECT 1 AS x ORDER BY (WITH a AS ({COPY}) SELECT 1)",
    f"SELECT 1 AS x LIMIT (WITH a AS ({COPY}) SELECT 1)",
    f"SELECT list_transform([1], i -> (WITH a AS ({COPY}) SELECT i)) AS x",
    f"SELECT sum(x) OVER (ORDER BY (WITH a AS ({COPY}) SELECT 1)) AS s FROM 'a.csv'",
    f"VALUES ((WITH a AS ({COPY}) SELECT 1))",
    f"SELECT 1 AS x UNION ALL BY NAME (WITH a AS ({COPY}) SELECT 1 AS x)",
    f"SELECT * FROM range((WITH a AS ({COPY}) SELECT 1))",
    f"SELECT * FROM read_csv('a.csv', skip = (WITH a AS ({COPY}) SELECT 1))",
    f"SUMMARIZE WITH a AS ({COPY}) SELECT 1", f"DESCRIBE WITH a AS ({COPY}) SELECT 1",
    f"EXPLAIN ANALYZE WITH a AS ({COPY}) SELECT 1", f"PREPARE a AS {COPY}", "EXECUTE a",
    f"SELECT 1 AS x; {COPY}", f"SELECT 1 AS x /*; */; -- ;\n{COPY}", f"{COPY}; SELECT 1 AS x",
    "WITH a AS (\\u0043OPY (SELECT 1) TO 'out.csv') SELECT 1",
    "WITH a AS (\uff23OPY (SELECT 1) TO 'out.csv') SELECT 1",
    "WITH a AS (COPY (SELECT 1 AS p, 2) TO 'o' (FORMAT parquet, PARTITION_BY (p))) SELECT 1",
    "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT * FROM a",
    "WITH a AS (UPDATE t SET x = 1 RETURNING *) SELECT * FROM a",
    "WITH a AS (DELETE FROM duckdb_settings RETURNING *) SELECT * FROM a",
    "WITH a AS (COPY t FROM 'a.csv') SELECT 1", "WITH a AS (ATTACH 'out.db') SELECT 1",
    "CREATE TABLE t AS SELECT 1", "CREATE MACRO m() AS TABLE SELECT 1", "ATTACH 'out.db'",
    "EXPORT DATABASE 'out'", "INSTALL httpfs", "LOAD 'out'", "SET threads = 1", "PRAGMA version",
    "CALL enable_logging()", "SELECT 1 AS x INTO t", "PIVOT 'a.csv' ON x USING sum(y)",
    *(
        f"SELECT * FROM {function}"
        for text in [COPY.replace("'", "''")]
        for function in (
            f"query('{text}')", f"query('WITH a AS ({text}) SELECT 1')", "query_table('a.csv')",
            f"json_execute_serialized_sql(json_serialize_sql('WITH a AS ({text}) SELECT 1'))",
            "json_execute_serialized_sql('{}')", "main.query('SELECT 1')", '"query"(\'SELECT 1\')',
            "system.main.query('SELECT 1')", "QUERY('SELECT 1')",
            "enable_logging(storage='file', storage_path='out')", "checkpoint()",
            "enable_profiling(format='json', save_location='out.json')", "write_log('x')",
            "glob('*')", "sniff_csv('a.csv')", "read_duckdb('out.db')", "duckdb_settings()",
            "duckdb_settings", "information_schema.tables", "histogram('a.csv', x)", "nothing(1)",
            "pragma_version()", "pandas_scan(NULL)", "arrow_scan(NULL, NULL, NULL)",
        )
    ),
    "TABLE duckdb_settings", "SHOW TABLES", "SELECT * FROM (SHOW TABLES)", "SELECT $1 AS x",
    "SELECT current_setting('threads') AS x", "SELECT getvariable('x') AS x",
    "SELECT main.current_setting('threads') AS x", "SELECT 'threads'.current_setting() AS x",
    "SELECT json_serialize_plan('FROM ''b.csv''') AS x", "SELECT write_log('x') AS x",
    "SELECT sleep_ms(1) AS x", "SELECT sum(sleep_ms(1)) OVER () AS x",
]  # fmt: skip

NAMES = [
    ("FROM read_csv('a' || '.csv')", "computed file name"),
    ("FROM read_csv(upper('a.csv'))", "computed file name"),
    ("FROM read_csv(['a.csv', lower('b.csv')])", "computed file name"),
    ("FROM read_csv((SELECT 'a.csv'))", "computed file name"),
    ("FROM read_csv(CAST('a.csv' AS VARCHAR))", "computed file name"),
    ("FROM (SELECT 'a.csv' AS f) t, read_csv(t.f)", "computed file name"),
    ("FROM read_parquet(NULL)", "computed file name"),
    ("FROM 'none.csv'", "none.csv does not exist"),
    ("FROM 'none*.csv'", r"none\*.csv does not exist"),
    ("FROM read_csv(['a.csv', 'none.csv'])", "none.csv does not exist"),
    ("WITH a AS (FROM 'none.csv') FROM 'a.csv'", "none.csv does not exist"),
    ("FROM 'parts'", "parts is a folder"),
    ("FROM read_csv('pipe')", "pipe is no regular file"),
    ("FROM read_text('pip*')", r"pip\* does not exist"),
    ("FROM read_text('/dev/zero')", "zero is no regular file"),
    ("FROM read_csv('/dev/stdin')", "stdin is no regular file"),
    ("FROM 'http://127.0.0.1:1/a.csv'", "httpfs"),
    ("FROM read_csv('s3://a/b.csv')", "httpfs"),
    ("SELEC 1", "syntax error.*correct the query"),
    ("SELECT nothing FROM 'a.csv'", "nothing.*correct the query"),
    ("", "holds 0 statements"),
    ("SELECT " + "[" * 900 + "1" + "]" * 900, "nested too deeply"),
    ("SELECT " + "-" * 5000 + "1", "correct the query"),
    ("SELECT '\udc80' AS x", "surrogate"),
    ("FROM read_text('/proc/self/environ')", "shows its state"),
    ("SELECT x" + ".x" * 20_000, "at most 20,000"),
    ("SELECT x::UHUGEINT AS big FROM 'a.csv'", "'big' is of type UHUGEINT; cast it to DOUBLE"),
    ("PIVOT 'a.csv' ON x USING sum(y)", "list the values of PIVOT"),
    ("SUMMARIZE 'a.csv'", "DESCRIBE or SUMMARIZE is not allowed"),
]


@pytest.mark.parametrize(
    "name", ["pg_settings", "PG_PROC", "pragma_database_list", "sqlite_master", "duckdb_logs"]
)
@pytest.mark.parametrize(
    "query", ["FROM (WITH {0} AS (SELECT 1) FROM {0}) a, {0} b", "WITH {0} AS (SELECT 1) FROM {0}"]
)
def test_tables_of_the_database_are_not_read_through_names_of_with(query, name):
    with pytest.raises(gd.UserError, match="is a table of the database"):
        run_query(query.format(name))


def test_times_do_not_depend_on_the_zone_of_the_machine(monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    (row,) = run_query("SELECT '2024-01-01 00:00'::TIMESTAMPTZ::VARCHAR AS t").to_pylist()
    assert row["t"].startswith("2024-01-01 00:00:00+00")


@pytest.mark.parametrize("query", thinned(WRITING, 3))
def test_a_query_only_selects(query):
    before = content()
    with pytest.raises(gd.UserError) as caught:
        run_query(query)
    assert "\n" not in str(caught.value)
    assert content() == before


@pytest.mark.parametrize(("query", "words"), NAMES, ids=[query[:60] for query, _ in NAMES])
def test_a_query_reads_named_regular_files(query, words):
    with pytest.raises(gd.UserError, match=words):
        run_query(query)


@pytest.mark.parametrize("query", thinned([query for query in WRITING if "out" in query], 3))
def test_a_query_that_is_not_checked_still_writes_no_other_file(query, monkeypatch):
    before = content()
    monkeypatch.setattr(query_module, "files_in", lambda *_: ["a.csv", "par*/*.csv"])
    with contextlib.suppress(gd.UserError):
        run_query(query.replace("\\u0043", "C"))
    assert content() == before


A, PARTS = [(place, 3 * place + 1) for place in range(12)], [(1, 2), (3, 4)]

HONEST = [
    ("FROM 'a.csv'", A), ("SELECT * FROM a.csv", A), ("TABLE 'a.csv'", A),
    (f"FROM 'a.csv' -- {COPY}", A), (f"/* {COPY}; */ FROM 'a.csv';", A), ("(FROM 'a.csv')", A),
    ("FROM './parts/../a.csv'", A), ("FROM 'a.parquet'", A), ("FROM 'p.json'", A),
    ("FROM 'g.csv.gz'", A), ("FROM read_json('p.json')", A), ("FROM read_parquet('*.parquet')", A),
    ("FROM read_csv(E'\\x61.csv')", A), ("FROM read_csv($$a.csv$$)", A), ("FROM \"a.csv\"", A),
    ("FROM 'link.csv'", PARTS[:1]), ("FROM 'odd[1].csv'", [(5, 6)]),
    ("FROM 'parts/*.csv'", PARTS), ("FROM 'par*/?.csv'", PARTS), ("FROM '**/[12].csv'", PARTS),
    ("FROM read_csv(['parts/1.csv', 'parts/2.csv'])", PARTS),
    ("FROM READ_CSV(ARRAY['parts/1.csv', 'parts/2.csv'], header := true, delim = ',')", PARTS),
    ("FROM read_csv('parts/1.csv', skip=1, names=['x', 'y'])", PARTS[:1]),
    ("FROM 'parts/1.csv' UNION ALL BY NAME FROM 'parts/2.csv'", PARTS),
    ("SELECT a.x, z FROM 'a.csv' AS a JOIN 'b.csv' AS b ON a.x = b.x ORDER BY z", [(1, 7), (2, 9)]),
    ("SELECT x, z FROM 'a.csv' JOIN 'b.csv' USING (x) ORDER BY ALL", [(1, 7), (2, 9)]),
    ("SELECT z, y FROM 'b.csv' POSITIONAL JOIN 'parts/*.csv'", [(7, 2), (9, 4)]),
    ("SELECT x, lag(y) OVER (ORDER BY x) AS before FROM 'parts/*.csv'", [(1, None), (3, 2)]),
    ("SELECT x, y FROM 'a.csv' QUALIFY row_number() OVER (ORDER BY y DESC) = 1", A[-1:]),
    ("SELECT x % 2 AS odd, sum(y) AS s FROM 'a.csv' GROUP BY odd HAVING s > 0 ORDER BY odd",
     [(0, 96), (1, 114)]),
    ("WITH t AS (FROM 'a.csv'), u AS MATERIALIZED (FROM T WHERE x > 9) FROM u", A[10:]),
    ("WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) FROM t",
     [(1,), (2,), (3,)]),
    ("SELECT x, CASE WHEN x IN (SELECT x FROM 'b.csv') THEN 1 ELSE 0 END AS b FROM 'a.csv' LIMIT 3",
     [(0, 0), (1, 1), (2, 1)]),
    ("SELECT DISTINCT ON (z) z FROM 'b.csv' WHERE z BETWEEN 8 AND 10 AND NOT z IS NULL", [(9,)]),
    ("SELECT COLUMNS('x'), * EXCLUDE (x) REPLACE (y::DOUBLE AS y) FROM 'parts/1.csv'", [(1, 2.0)]),
    ("SELECT list_sum([i * 2 FOR i IN [x, y] IF i > 1]) AS s FROM 'parts/1.csv'", [(4,)]),
    ("FROM 'parts/1.csv' UNPIVOT (v FOR n IN (x, y))", [("x", 1), ("y", 2)]),
    ("FROM 'parts/*.csv' PIVOT (sum(y) FOR x IN (1, 3))", [(2, 4)]),
    ("SELECT r.i, u FROM range(2) AS r(i), unnest([5]) AS t(u)", [(0, 5), (1, 5)]),
    ("FROM 'a.csv' USING SAMPLE reservoir(100 ROWS) REPEATABLE (1) ORDER BY x", A),
    ("VALUES (1, 2), (3, 4)", PARTS), ("SELECT 'COPY' AS t, 1.5::DECIMAL(5, 1) > 1 AS b",
                                       [("COPY", True)]),
]  # fmt: skip


@pytest.mark.parametrize(("query", "rows"), thinned(HONEST, 3))
def test_a_query_gives_its_rows_in_order(query, rows):
    before = content()
    table = run_query(query)
    assert [tuple(row.values()) for row in table.to_pylist()] == rows
    assert content() == before


def test_a_query_trains(folder):
    query = f"SELECT x, 2 * y AS z FROM '{folder}/a.csv' WHERE x > 1"
    frame = gd.Table(query=query, target="z").read()
    assert frame.target.tolist() == [float(2 * y) for x, y in A if x > 1]
    with pytest.raises(gd.UserError, match="names both"):
        gd.Table(query=query, path="t.csv", target="z")


def test_each_function_of_duckdb_that_acts_is_refused():
    harmless = {"error", "gen_random_uuid", "random", "setseed", "uuid", "uuidv4", "uuidv7"}
    functions = duckdb.sql(
        "SELECT DISTINCT function_name, stability FROM duckdb_functions() "
        "WHERE function_type = 'scalar'"
    ).fetchall()
    assert {name for name, stability in functions if stability == "VOLATILE"} <= REFUSED | harmless
    tables = duckdb.sql(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'table'"
    ).fetchall()
    assert {name for (name,) in tables} >= TABLES
    assert {name for name, _ in functions}.isdisjoint(
        TABLES - {"generate_series", "range", "repeat"}
    )


def test_a_query_that_fills_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr("gdframe.data.reading.database.free_memory", lambda: 1e8)
    with pytest.raises(gd.UserError, match=r"needs more memory.*select fewer rows"):
        run_query("SELECT list(i) AS x FROM range(1000000000) AS t(i)")


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not limit memory")
def test_memory_that_duckdb_does_not_count_is_limited_too(monkeypatch):
    monkeypatch.setattr("gdframe.data.reading.query.free_memory", lambda: 1e8)
    with pytest.raises(gd.UserError, match=r"needs more memory.*select fewer rows"):
        run_query("SELECT list_sum(range(300000000)) AS x")  # 2.4 GB
    assert run_query("SELECT list_sum(range(3)) AS x").num_rows == 1


def test_texts_beyond_what_a_batch_holds_are_refused():
    with pytest.raises(gd.UserError, match="texts are longer than 2 GB"):
        run_query("SELECT repeat('x', 10000000) AS a FROM range(1000)")


@pytest.mark.slow  # a fault in it would hang
def test_ctrl_c_ends_a_query():
    started = threading.Event()

    def interrupt() -> None:
        started.wait()
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

    def count() -> None:
        started.set()
        connection.sql(ENDLESS).to_arrow_reader().read_all()

    threading.Thread(target=interrupt).start()
    with database([]) as connection, pytest.raises(KeyboardInterrupt):
        waiting_for(connection, count)


def test_the_parser_reads_the_named_file_and_no_other(tmp_path):
    with database(["a.csv"]) as connection:
        assert len(connection.execute(f"SELECT * FROM '{tmp_path}/a.csv'").fetchall()) == len(A)
        for wrong in (
            f"SELECT * FROM '{tmp_path}/b.csv'",
            f"COPY (SELECT 1) TO '{tmp_path}/c.csv'",
            "SET enable_external_access=true",
            "SET autoload_known_extensions=true",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(wrong)
    assert not (tmp_path / "c.csv").exists()
