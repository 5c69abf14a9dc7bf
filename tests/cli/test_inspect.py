"""``inspect`` tells what a table holds, and its commands train as they are printed."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from gdframe.cli.inspect import profile
from gdframe.config.override_syntax import parse
from gdframe.errors import UserError, override_value, shell_word

NAMES = ["price", "a b", "a [m]", "b, c", "größe", "#1", "5$", "it's", 'a "b"', "${seed}", "x=1",
         "null", "3", "a\\b", "(c)", "{d}", "e:f", "!g", "`h`"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_comes_through_the_shell_and_hydra(name):
    word = shell_word(f"data.target={override_value(name)}")
    through_shell = subprocess.run(
        ["sh", "-c", f"printf %s {word}"], capture_output=True, text=True, check=True
    ).stdout
    assert shlex.split(word) == [through_shell]
    value = parse([through_shell])[0].value()
    assert value.replace("\\${", "${") == name


def test_a_profile_names_columns_and_commands(tmp_path, gdframe):
    rows = "".join(f"{i};{i % 7},5;{'a' if i % 2 else 'b'};{i * 3}\n" for i in range(30))
    (tmp_path / "t.csv").write_text("id;a [m];kind;price\n" + rows)
    done = gdframe("inspect", "t.csv")
    assert done.code == 0, done.err
    assert "30 rows, 4 columns" in done.out
    assert "left out: it numbers the rows" in done.out
    assert "semicolons separate" in done.out
    command = next(line for line in done.out.splitlines() if "data.target=price" in line)
    words = shlex.split(command, comments=True)
    trained = gdframe(*words[3:], "epochs=2", "variant=batch", "hydra.run.dir=run")
    assert trained.code == 0, trained.err


def test_settings_are_those_of_a_table(tmp_path):
    (tmp_path / "t.txt").write_text("1:2\n3:4\n5:7\n")
    text = profile(str(tmp_path / "t.txt"), ["data.separator=':'", "data.names=[x,y]"])
    assert "x       numbers" in text
    with pytest.raises(UserError, match="no such setting"):
        profile(str(tmp_path / "t.txt"), ["lr=1"])
