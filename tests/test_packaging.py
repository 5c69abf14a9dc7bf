"""A built wheel works from any directory, with its config files inside."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([*pip, *build], check=True, timeout=120)
    (wheel,) = folder.glob("gdframe-*.whl")
    target = str(folder / "site")
    subprocess.run([*pip, "install", "--no-deps", "--target", target, str(wheel)], check=True)
    return target


def test_a_wheel_trains_anywhere(gdframe, installed, tmp_path):
    where = "import gdframe; print(gdframe.__file__)"
    path = subprocess.run(
        [sys.executable, "-c", where], cwd=tmp_path, env={"PYTHONPATH": installed},
        capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert path.startswith(installed)
    done = gdframe("epochs=1", PYTHONPATH=installed)
    assert done.code == 0, done.err
    assert done.result["status"] == "max_epochs"
    report = gdframe("report", str(done.run), PYTHONPATH=installed)
    assert report.code == 0, report.err
    page = gdframe("guide", "sweeps", PYTHONPATH=installed)
    assert (page.code, page.out.split()[0]) == (0, "Sweeps"), page.err
    assert (Path(installed) / "gdframe" / "py.typed").exists()
    assert (Path(installed) / "gdframe" / "__init__.pyi").exists()


def test_constraints_pin_what_the_project_allows():
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    names = {name.lower().replace("_", "-"): version for name, version in pins.items()}
    extras = [r for group in project["optional-dependencies"].values() for r in group]
    for text in [*project["dependencies"], *extras]:
        requirement = Requirement(text)
        if requirement.name != "gdframe":
            assert requirement.specifier.contains(names[requirement.name.lower()]), text
    assert names["torch"] == "2.13.0"
