"""``gdframe.train(...)``: a run from Python, composed as on the command line."""

from __future__ import annotations

import time
from pathlib import Path

from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gdframe.config.check import check
from gdframe.config.folders import claim, discard, refuse_taken
from gdframe.config.launch import launch
from gdframe.config.messages import compose_config, explain, named_plugins
from gdframe.config.schema import register_nodes
from gdframe.config.values import CONFIG_FILE, anchor, plain
from gdframe.errors import UserError
from gdframe.plugins import absolute, load_plugins
from gdframe.result import Result


def train(*overrides: str, folder: str | Path | None = None) -> Result:
    """Train one run, composed from the same config as ``python -m gdframe``.

    Args:
        overrides: as on the command line: ``"variant=sgd"``, ``"lr=0.01"``.
        folder: where the run is written; by default a new ``outputs/DATE/TIME``.

    Returns:
        How the run ended, its history as arrays, the trained module and the folder.

    Raises:
        UserError: an override or the data cannot be used.

    Example:
        >>> import tempfile
        >>> result = train("variant=batch", "epochs=3", folder=tempfile.mkdtemp())
        >>> str(result.status), result.history["objective"].shape
        ('max_epochs', (4,))
    """
    started = time.perf_counter()
    plugins = [absolute(plugin) for plugin in named_plugins(overrides)]
    load_plugins(plugins)
    register_nodes()
    try:
        config = compose_config(overrides)
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    config.plugins = plugins
    check(plain(config))
    anchor(config)
    target = claim(Path("outputs")) if folder is None else Path(folder)
    refuse_taken(target)
    try:
        (target / ".hydra").mkdir(parents=True, exist_ok=True)
        OmegaConf.save(config, target / CONFIG_FILE)
        OmegaConf.save(OmegaConf.create(list(overrides)), target / ".hydra" / "overrides.yaml")
        return launch(plain(config), target, started=started)
    except UserError:
        discard(target)
        raise
