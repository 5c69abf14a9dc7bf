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


def commands(text):
    return [line for line in text.splitlines() if line.startswith("  python -m gdframe")]


def test_no_command_lacks_features(tmp_path, gdframe):
    """A command that would have no features takes words, or gives way to the reason."""
    names = "".join(f"n{i},{i * i % 17}\n" for i in range(30))
    (tmp_path / "words.csv").write_text("who,y\n" + names)
    command = commands(gdframe("inspect", "words.csv").out)[0]
    assert "data.target=y data.text=hash" in command
    words = shlex.split(command, comments=True)[3:]
    trained = gdframe(*words, "epochs=2", "hydra.run.dir=run")
    assert trained.code == 0, trained.err
    (tmp_path / "one.csv").write_text("y\n" + "".join(f"{i * i % 17}\n" for i in range(30)))
    text = gdframe("inspect", "one.csv").out
    assert not commands(text)
    assert "none to predict 'y': no other column can be a feature" in text
    rows = "".join(f"{i},5,{i * i % 17}\n" for i in range(30))
    (tmp_path / "index.csv").write_text("id,k,y\n" + rows)
    text = gdframe("inspect", "index.csv").out
    assert "feature: id (it numbers the rows), k (its value is always 5.0)" in text
    assert not commands(text)
    assert len(commands(gdframe("inspect", "index.csv", "data.categorical=[k]").out)) == 1


def test_rows_without_the_target_teach_nothing(tmp_path):
    rows = "".join(f"{'a' if i < 20 else 'b'},{i if i < 20 else ''}\n" for i in range(40))
    (tmp_path / "t.csv").write_text("kind,y\n" + rows)
    text = profile(str(tmp_path / "t.csv"))
    assert "none to predict 'y': no other column can be a feature: kind (its value is" in text
