"""The animation of a descent over its landscape, as a GIF or an MP4 file."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from subprocess import CalledProcessError
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.animation import FFMpegWriter
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray
from PIL import Image

from gdframe.cli.landscape import Landscape
from gdframe.cli.landscape_drawing import DrawnPath, draw_landscape
from gdframe.errors import UserError
from gdframe.runs.files import write_atomically

FRAMES, FRAME_MILLISECONDS, HOLD_MILLISECONDS = 60, 60, 900
"""Number of frames of an animation, duration of a frame, and duration of the last frame."""

COLORS, RESOLUTION = 256, 110
"""Colours of a GIF, and its dots per inch."""


def animation(result: Landscape, path: Path) -> None:
    """Write the descent as a GIF, or as an MP4, which needs ffmpeg.

    Raises:
        OSError: the file cannot be written.
    """
    moments = moments_of([run.path.steps for run in result.runs], scaled(result))
    if path.suffix == ".mp4":
        write_atomically(path, _film(result, moments, path))
        return
    frames = list(_frames(result, moments))
    palette = frames[-1].quantize(COLORS)  # the last frame has all paths
    images = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    durations = [FRAME_MILLISECONDS] * (len(images) - 1) + [HOLD_MILLISECONDS]
    buffer = io.BytesIO()
    images[0].save(
        buffer, "GIF", save_all=True, append_images=images[1:], duration=durations, loop=0
    )
    write_atomically(path, buffer.getvalue())


def _frames(result: Landscape, moments: NDArray[np.float64]) -> Iterator[Image.Image]:
    """Yield the pictures of moments; the landscape below the paths is drawn once."""
    figure, paths = draw_landscape(result)
    figure.set_dpi(RESOLUTION)
    canvas: Any = FigureCanvasAgg(figure)  # its methods carry no types
    axes = figure.axes[0]
    heads = [path.head for path in paths]
    moving: list[Artist] = [axes.title, *(path.line for path in paths), *heads]
    for artist in moving:
        artist.set_animated(True)
    canvas.draw()
    ground = canvas.copy_from_bbox(figure.bbox)
    for moment in moments:
        _show(result, paths, moment)
        canvas.restore_region(ground)
        for artist in moving:
            axes.draw_artist(artist)
        yield Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def scaled(result: Landscape) -> list[NDArray[np.float64]]:
    """Return the paths in units of the picture's axes."""
    sizes = np.array([axis[-1] - axis[0] for axis in result.grid])
    return [points / sizes for points in result.paths]


def moments_of(
    steps: Sequence[NDArray[np.int64]], paths: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the step that each frame shows: between two frames, the paths move equally far.

    Args:
        steps: (points,) steps done at each point of each path.
        paths: (points, dimensions) each, in units of the picture.
    """
    all_steps = np.unique(np.concatenate(steps)).astype(float)
    moved = np.zeros(len(all_steps))
    for at, points in zip(steps, paths, strict=True):
        lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
        moved += np.interp(all_steps, at, np.concatenate([[0.0], np.cumsum(lengths)]))
    is_later = np.diff(moved, prepend=-1.0) > 0  # np.interp asks for ascending values
    if is_later.sum() < 2:
        return all_steps[-1:]
    wanted = np.linspace(0, moved[-1], FRAMES)
    moments: NDArray[np.float64] = np.interp(wanted, moved[is_later], all_steps[is_later])
    return np.append(moments[:-1], all_steps[-1])


def until(
    steps: NDArray[np.int64], points: NDArray[np.float64], moment: float
) -> NDArray[np.float64]:
    """Return the points of a path until a step, with one on the way to the next point."""
    count = int(np.searchsorted(steps, moment, side="right"))
    part = points[:count]
    if count < len(steps) and moment > steps[count - 1]:
        last = [np.interp(moment, steps, column) for column in points.T]
        part = np.vstack([part, last])
    return part


def _show(result: Landscape, paths: Sequence[DrawnPath], moment: float) -> None:
    """Show the paths until a step, and the step in the title."""
    for run, path in zip(result.runs, paths, strict=True):
        part = until(run.path.steps, path.points, moment)
        path.line.set_data(*part.T)
        path.head.set_data(*part[-1:].T)
    axes: Any = paths[0].line.axes
    title = axes.get_title().partition(", step ")[0]
    axes.set_title(f"{title}, step {int(moment):,}", fontsize=10)


def _film(result: Landscape, moments: NDArray[np.float64], path: Path) -> bytes:
    """Return the descent as an MP4 file.

    Raises:
        UserError: ffmpeg fails.
    """
    figure, paths = draw_landscape(result)
    writer: Any = FFMpegWriter(fps=1000 // FRAME_MILLISECONDS)
    with TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        try:
            with writer.saving(figure, str(film), dpi=100):
                for moment in moments:
                    _show(result, paths, moment)
                    writer.grab_frame()
            return film.read_bytes()
        except (CalledProcessError, OSError) as error:
            raise UserError(
                f"--animate {path}: ffmpeg failed ({type(error).__name__}); check that it "
                "works, or use .gif"
            ) from error
