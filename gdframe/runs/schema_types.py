"""Types of the values in the files of runs and sweeps."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

Count = Annotated[int, Meta(ge=0, le=1 << 53)]
"""A number of steps, rows or epochs."""

Index = Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)]

Finite = Annotated[float, Meta(ge=-1.797e308, le=1.797e308)]

Number = Finite | None
"""A finite number, or null for one that is not finite."""

MOST_TEXT = 100_000
"""Most characters of a text that is shown, and most metrics of a run."""

Text = Annotated[str, Meta(max_length=MOST_TEXT)]

Numbers = Annotated[dict[Text, Number], Meta(max_length=MOST_TEXT)]

Label = str | bool | Index | Finite
