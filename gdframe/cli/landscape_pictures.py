"""Pictures of a landscape: contours or a curve with paths, and an animation of the descent."""

from __future__ import annotations

import io
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.animation import FFMpegWriter
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from gdframe.cli.landscape import Landscape, RetracedRun, landscape, minima
from gdframe.config.folders import claim
from gdframe.drawing import COLORS, WARM, new_axes, png
from gdframe.errors import UserError, bad_value, printable
from gdframe.runs.files import remove_unfinished, require_place, require_writable, write_atomically
from gdframe.runs.picture_files import LANDSCAPE, picture_path

FRAMES, FRAME_MILLISECONDS, HOLD_MILLISECONDS = 60, 60, 1500
"""Number of frames of an animation, duration of a frame, and duration of the last frame."""

LEVELS = 30
"""Number of contours."""

PATHS = (WARM, "#FFFFFF", "#CC79A7", "#E69F00", "#00FFFF", "#FF0000", "#000000", "#FF00FF")
"""Colours of paths that are visible on contours."""

LINES = (*COLORS[1:], "#8B4513")
"""Colours of paths over one dimension; the first colour is the objective's."""


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
        require_place(root)
    else:
        require_writable(root, f"{'' if output is None else '--output '}{root}")
    result = landscape(*runs, **settings)
    folder = root if output is not None or len(runs) == 1 else claim(root)
    path = root if is_picture else picture_path(folder, LANDSCAPE)
    remove_unfinished(path.parent, path.name)
    write_atomically(path, picture(result))
    lines = [("picture", str(path))]
    if not result.between and result.plane.share < 1:
        lines.append(("plane", f"shows {result.plane.share:.1%} of the variation of the path"))
    low, high = float(np.nanmin(result.values)), float(np.nanmax(result.values))
    lines.append(("objective", f"{low:.6g} to {high:.6g} in the picture"))
    if animate is not None:
        animation(result, Path(animate))
        lines.append(("animation", animate))
    return "\n".join(printable(f"{name:<14}{value}") for name, value in lines)


def picture(result: Landscape) -> bytes:
    """Return a landscape as a PNG file."""
    figure, _ = _draw(result)
    return png(figure)


def animation(result: Landscape, path: Path) -> None:
    """Write the descent as a GIF, or as an MP4, which needs ffmpeg.

    Raises:
        OSError: the file cannot be written.
    """
    longest = max(len(points) for points in result.paths)
    ends = np.unique(np.geomspace(2, max(2, longest), FRAMES).astype(int))
    if path.suffix == ".mp4":
        write_atomically(path, _film(result, ends, path))
        return
    figure, artists = _draw(result)
    frames = []
    for end in ends:
        _show(result, artists, int(end), figure)
        frames.append(Image.open(io.BytesIO(png(figure))).convert("P", palette=Image.Palette.WEB))
    durations = [FRAME_MILLISECONDS] * (len(frames) - 1) + [HOLD_MILLISECONDS]
    buffer = io.BytesIO()
    frames[0].save(
        buffer, "GIF", save_all=True, append_images=frames[1:], duration=durations, loop=0
    )
    write_atomically(path, buffer.getvalue())


def _film(result: Landscape, ends: Iterable[int], path: Path) -> bytes:
    """Return the descent as an MP4 file.

    Raises:
        UserError: ffmpeg fails.
    """
    figure, artists = _draw(result)
    writer: Any = FFMpegWriter(fps=1000 // FRAME_MILLISECONDS)
    with TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        try:
            with writer.saving(figure, str(film), dpi=100):
                for end in ends:
                    _show(result, artists, int(end), figure)
                    writer.grab_frame()
            return film.read_bytes()
        except (CalledProcessError, OSError) as error:
            raise UserError(
                f"--animate {path}: ffmpeg failed ({type(error).__name__}); check that it "
                "works, or use .gif"
            ) from error


def _show(result: Landscape, artists: list[tuple[Any, Any]], end: int, figure: Figure) -> None:
    """Show the first ``end`` points of each path, and the step in the title."""
    steps = max(int(run.path.steps[min(end, len(run.path.steps)) - 1]) for run in result.runs)
    axes = figure.axes[0]
    axes.set_title(f"{axes.get_title().split(', step ')[0]}, step {steps:,}", fontsize=11)
    for points, (line, head) in zip(result.paths, artists, strict=True):
        part = points[: min(end, len(points))]
        x, y = (part[:, 0], part[:, 1]) if part.shape[1] == 2 else (part[:, 0], line.heights[:end])
        line.artist.set_data(x, y[: len(x)])
        head.set_data(x[-1:], y[len(x) - 1 : len(x)])


class _Line:
    """The line of a path, with its vertical coordinates."""

    def __init__(self, artist: Any, heights: NDArray[np.float64]) -> None:
        self.artist, self.heights = artist, heights


def _draw(result: Landscape) -> tuple[Figure, list[tuple[Any, Any]]]:
    figure, axes = new_axes()
    artists = (_line if len(result.grid) == 1 else _contour)(result, axes, figure)
    models = ", ".join(dict.fromkeys(str(run.result["model"]) for run in result.runs))
    share = result.plane.share
    variation = f": {share:.1%} of the variation of the path" if share < 1 else ""
    axes.set_title(f"objective of {models}{variation}", fontsize=11)
    axes.set_xlabel(result.plane.labels[0])
    if len(result.grid) == 2:
        axes.set_ylabel(result.plane.labels[1])
    handles, labels = axes.get_legend_handles_labels()
    # outside, so that it covers nothing; on grey, so that white lines are visible
    figure.legend(handles, labels, fontsize=9, loc="outside lower center", ncols=2,
                  facecolor="#BBBBBB", framealpha=1.0)  # fmt: skip
    return figure, artists


def _contour(result: Landscape, axes: Axes, figure: Figure) -> list[tuple[Any, Any]]:
    values = result.values
    low, high = float(np.nanmin(values)), float(np.nanpercentile(values, 98))
    norm: Normalize
    if low > 0 and high > 20 * low:
        levels, norm = np.geomspace(low, high, LEVELS), LogNorm(low, high)
    else:  # closer levels near the bottom
        levels = low + (high - low) * np.linspace(0, 1, LEVELS) ** 2
        norm = Normalize(low, high)
    levels = np.unique(levels)
    if len(levels) < 2:
        levels = np.array([low - 0.5, low + 0.5])
    x, y = result.grid
    axes.grid(visible=False)
    filled = axes.contourf(x, y, values, levels=levels, cmap="viridis", norm=norm, extend="max")
    axes.contour(x, y, values, levels=levels, colors="white", linewidths=0.3, alpha=0.5)
    figure.colorbar(filled, ax=axes, label="objective", format="%.3g")
    artists = []
    colors = (WARM,) if len(result.runs) == 1 else PATHS
    for color, points, name in zip(colors, result.paths, _legends(result), strict=False):
        (line,) = axes.plot(*points.T, "-", color=color, lw=1.6, label=name)
        axes.plot(*points[0], "o", color="white", mec=color, ms=6)
        (head,) = axes.plot(*points[-1:].T, "o", color=color, mec="white", ms=7)
        artists.append((_Line(line, points[:, 1]), head))
    points = result.plane.project(minima(result.runs[0]))
    if result.plane.share == 1:
        inside = [p for p in points if x[0] <= p[0] <= x[-1] and y[0] <= p[1] <= y[-1]]
        if inside:
            axes.plot(*np.array(inside).T, "*", color="white", mec="black", ms=12, ls="",
                      label="global minimum")  # fmt: skip
    axes.set_xlim(x[0], x[-1])
    axes.set_ylim(y[0], y[-1])
    return artists


def _line(result: Landscape, axes: Axes, figure: Figure) -> list[tuple[Any, Any]]:
    (x,), values = result.grid, result.values
    axes.plot(x, values, color=COLORS[0], lw=1.5, label="objective")
    if values.min() > 0 and values.max() > 100 * values.min():
        axes.set_yscale("log")
    axes.set_ylabel("objective")
    if result.between:
        for end, name, color in zip((0.0, 1.0), _legends(result), COLORS[1:], strict=False):
            axes.axvline(end, color=color, lw=1.2, ls="--", label=name)
        return []
    artists = []
    for color, points, name in zip(LINES, result.paths, _legends(result), strict=False):
        heights = np.interp(points[:, 0], x, values)
        (line,) = axes.plot(points[:, 0], heights, ".-", color=color, label=name)
        (head,) = axes.plot(points[-1:, 0], heights[-1:], "o", color=color, mec="white", ms=8)
        artists.append((_Line(line, heights), head))
    return artists


def _legends(result: Landscape) -> list[str]:
    """Return a unique legend for each run, with the seed and the folder only if needed."""
    names = [_legend(run) for run in result.runs]
    if len(set(names)) < len(names):
        names = [
            f"{n}, seed {run.result['seed']}" for n, run in zip(names, result.runs, strict=True)
        ]
    if len(set(names)) < len(names):
        names = [f"{n} ({run.folder.name})" for n, run in zip(names, result.runs, strict=True)]
    return names


def _legend(run: RetracedRun) -> str:
    result = run.result
    return f"{result['optimizer']}, lr {result['lr']:g}, {result['variant']}: {result['status']}"
