"""Sweep folders that somebody has prepared: one message each."""

from __future__ import annotations

import json
import os
import shutil

import command
import pytest
from refusals import assert_refused
from thinned import thinned

import gdframe as gd
from gdframe.runs import sweep_folder
from gdframe.runs.picture_files import SIGNATURE


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = tmp_path_factory.mktemp("swept")
    words = ["-m", "lr=0.01,0.02", "epochs=2", "hydra.sweep.dir=sweep"]
    assert command.call(words, folder, {}) == 0
    return folder / "sweep"


def test_placeholders_in_the_settings_of_a_sweep_are_refused(gdframe, tmp_path):
    assert gdframe("-m", "seed=0,1", "lr=0.01", "epochs=1", "sweep.dir=s").code == 0
    path = tmp_path / "s" / "sweep.json"
    content = json.loads(path.read_text())
    content["bases"][0]["hydra"] += "  zz: [" + ", GDFRAME_OVERRIDES" * 50 + "]\n"
    path.write_text(json.dumps(content))
    for verb in ("resume", "report"):
        assert_refused(gdframe(verb, "s"), "sweep.json")


@pytest.mark.parametrize(
    ("verb", "depth"),
    thinned([(verb, depth) for depth in (60, 900, 100_000) for verb in ("resume", "report")], 5),
)
def test_a_deep_result_in_a_sweep_is_damaged(gdframe, swept, tmp_path, verb, depth):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    path = sweep / "0" / "result.json"
    text = path.read_text().rstrip().removesuffix("}")
    path.write_text(f'{text}, "x": {"[" * depth}{"]" * depth}}}')
    done = gdframe(verb, str(sweep))
    assert done.code == 0
    said = (sweep / "report.html").read_text() if verb == "report" else done.out + done.err
    assert "nested too deeply" in said
    assert "Traceback" not in done.err


def test_a_folder_whose_name_is_no_text_is_reported(gdframe, swept, tmp_path):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    (sweep / "sweep.json").unlink()
    (sweep / "0").rename(sweep / os.fsdecode(b"\xff0"))
    assert gdframe("report", str(sweep)).code == 0
    assert "\\udcff0" in (sweep / "report.html").read_text()


def test_thousands_of_settings_in_a_sweep_are_refused(gdframe, swept, tmp_path):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    path = sweep / "sweep.json"
    content = json.loads(path.read_text())
    (base,) = content["bases"]
    content["bases"] = [{**base, "hydra": f"{base['hydra']}# {i}\n"} for i in range(1_001)]
    path.write_text(json.dumps(content))
    for verb in ("resume", "report"):
        assert_refused(gdframe(verb, str(sweep)), "sweep.json", "1,001 different configs")


def test_a_sweep_that_could_not_be_read_again_is_refused_before_it_trains(tmp_path, monkeypatch):
    monkeypatch.setattr(sweep_folder, "MOST_CONFIGS", 2)
    with pytest.raises(gd.UserError, match="3 different configs; at most 2 are read; sweep over"):
        gd.sweep("optimizer=gd,momentum,adam", "epochs=1", "lr=0.01", folder=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


def test_long_configs_of_a_sweep_are_refused_before_they_are_parsed(gdframe, swept, tmp_path):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    content = json.loads((sweep / "sweep.json").read_text())
    base = content["bases"][0]
    content["bases"] += [
        {**base, "config": f"{base['config']}#{'x' * 9000}{n}"} for n in range(500)
    ]
    (sweep / "sweep.json").write_text(json.dumps(content))
    for verb in ("resume", "report"):
        assert_refused(gdframe(verb, str(sweep)), "its configs have more than 4,194,304 characters")


@pytest.mark.parametrize("launcher", [(), ("hydra/launcher=basic", "hydra/sweeper=basic")])
@pytest.mark.parametrize(
    "place", thinned(["0", "0/.hydra", "x/0", "mean", ".batches", "summary.csv", "sweep.json"], 3)
)
def test_a_link_where_a_sweep_writes_is_refused_before_it_trains(
    gdframe, tmp_path, place, launcher
):
    outside, link = tmp_path / "outside", tmp_path / "sweep" / place
    outside.mkdir()
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    before = set(link.parent.rglob("*"))
    inner = ["hydra.sweep.subdir=x/${hydra.job.num}"] if place == "x/0" else []
    words = ["lr=0.01,0.02", "epochs=1", f"sweep.dir={tmp_path / 'sweep'}"]
    done = gdframe("-m", *words, *launcher, *inner)
    assert_refused(done, f"{link}: is a link")
    assert not list(outside.iterdir())
    assert set(link.parent.rglob("*")) == before


def test_pictures_of_a_sweep_are_shown_up_to_a_size(gdframe, swept, tmp_path):
    sweep = shutil.copytree(swept, tmp_path / "sweep")
    first = sweep / "landscape-0.png"
    first.write_bytes(SIGNATURE + bytes((1 << 22) - 8))
    for number in range(1, 40):
        (sweep / f"landscape-{number}.png").hardlink_to(first)
    done = gdframe("report", str(sweep))
    assert done.code == 0
    assert "32 in all, are left out" in done.err
    assert (sweep / "report.html").stat().st_size < 1 << 26
