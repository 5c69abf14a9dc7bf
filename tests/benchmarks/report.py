"""Writes what was measured as Markdown, and puts it into a file between two marks."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from problems import PROBLEMS

NAMES = {"sklearn": "scikit-learn", "jax": "JAX", "torch": "PyTorch loop", "c": "C loop",
         "product": "one XᵀX"}  # fmt: skip
BEGIN, END = "<!-- benchmarks: begin -->", "<!-- benchmarks: end -->"


def tables(results: dict[str, Any], growth: dict[str, Any], rounds: int) -> str:
    """Return both tables and the machine's description."""
    lines = [
        f"Measured on {machine()}, float32, one thread unless said; medians of {rounds} round(s). "
        "Times are of an update of one run, loss and gradient norm recorded (scikit-learn records "
        'neither); "process" is a whole process that trains one epoch of each row\'s data, import '
        "to end.",
        "",
        "| work | engine | gdframe | compile: first, cached | process | peer | its update | "
        "process | gdframe is | wanted | difference |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for problem in PROBLEMS:
        if problem.name not in results:
            continue
        result = results[problem.name]
        for index, (who, peer) in enumerate(result["peers"].items()):
            first_cells = [
                f"{problem.name}" + (f", {problem.threads} threads" if problem.threads > 1 else ""),
                problem.engine, seconds(result["update"]),
                f"{result['cold']:.1f} s, {result['warm']:.1f} s", f"{result['whole']:.1f} s",
            ]  # fmt: skip
            cells = first_cells if index == 0 else [""] * len(first_cells)
            cells += [
                NAMES[who], seconds(peer["update"]), f"{peer['whole']:.1f} s",
                ratio(peer["ratio"]), goal(problem.reach[who]), peer["agrees"],
            ]  # fmt: skip
            lines.append("| " + " | ".join(cells) + " |")
    if growth:
        lines += ["", "| what grows | values | time | exponent |", "|---|---|---|---|"]
        for name, (values, times, slope) in growth.items():
            shown = ", ".join(f"{value:,}" for value in values)
            lines.append(
                f"| {name} | {shown} | {', '.join(seconds(t) for t in times)} | {slope:.2f} |"
            )
    return "\n".join(lines)


def seconds(value: float) -> str:
    """Write a time with three digits and a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def ratio(value: float) -> str:
    """Write how many times faster, or slower."""
    if value >= 10:
        return f"{value:,.0f}x faster"
    return f"{value:.3g}x faster" if value >= 1 else f"{1 / value:.3g}x slower"


def goal(value: float) -> str:
    """Write how many times faster it should be, or how close."""
    if value == 1:
        return "as fast"
    return f"{value:,.4g}x faster" if value > 1 else f"within {1 / value:.2g}x"


def machine() -> str:
    """Describe the processor, the cores in use and the versions of what is compared."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    versions = []
    for name in ("torch", "numba", "scikit-learn", "jax", "optax"):
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores of an {model}, Python {platform.python_version()}, {', '.join(versions)}"


def write(path: Path, text: str, begin: str = BEGIN, end: str = END) -> None:
    """Replace what lies between the marks of a file."""
    before, _, rest = path.read_text().partition(begin)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")
