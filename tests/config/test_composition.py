"""Configs of many runs equal those that Hydra composes one by one."""

from __future__ import annotations

import pytest
import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.compose import compose_anew, compose_config
from gdframe.config.composition import Composer
from gdframe.config.schema import register_nodes
from gdframe.config.values import plain

register_nodes()

RUNS = [
    ["lr=1", "seed=3"],
    ["lr=0.5"],
    ["seed=4", "optimizer=momentum", "optimizer.beta=0.5"],
    ["optimizer=momentum", "lr=2"],
    ["model=mlp", "model.hidden=[3,4]", "lr=1e-3"],
    ["model=mlp", "model.hidden=[3]", "model.hidden.0=7"],
    ["model=mlp"],
    ["data.seed=${seed}", "seed=9"],
    ["data=table", "data.path=a b.csv", "data.target='1'"],
    ["data=table", "data.target=y"],
    ["stopping.target=1", "stopping.time_limit=null"],
    ["lr=1", "seed=3", "variant=sgd"],
]


def test_values_set_in_a_composed_config_are_those_composed_anew():
    composer = Composer(compose_anew)
    anew = [compose_anew(words) for words in RUNS]
    for words, composed in zip(RUNS, anew, strict=True):
        assert compose_config(words) == composed, words
    runs = list(zip(RUNS, anew, strict=True))
    for words, composed in runs + runs[::-1]:  # what one run sets does not stay for the next
        composition = composer.compose(words)
        assert composition.plain() == plain(composed), words
        assert [type(v) for v in composition.plain().values()] == [
            type(v) for v in plain(composed).values()
        ]
        assert yaml.safe_load(composition.text()) == OmegaConf.to_container(composed, resolve=False)


def test_what_a_run_does_with_its_config_reaches_no_other():
    composer = Composer(compose_anew)
    one = composer.compose(["model=mlp", "model.hidden=[3]"])
    one.plain()["model"]["hidden"].append(1)
    assert one.plain()["model"]["hidden"] == [3]
    other = composer.compose(["model=mlp"]).plain()
    other["data"]["name"] = "changed"
    assert composer.compose(["model=mlp"]).plain()["data"]["name"] == "diabetes"


@pytest.mark.parametrize(
    "words", [["epochs=fast"], ["model.depth=3"], ["epochs=null"], ["seed=0.5"]]
)
def test_a_value_that_has_no_place_is_refused_each_time(words):
    composer = Composer(compose_anew)
    for _ in range(2):
        with pytest.raises(OmegaConfBaseException):
            composer.compose(words).plain()
    assert composer.compose(["lr=1"]).plain()["lr"] == 1.0
