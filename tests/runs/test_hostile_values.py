"""Files of runs and sweeps with hostile values, or without a key: each verb reads or refuses them.

``pytest -m slow tests/runs/test_hostile_values.py`` puts every value in every place.
"""

from __future__ import annotations

import copy
import json
import logging
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import yaml
from damage import places
from safetensors import safe_open
from thinned import thinned

import gdframe as gd
from gdframe.cli.main import main

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

HOSTILE: tuple[Any, ...] = (
    None, True, -1, 0, 3, 1 << 53, 1 << 70, 0.5, 1.7e308, -1.7e308, 1e-320, "", "text", "\ud800",
    "a\0b", "\x1b[31m", "²", "1" * 20, "~nosuchuser/x.csv", "../x", "x" * 300, [], [1.0],
    ["a", 1], {}, {"name": "quadratic"}, "cross_entropy",
)  # fmt: skip
"""Values in place of others."""

SAMPLE = 3
"""Changed files that the short test tries of each kind."""

QUICK = ("data=iris", "epochs=2", "logging.histograms=0", "checkpoint.every=1", "engine=eager")

RUN = (["watch", "run"], ["report", "run"], ["landscape", "run", "--points", "3"],
       ["predict", "run", "rows.csv"], ["resume", "run"])  # fmt: skip
SWEEP = (["watch", "sweep"], ["report", "sweep"], ["resume", "sweep"])
WRITTEN = ("run/report.html", "run/landscape.png", "run/landscape.dark.png", "sweep/report.html")
FILES = {
    "run/result.json": RUN[:3],
    "run/.hydra/config.yaml": RUN,
    "run/.hydra/overrides.yaml": RUN[1:2],
    "run/model.safetensors": RUN[2:4],
    "sweep/sweep.json": SWEEP,
    "sweep/3/result.json": SWEEP,
    "sweep/3/.hydra/config.yaml": SWEEP[1:],
}
"""The verbs that read a file."""


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """Return a folder with a run, a sweep of a function, and rows to predict."""
    folder = tmp_path_factory.mktemp("stored")
    gd.train(*QUICK, "diagnostics.curvature=true", folder=folder / "run")
    words = ("model=himmelblau", "epochs=3", "diagnostics.smallest=true", "seed=range(12)",
             "logging.tensorboard=false")  # fmt: skip
    gd.sweep(*words, "diagnostics.curvature=true", folder=folder / "sweep")
    (folder / "rows.csv").write_text("sepal_length,sepal_width,petal_length,petal_width\n1,1,1,1\n")
    return folder


def read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            return {key: json.loads(text) for key, text in file.metadata().items()}
    return (json.loads if path.suffix == ".json" else yaml.safe_load)(path.read_text())


def write(path: Path, content: Any) -> None:
    if path.suffix == ".safetensors":
        texts = {key: json.dumps(value) for key, value in content.items()}
        if path.name == "model.safetensors":
            texts.pop("digest", None)  # as in a file that a stranger wrote
        path.write_bytes(safetensors.torch.save(safetensors.torch.load_file(path), texts))
    else:
        text = (json.dumps if path.suffix == ".json" else yaml.safe_dump)(content)
        path.write_bytes(text.encode(errors="surrogatepass"))


def changes(content: Any) -> Iterator[tuple[str, Any]]:
    """Yield the content without each of its keys, and with each other value there, and what it is.

    Of a list, the first two items are changed.
    """
    for *parents, last in places(content):
        if any(isinstance(key, int) and key > 1 for key in (*parents, last)):
            continue
        for value in (MISSING, *HOSTILE):
            changed = copy.deepcopy(content)
            inner = changed
            for key in parents:
                inner = inner[key]
            if value is MISSING:
                del inner[last]
            else:
                inner[last] = value
            yield f"{(*parents, last)} {value!r}", changed


MISSING = object()
"""Stands for no value."""


KNOWN = [
    ("run/result.json", "('reason',) '\\ud800'"),
    *(("run/result.json", f"('{key}',) {MISSING}") for key in ("lr", "optimizer", "variant")),
    *(("sweep/3/result.json", f"('{key}',) {MISSING}") for key in ("model", "objective")),
    ("sweep/3/result.json", "('objective',) 1.7e+308"),
    ("run/.hydra/config.yaml", "('device',) 'text'"),
    ("run/.hydra/config.yaml", "('stopping', 'divergence_factor') 'text'"),
    ("run/.hydra/config.yaml", f"('logging', 'runs') {MISSING}"),
    ("sweep/sweep.json", "('jobs', 0, 'folder') 'a\\x00b'"),
    ("run/model.safetensors", "('loss', 'name') 'cross_entropy'"),
]
"""Changes that once raised errors, beside those of a sample."""


def cases(file: str, content: Any) -> list[tuple[str, Any, list[str]]]:
    return [(what, changed, words) for what, changed in changes(content) for words in FILES[file]]


@pytest.fixture
def folder(stored, tmp_path, monkeypatch):
    """Return a copy of the stored folder, in which command lines run."""
    shutil.copytree(stored, tmp_path / "cwd")
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path / "cwd"


def assert_read_or_refused(stored, folder, file, chosen, capsys) -> None:
    """Run a verb on each changed content; nothing may be raised."""
    logger = logging.getLogger()
    handlers = list(logger.handlers)
    for what, content, words in chosen:
        write(folder / file, content)
        shown = f"{' '.join(words)}: {what} in {file}"
        try:
            code = main(words)
        except BaseException as error:
            raise AssertionError(f"{shown}: {type(error).__name__}: {error}") from error
        finally:
            for handler in set(logger.handlers) - set(handlers):
                handler.close()
            logger.handlers[:] = handlers
        out, err = capsys.readouterr()
        assert code in ((0, 1, 2, 3) if words[0] == "resume" else (0, 2)), shown + err
        refusals = [line for line in err.splitlines() if line.startswith("gdframe: ")]
        assert len(refusals) == (code == 2), shown + err
        assert all(line.isprintable() for line in (out + err).split("\n")), shown
        if words[0] == "resume":
            shutil.rmtree(folder / words[1])
            shutil.copytree(stored / words[1], folder / words[1])
        shutil.copy(stored / file, folder / file)
        for name in WRITTEN:
            (folder / name).unlink(missing_ok=True)


@pytest.mark.parametrize("file", thinned(FILES, 4))
def test_a_sample_of_hostile_values(stored, folder, file, capsys):
    every = cases(file, read(stored / file))
    known = [case for case in every if (file, case[0]) in KNOWN]
    assert {case[0] for case in known} == {what for name, what in KNOWN if name == file}
    chosen = [*known, *random.Random(file).sample(every, SAMPLE)]
    assert_read_or_refused(stored, folder, file, chosen, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_hostile_values(stored, folder, file, capsys):
    assert_read_or_refused(stored, folder, file, cases(file, read(stored / file)), capsys)
