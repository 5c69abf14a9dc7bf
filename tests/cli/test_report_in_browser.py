"""Reports in a headless browser: curves, buttons, tables, print, and narrow and dark pages."""

from __future__ import annotations

import re

import pytest
from reported import BROWSER, look, train_run, train_sweep
from thinned import thinned

from gdframe.cli.report import report

pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return train_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    return train_sweep(tmp_path_factory.mktemp("sweep"))


def test_a_browser_draws_a_run(run, tmp_path):
    seen = look(report(run, output=tmp_path / "run.html"))
    assert seen["errors"] == []
    assert seen["before"][0] == 2  # objective and validation loss
    assert all(seen["before"])
    assert seen["legends"] == seen["before"]
    assert seen["hidden"][0] == 1
    assert seen["pressed"] == "false"
    assert seen["again"] == seen["before"]
    assert "steps" in seen["axis"]
    assert "seconds" in seen["seconds"]
    assert seen["bent"]
    assert re.match(r"objective: [\d.,]+ at [\d.,]+ seconds of training", seen["tip"])
    assert seen["label"].startswith("Is it descending?")
    assert seen["sorted"] == "ascending"
    assert seen["folded"] > 0
    assert seen["unfolded"] == 0  # a printed page shows all settings
    assert seen["printed"] == [sum(seen["legends"]), 0, 0]  # legends, and no controls


@pytest.mark.parametrize("kind", thinned(["sweep", "run"], 2))
def test_a_narrow_dark_page_keeps_all_of_its_text_readable(kind, tmp_path, request):
    page = report(request.getfixturevalue(kind), output=tmp_path / "page.html")
    seen = look(page, "--window-size=500,900", "--blink-settings=preferredColorScheme=0")
    assert seen["errors"] == []
    assert seen["shrunk"] > 0.9
    assert seen["wide"] <= 0  # no horizontal scrolling
    assert seen["clipped"] == 0  # nor in a table
    assert seen["pictures"]
    assert not any(seen["pictures"])  # each is the copy for dark pages


def test_a_browser_draws_a_sweep(sweep, tmp_path):
    seen = look(report(sweep, output=tmp_path / "sweep.html"))
    assert seen["errors"] == []
    assert seen["before"] == [30]  # runs that diverged in the first epoch have a single point
    assert seen["hidden"] == [24]
    assert "run 3: variant=batch" in seen["tip"] or "variant=" in seen["tip"]
