"""``python -m gdframe --help``: the commands, the groups with their choices, and the keys.

Hydra's own help reads every folder of configs once for each group, which takes a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import Template

from omegaconf import OmegaConf

from gdframe.config.compose import compose_config
from gdframe.config.schema import GROUPS, defaults, names


def help_text(overrides: Sequence[str]) -> str:
    """Return the help, with the keys as the overrides set them.

    Raises:
        HydraException: an override names nothing.
        OmegaConfBaseException: an override has a wrong value.
    """
    parts = defaults("hydra/help", "gdframe") or {}
    template = parts["template"]
    for name in ("header", "footer"):
        template = template.replace(f"${{hydra.help.{name}}}", parts[name])
    groups = [f"{group}: {', '.join(names(group))}" for group in sorted(GROUPS)]
    keys = OmegaConf.to_yaml(compose_config(overrides))
    return Template(template).substitute(APP_CONFIG_GROUPS="\n".join(groups) + "\n", CONFIG=keys)
