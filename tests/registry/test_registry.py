"""Registries: names, suggestions, checked arguments; and YAML that equals the constructors."""

from __future__ import annotations

import re

import pytest
import yaml

import gdframe as gd
from gdframe.config.schema import config_folder
from gdframe.registry import REGISTRIES, Registry
from gdframe.registry.signatures import REQUIRED, describe, fit

ALL = [(kind, name) for kind, registry in REGISTRIES.items() for name in registry]


@pytest.mark.parametrize("kind", REGISTRIES)
def test_yaml_files_and_registered_names_are_the_same(kind):
    files = {path.stem for path in (config_folder() / kind).glob("*.yaml")}
    if kind == "stopping":  # the settings of the rules that every run has
        files.remove("default")
    assert files == set(REGISTRIES[kind]) - set(REGISTRIES[kind].user_components())


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_yaml_holds_the_constructors_keywords_and_defaults(kind, name):
    content = yaml.safe_load((config_folder() / kind / f"{name}.yaml").read_text())
    assert content.pop("name") == name
    settings = REGISTRIES[kind].settings(name)
    expected = {
        argument.name: "???"
        if argument.default is REQUIRED
        else list(argument.default)
        if isinstance(argument.default, tuple)
        else argument.default
        for argument in settings.values()
    }
    assert content == expected
    assert [type(v) for v in content.values()] == [type(v) for v in expected.values()]


@pytest.mark.parametrize(
    "path",
    sorted(config_folder().rglob("*.yaml")),
    ids=lambda p: str(p.relative_to(config_folder())),
)
def test_no_config_of_ours_runs_code(path):
    """Hydra itself reads ``_target_`` of a launcher and a sweeper; nothing else has one."""
    targets = re.findall(r"_target_.*", path.read_text())
    if path.relative_to(config_folder()).parts[0] == "hydra":
        assert all(t.startswith("_target_: hydra_plugins.gdframe_launcher.") for t in targets)
    else:
        assert not targets


@pytest.mark.parametrize(("kind", "name"), ALL)
def test_every_component_is_documented_and_typed(kind, name):
    component = REGISTRIES[kind].get(name)
    assert component.__doc__
    assert component.__doc__.splitlines()[0].endswith(".")
    for argument in REGISTRIES[kind].settings(name).values():
        assert describe(argument.annotation) not in ("", "Any"), argument.name


def test_stopping_defaults_equal_its_yaml():
    from gdframe.registry.signatures import arguments

    content = yaml.safe_load((config_folder() / "stopping" / "default.yaml").read_text())
    settings = {a.name: a.default for a in arguments(gd.Stopping).values()}
    assert settings.pop("rules") == ()
    assert content == settings


def make() -> Registry:
    registry: Registry = Registry("rule", package="gdframe.penalties", supplied=("params",))

    @registry.register("mine")
    class Mine:
        def __init__(self, params, *, beta: float = 0.5, names: list[str] | None = None):
            self.params, self.beta, self.names = params, beta, names

    return registry


def test_names_are_looked_up_and_suggested():
    registry = make()
    assert "mine" in registry
    assert list(registry) == ["mine"]
    assert len(registry) == 1
    with pytest.raises(gd.UserError, match=r"rule=min: there is no such rule; did you mean 'mine'"):
        registry.get("min")


def test_a_taken_name_names_both_origins():
    registry = make()
    with pytest.raises(gd.UserError, match=r"taken by .*test_registry.*cannot register it again"):

        @registry.register("mine")
        class Other: ...


def test_arguments_are_checked_and_numbers_converted():
    registry = make()
    built = registry.build("mine", params=[1], beta=1, names=["a"])
    assert built.beta == 1.0
    assert isinstance(built.beta, float)
    for wrong, words in (
        ({"beta": "x"}, "^rule.beta=x: expected a number"),
        ({"beta": True}, "expected a number"),
        ({"names": [1]}, "expected a list of texts or null"),
        ({"bta": 1}, "^rule.bta=1: there is no such setting; did you mean 'beta'"),
    ):
        with pytest.raises(gd.UserError, match=words):
            registry.build("mine", params=[1], **wrong)
    with pytest.raises(gd.UserError, match="needs params"):
        registry.build("mine")


def test_settings_leave_out_what_the_run_supplies():
    assert list(make().settings("mine")) == ["beta", "names"]


@pytest.mark.parametrize(
    ("value", "annotation", "fits"),
    [
        (1, int, True), (1.0, int, False), (True, int, False), (1, float, True),
        (None, float, False),
        (None, float | None, True), ("a", str, True), ([1, 2], list[int], True),
        ([1, "a"], list[int], False), ("ab", list[str], False), ((1,), tuple[int, ...], True),
        ("x", object, True),
    ],
)  # fmt: skip
def test_values_fit_annotations(value, annotation, fits):
    assert fit(value, annotation)[0] is fits


def test_public_names_exist_and_are_sorted():
    assert gd.__all__ == sorted(gd.__all__)
    for name in gd.__all__:
        assert getattr(gd, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = gd.nothing


def test_a_package_that_fails_to_load_is_loaded_again(tmp_path, monkeypatch):
    (tmp_path / "parts_of_mine").mkdir()
    (tmp_path / "parts_of_mine" / "__init__.py").write_text("raise RuntimeError('not yet')\n")
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry("part", package="parts_of_mine")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="not yet"):
            list(registry)
