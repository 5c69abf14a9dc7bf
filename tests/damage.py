"""Damages files of runs and sweeps, as accidents and strangers do, each by a seed."""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
import yaml
from safetensors import safe_open
from torch import Tensor

from gdframe.runs.checkpoint_file import content_digest

NASTY: list[Any] = [
    None, True, -1, 0, 3, 10**15, 1 << 70, -(1 << 70), 1e308, 1e-320, "", "text",
    "\x1b[31m\x07\x9b", "\u202e\n", "=1+1", "${oc.env:HOME}", "${seed}", "${gdframe_folder:leak}",
    "../..", "/etc/passwd", "???", [], [[]], {}, {"name": "x"}, {"name": ["x"]}, ["a", 1], 0.5,
    "\ud800", "a" * 10_000,
]  # fmt: skip
"""Values in place of others."""

RAW = (
    "1e400",
    "-1e400",
    "NaN",
    "Infinity",
    "9" * 5000,
    "[" * 100_000,
    "{",
    "&a [*a]",
    "!!python/x y",
)
"""Text in place of a value, which no writer of plain values makes."""

ESCAPES = "\x1b[31m\x07\x9b\u202e"
"""Characters that must never reach a terminal."""


def signed(tensors: Mapping[str, Tensor], facts: Any) -> bytes:
    """Return a checkpoint with the right digest."""
    text = json.dumps(facts)
    metadata = {"facts": text, "digest": content_digest(dict(tensors), text)}
    return safetensors.torch.save(dict(tensors), metadata)


def flip(path: Path, draw: random.Random) -> None:
    content = bytearray(path.read_bytes() or b"x")
    for _ in range(draw.choice([1, 1, 3, 30])):
        content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
    path.write_bytes(content)


def truncate(path: Path, draw: random.Random) -> None:
    size = path.stat().st_size
    os.truncate(path, draw.choice([0, 1, size // 2, max(0, size - 1), draw.randrange(size + 1)]))


def grow(path: Path, draw: random.Random) -> None:
    if draw.random() < 0.3:
        os.truncate(path, draw.choice([1 << 20, 1 << 40]))  # with a hole, which takes no space
        return
    extra = draw.choice([b"\0" * 100, b"\xff\xfe", b"[" * 5000, draw.randbytes(1000), b"\n- a: b"])
    path.write_bytes(path.read_bytes() + extra)


def no_text(path: Path, draw: random.Random) -> None:
    path.write_bytes(draw.choice([b"\xff\xfe\xfa", b"\xc3\x28", draw.randbytes(500), b"\0" * 300]))


def swap(path: Path, draw: random.Random) -> None:
    """Put another file of the folder in its place."""
    others = [
        other for other in sorted(path.parent.rglob("*")) if other.is_file() and other != path
    ]
    if others:
        path.write_bytes(draw.choice(others).read_bytes())


def remove(path: Path, draw: random.Random) -> None:
    path.unlink()


def replace(path: Path, draw: random.Random) -> None:
    """Put something that is no file in its place."""
    path.unlink()
    kind = draw.choice(["folder", "pipe", "link", "dangling link", "device", "loop"])
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        root = next(parent for parent in path.parents if (parent / "outside").is_dir())
        target = {"link": root / "outside" / "secret", "dangling link": root / "outside" / "none",
                  "device": "/dev/zero", "loop": path}[kind]  # fmt: skip
        path.symlink_to(target)


def replace_parent(path: Path, draw: random.Random) -> None:
    """Put a link to a folder outside in place of the file's folder, if that is a part of a run."""
    if path.parent.name not in (".hydra", "checkpoint"):
        return replace(path, draw)
    shutil.rmtree(path.parent)
    root = next(parent for parent in path.parents if (parent / "outside").is_dir())
    path.parent.symlink_to(root / "outside")
    return None


def places(content: Any, place: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the places of all values in a tree."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    inner = [
        deeper for key, value in items if isinstance(value, (dict, list))
        for deeper in places(value, (*place, key))
    ]  # fmt: skip
    return [
        (*place, key) for key in (content if isinstance(content, dict) else range(len(content)))
    ] + inner


def change(content: Any, draw: random.Random, values: list[Any]) -> Any:
    """Return a tree with a value changed or removed, or a key added."""
    if not isinstance(content, (dict, list)) or not content or draw.random() < 0.05:
        return draw.choice(values)
    *path, last = draw.choice(places(content))
    inner = content
    for key in path:
        inner = inner[key]
    action = draw.choice(["set", "set", "set", "remove", "add"])
    if action == "set":
        inner[last] = draw.choice(values)
    elif action == "remove":
        del inner[last]
    elif isinstance(inner, dict):
        inner[draw.choice(["name", "x", ESCAPES, "${seed}", ""])] = draw.choice(values)
    else:
        inner.append(draw.choice(values))
    return content


PLACEHOLDER = "damaged value"


def write_tree(path: Path, draw: random.Random, load: Any, dump: Callable[[Any], str]) -> None:
    """Change a tree of plain values, now and then into text that no writer makes."""
    try:
        content = load(path.read_text())
    except (ValueError, yaml.YAMLError):
        return flip(path, draw)
    is_raw = draw.random() < 0.2
    text = dump(change(content, draw, [PLACEHOLDER] if is_raw else NASTY))
    if is_raw:
        raw = draw.choice(RAW)
        text = text.replace(f'"{PLACEHOLDER}"', raw).replace(PLACEHOLDER, raw)
    path.write_bytes(text.encode(errors="surrogatepass"))
    return None


def tree(path: Path, draw: random.Random) -> None:
    """Change a value of a JSON or YAML file, of a table, or of a header."""
    if path.suffix == ".json":
        write_tree(path, draw, json.loads, json.dumps)
    elif path.suffix == ".yaml":
        write_tree(path, draw, yaml.safe_load, yaml.safe_dump)
    elif path.suffix == ".safetensors":
        (resigned if path.name.startswith("step-") else header)(path, draw)
    elif path.suffix == ".csv":
        lines = path.read_text().splitlines()
        lines[draw.randrange(len(lines))] = draw.choice(
            ["a,b", "nan,nan", '"', ",,,,", ESCAPES, "=1+1"]
        )
        path.write_text("\n".join(lines))
    else:
        flip(path, draw)


def resigned(path: Path, draw: random.Random) -> None:
    """Change the facts or the tensors of a checkpoint, and sign it."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()["facts"])
    if draw.random() < 0.5:
        facts = change(facts, draw, [v for v in NASTY if v != "\ud800"])
    else:
        name = draw.choice(sorted(tensors))
        value = tensors[name]
        tensors[name] = draw.choice([
            value[..., :-1].clone() if value.ndim else value[None], value.to(torch.bfloat16),
            torch.zeros(0), value * float("nan") if value.is_floating_point() else value,
            torch.zeros(3, 3), -value - 1, value.reshape(1, *value.shape), value.to(torch.int8),
        ])  # fmt: skip
        if draw.random() < 0.3:
            del tensors[name]
    path.write_bytes(signed({name: v.contiguous() for name, v in tensors.items()}, facts))


def header(path: Path, draw: random.Random) -> None:
    """Change a value in the header of a safetensors file, in its metadata too."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    values = json.loads(content[8 : 8 + length])
    texts = values.get("__metadata__", {})
    if path.name == "model.safetensors":
        texts.pop("digest", None)  # as in a file that a stranger wrote
    if texts and draw.random() < 0.7:
        key = draw.choice(sorted(texts))
        texts[key] = json.dumps(change(json.loads(texts[key]), draw, NASTY))
    else:
        values = change(values, draw, NASTY)
    text = json.dumps(values).encode()
    size = len(text) if draw.random() < 0.9 else draw.choice([0, 1 << 20, 1 << 63, len(text) - 1])
    path.write_bytes(struct.pack("<Q", size) + text + content[8 + length :])


DAMAGES: tuple[Callable[[Path, random.Random], None], ...] = (
    flip, truncate, grow, no_text, swap, remove, replace, replace_parent,
    tree, tree, tree, tree, tree,
)  # fmt: skip
"""Damages; those of trees are the most frequent."""


def snapshot(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return kind and content of everything in a folder, without following links."""
    entries = {}
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(root, name)
            mode = path.lstat().st_mode
            content = b""
            if path.is_symlink():
                content = str(path.readlink()).encode()
            elif path.is_file() and path.stat().st_size < 1 << 28:
                content = path.read_bytes()
            entries[str(path.relative_to(folder))] = mode, content
    return entries
