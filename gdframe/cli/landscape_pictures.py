"""The pictures of the verb ``landscape``: contours or a curve with paths, and an animation."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gdframe.cli.landscape import Landscape, landscape
from gdframe.cli.landscape_animation import animation
from gdframe.cli.landscape_drawing import draw_landscape
from gdframe.config.folders import claim
from gdframe.drawing import DARK, LIGHT, Look, png
from gdframe.errors import UserError, bad_value, printable
from gdframe.runs.files import remove_unfinished, require_place, require_writable, write_atomically
from gdframe.runs.output_file import is_of_others, refuse_others, require_output
from gdframe.runs.picture_files import LANDSCAPE, dark_path, picture_path


def write_pictures(
    runs: Sequence[str], *, animate: str | None, output: str | None, **settings: Any
) -> str:
    """Write the pictures that the command line requests, and return the text to print.

    Raises:
        UserError: the animation or the landscape cannot be made; nothing was written.
        OSError: a file cannot be written.
    """
    if animate is not None and not re.search(r"\.(gif|mp4)$", animate):
        raise bad_value(f"--animate {animate}", "a file that ends in .gif or .mp4")
    if animate is not None and settings.get("between"):
        raise UserError(
            "--animate with --between: there is no path to animate; give only one of them"
        )
    if animate is not None and animate.endswith(".mp4") and shutil.which("ffmpeg") is None:
        raise UserError(f"--animate {animate}: ffmpeg is not installed; install it, or use .gif")
    if animate is not None:
        require_place(animate, "--animate")
    root = Path(output or (runs[0] if len(runs) == 1 else "outputs/landscape"))
    is_picture = output is not None and root.suffix == ".png"
    if output is not None and root.suffix not in ("", ".png") and not root.is_dir():
        raise bad_value(f"--output {output}", "a folder, or a file that ends in .png")
    if is_picture:
        require_output(root, (".png",))
    else:
        require_writable(root, f"{'' if output is None else '--output '}{root}")
        default = picture_path(root, LANDSCAPE)
        refuse_others([default, dark_path(default)])
    result = landscape(*runs, **settings)
    folder = root if output is not None or len(runs) == 1 else claim(root)
    path = root if is_picture else picture_path(folder, LANDSCAPE)
    remove_unfinished(path.parent, path.name)
    write_atomically(path, picture(result))
    dark = dark_path(path)
    if not is_picture or (dark.exists() and not is_of_others(dark)):  # the report shows it
        write_atomically(dark, picture(result, DARK))
    lines = [("picture", str(path))]
    if not result.between and result.plane.share < 1:
        lines.append(("plane", f"shows {result.plane.share:.1%} of the variation of the path"))
    low, high = float(np.nanmin(result.values)), float(np.nanmax(result.values))
    lines.append(("objective", f"{low:.6g} to {high:.6g} in the picture"))
    if animate is not None:
        animation(result, Path(animate))
        lines.append(("animation", animate))
    return "\n".join(printable(f"{name:<14}{value}") for name, value in lines)


def picture(result: Landscape, look: Look = LIGHT) -> bytes:
    """Return a landscape as a PNG file."""
    figure, _ = draw_landscape(result, look)
    return png(figure, look)
