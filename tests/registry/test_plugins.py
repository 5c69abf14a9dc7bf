"""Users' components: by file, by entry point, typed, listed, swept and resumed."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from refusals import assert_refused
from thinned import thinned

EXAMPLE = Path(__file__).parents[1] / "example_plugin"
RULES = EXAMPLE / "src" / "gdframe_sign" / "rules.py"
QUICK = ("logging.progress=false", "epochs=2")


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> str:
    """Install the example package into a folder, as pip does, and return it."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--target", str(folder)]
    subprocess.run([*command, str(EXAMPLE)], check=True, timeout=120)
    return str(folder)


def test_a_file_brings_a_component_with_typed_overrides(gdframe, tmp_path):
    (tmp_path / "my_rule.py").write_text(RULES.read_text())
    done = gdframe("plugins=[my_rule.py]", "optimizer=sign", "optimizer.beta=0.5", *QUICK)
    assert done.code == 0, done.err
    assert done.result["optimizer"] == "sign"
    wrong = gdframe("plugins=[my_rule.py]", "optimizer=sign", "optimizer.beta=much", *QUICK)
    assert wrong.code == 2
    assert "optimizer.beta=much: expected a number" in wrong.err
    wrong = gdframe("plugins=[my_rule.py]", "optimizer=sign", "optimizer.bta=1", *QUICK)
    assert "did you mean 'beta'?" in wrong.err


def test_a_run_with_a_plugin_file_resumes_from_anywhere(gdframe, tmp_path):
    (tmp_path / "my_rule.py").write_text(RULES.read_text())
    done = gdframe("plugins=[my_rule.py]", "optimizer=sign", "engine=eager", *QUICK)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    again = gdframe("resume", str(done.run), "epochs=3", cwd=elsewhere)
    assert again.code == 0, again.err
    assert done.result["epochs"] == 3


def test_an_installed_package_is_found_swept_and_listed(gdframe, installed):
    paths = {"PYTHONPATH": installed}
    done = gdframe(
        "-m",
        "optimizer=gd,sign",
        "loss=log_cosh",
        "loss.scale=0.5",
        "engine=eager",
        *QUICK,
        **paths,
    )
    assert done.code == 0, done.err
    assert len(done.runs) == 2
    listed = gdframe("list", "optimizer", "loss", **paths).out
    assert "Steps of one size against the sign" in listed
    assert "beta=0.9" in listed
    assert "from gdframe_sign.rules" in listed
    assert "log_cosh" in listed


def test_an_installed_plugin_imports_nothing_from_the_working_folder(gdframe, installed, tmp_path):
    site = tmp_path / "site"
    shutil.copytree(installed, site)
    rules = site / "gdframe_sign" / "rules.py"
    optional = "try:\n    import speedups\nexcept ImportError:\n    pass\n"
    rules.write_text(rules.read_text().replace("import torch\n", f"import torch\n{optional}", 1))
    assert "speedups" in rules.read_text()
    (tmp_path / "speedups.py").write_text("from pathlib import Path\nPath('ran').touch()\n")
    done = gdframe("optimizer=sign", "engine=eager", *QUICK, PYTHONPATH=str(site))
    assert done.code == 0, done.err
    assert not (tmp_path / "ran").exists()


PLUGINS = [
    ("raise RuntimeError('no luck')", "cannot be imported: RuntimeError: no luck (line 1 of"),
    ("def broken(:", "cannot be imported: SyntaxError"),
    ("import nothing_of_that_name", "ModuleNotFoundError"),
    ("class E(Exception):\n    def __str__(self): raise ValueError\nraise E", "E (line 3 of "),
    (
        "from gdframe import OPTIMIZERS, GD\n@OPTIMIZERS.register('gd')\nclass Mine(GD): ...",
        "the optimizer name 'gd' is taken by gdframe.optimizers.gd; mine",
    ),
    (
        "from gdframe import LOSSES\n@LOSSES.register('x')\ndef f(**anything): ...",
        "takes **anything: a component names each of its arguments",
    ),
]


@pytest.mark.parametrize(("text", "words"), PLUGINS)
def test_plugins_that_cannot_be_used_say_why(gdframe, tmp_path, text, words):
    (tmp_path / "mine.py").write_text(text)
    done = gdframe("plugins=[mine.py]", *QUICK)
    assert done.code == 2
    assert words in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "outputs").exists()
    assert "Traceback" in gdframe("plugins=[mine.py]", "debug=true", *QUICK).err


def test_a_missing_plugin_and_a_wrong_list_say_so(gdframe):
    assert "is not a file" in gdframe("plugins=[none.py]").err
    assert "No module named 'none_such'" in gdframe("plugins=[none_such]").err
    assert "expected a list" in gdframe("plugins=mine.py").err


@pytest.mark.parametrize(
    "line",
    ["raise SystemExit(3)", "import sys; sys.exit()", "raise KeyboardInterrupt", "raise Ended"],
)
def test_a_plugin_that_ends_the_process_is_refused(gdframe, tmp_path, line):
    (tmp_path / "mine.py").write_text(f"class Ended(BaseException): ...\n{line}\n")
    done = gdframe("plugins=[mine.py]", *QUICK)
    assert done.code == 2
    assert "cannot be imported" in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "outputs").exists()


def test_a_plugin_may_not_take_the_streams_away(gdframe, tmp_path):
    (tmp_path / "mine.py").write_text("import sys\nsys.stdout = sys.stderr = None\n")
    done = gdframe("plugins=[mine.py]", *QUICK)
    assert done.code == 0, done.err
    assert "status" in done.out


FAILS = """
from gdframe import {registry}
@{registry}.register("fails")
class Fails:
    def __init__(self, kind: str = ""):
        raise {{"key": KeyError, "os": FileNotFoundError, "type": TypeError}}[kind]("out of luck")
"""


@pytest.mark.parametrize(("registry", "key", "kind"), thinned([
    ("MODELS", "model", "key"), ("LOSSES", "loss", "type"), ("PENALTIES", "penalty", "os"),
    ("DATASETS", "data", "os"), ("INITIALIZERS", "initializer", "key"),
    ("SCHEDULES", "schedule", "type"),
], 3))  # fmt: skip
def test_a_constructor_that_raises_is_told_with_its_place(gdframe, tmp_path, registry, key, kind):
    (tmp_path / "mine.py").write_text(FAILS.format(registry=registry))
    done = gdframe("plugins=[mine.py]", f"{key}=fails", f"{key}.kind={kind}", "lr=0.01", *QUICK)
    assert_refused(done, f"{key}=fails cannot be built", "out of luck", "line 6 of", "mine.py")
    assert not (tmp_path / "outputs").exists()


FILLED = """
import torch
from gdframe import INITIALIZERS, Initializer
@INITIALIZERS.register("{name}")
class Filled(Initializer):
    def __init__(self, *, std: float = 0.5): self.std = std
    def draw(self, name, shape, random): return torch.full(shape, {sign}self.std)
"""


@pytest.mark.parametrize(
    "engine",
    [(), pytest.param(("hydra/launcher=basic", "hydra/sweeper=basic"), marks=pytest.mark.slow)],
)
def test_a_sweep_over_components_of_plugins_varies_their_settings(gdframe, tmp_path, engine):
    for name, sign in (("left", ""), ("right", "-")):
        (tmp_path / f"{name}.py").write_text(FILLED.format(name=name, sign=sign))
    chosen = ("initializer=left,right", "initializer.std=0.1,0.2")
    done = gdframe("-m", "plugins=[left.py,right.py]", *chosen, *engine, *QUICK)
    assert done.code == 0, done.err
    assert len(done.runs) == 4


def test_a_plugin_file_does_not_take_the_name_of_another_module(gdframe, tmp_path):
    (tmp_path / "colorsys.py").write_text(RULES.read_text())
    code = (
        "from gdframe.registry.plugins import load_plugins; load_plugins(['colorsys.py'])\n"
        "import colorsys; assert colorsys.rgb_to_hsv(0, 0, 0) == (0.0, 0.0, 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
