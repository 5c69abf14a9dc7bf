"""Command lines with hostile values: they end by an exit code of the guide, and say why.

A sample runs with the other tests. ``python -m pytest -m slow tests/cli/test_fuzz.py`` runs
``CASES`` command lines; the environment variable ``GDFRAME_FUZZ`` (``FIRST:END``) chooses others.
"""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import call, command_line, fork, output
from kills import CHANGES, WRITING

from gdframe.config.schema import GROUPS, Schema, defaults, names

CASES = 3_000
SAMPLE = range(10_000, 10_012)

SECONDS = 60.0
"""Most that a command line takes."""

MEMORY = 2 << 30
"""Most bytes that a command line takes."""

CODES = (0, 1, 2, 3, 130)
"""Exit codes of the guide."""

LONGEST = 4_000
"""Most characters of the message for wrong input."""

QUICK = {
    "data": ("data=regression", "data.rows=40", "data.features=3"),
    "epochs": ("epochs=2",),
    "stopping.time_limit": ("stopping.time_limit=2",),
    "logging.progress": ("logging.progress=false",),
}
"""Overrides that keep training short, each unless a case sets its key."""

SIZES = (
    0, -1, 1, 3, 10**4, 10**6, 10**8, 10**10, 10**13, 10**19, 2**31, 2**53, 2**63 - 1, 2**63,
    10**40, 10**160, 10**400,
)  # fmt: skip

NUMBERS = (
    "0", "-0.0", "1", "-1", "0.5", "1e308", "-1e308", "1e-320", "1e400", "nan", "inf", "-inf",
    "1_000", "0x10", "1e3", "true", "9" * 400, "10000000000", "'1'",
)  # fmt: skip

TEXTS = (
    "", " ", "''", "'  '", "null", "NULL", "[]", "{}", "[[[]]]", "[1,-2]", "{a:1}", "{a:{b:[1]}}",
    "${model}", "${lr}", "${oc.env:X}", "${oc.env:HOME}", "${nothing}", "${", "$", "${hydra:job}",
    "${data.rows}", "\\${model}", "é", "日本語", "\u202e", "\x00", "\n", "a\nb", "\t", "\x1b[31m",
    "'", '"', "\\", "a b", "a=b", "a,b", "(", "]", "x" * 100_000, "'" + "x y" * 3_000 + "'",
    "../../x", "/", ".", "..", "/dev/null", "/dev/zero", "/dev/stdin", "~nosuchuser/x.csv",
    "~/x.csv", "t.csv", "link.csv", "pipe.csv", "empty.csv", "bytes.csv", "folder.csv", "null.csv",
    "nul.parquet", "made", "sweep", "range(3)", "range(10000000000)", "range(0,1,0.000000001)",
    "choice(1,2)", "interval(0,1)", "glob(*)", "glob(*,exclude=x)", "tag(a,1)", "int(1)", "sort(1)",
    "shuffle(1,2)", "extend_list(1)", "@", "*", "-", "--", "%s", "{0}", "\ud83d\ude00",
)  # fmt: skip

WORDS = (
    "@=1", "=", "==", "=1", "hydra=1", "hydra=null", "hydra.job_logging=1", "~hydra", "~",
    "hydra.job_logging.root.level=1", "hydra.job_logging.root.level=NOPE", "+", "++", "++=",
    "hydra.job_logging.handlers=null", "hydra/job_logging=none", "hydra/job_logging=disabled",
    "hydra/job_logging=stdout", "hydra.output_subdir=x", "hydra.output_subdir=../x", "hydra.run=1",
    "hydra.run.dir=", "hydra.run.dir=.", "hydra.run.dir=new/../b", "hydra.run.dir=t.csv",
    "hydra.run.dir=link.csv", "hydra.run.dir=null", "hydra.run.dir=[1]", "hydra.run.dir=new/a",
    "hydra.sweep.dir=", "hydra.sweep.dir=null", "hydra.sweep.subdir=x", "hydra.sweep.subdir=",
    "hydra.sweep.subdir=../x", "sweep.dir=", "sweep.dir=null", "sweep.dir=made", "sweep.dir=sweep",
    "hydra.mode=RUN", "hydra.mode=MULTIRUN", "hydra.mode=x", "hydra.launcher=1", "hydra.job.num=1",
    "hydra.job.chdir=true", "hydra.job.name=x/y", "hydra.verbose=true", "hydra.verbose=[x]",
    "hydra.job.env_set.X=1", "hydra.searchpath=[x]", "hydra.help.template=x", "hydra.sweeper=1",
    "hydra/launcher=basic", "hydra/sweeper=basic", "hydra/launcher=x", "hydra/output=x",
    "hydra.launcher.batch=0", "hydra.launcher.batch=x", "hydra.sweeper.max_batch_size=0",
    "hydra.sweeper.params=1", "hydra.callbacks.x=1", "+hydra.callbacks.x._target_=os.getcwd",
    "sweep.metric=x", "sweep.metric=", "sweep.pack=[1]", "sweep.pack=x", "sweep.reuse=true",
    "sweep=1", "sweep=null", "sweep.x=1", "plugins=[]", "plugins=x", "plugins=[x.py]",
    "plugins=[rule.py]", "plugins=[pipe.csv]", "plugins=[1]", "plugins=null", "plugins=[[]]",
    "schedule.then=[1,-2]", "logging.max_points=null", "debug=true", "metric=[a,b]",
    "observer=[csv,csv]", "stopping=[early,time]", "stopping=default", "experiment=[a]", "-m",
    "experiment=initialisation", "schema=1", "data@model=iris", "model@data:x=mlp", "lr@x=1",
    "override=1", "defaults=[]", "/data=iris", "data/x=1", "data.=1", ".data=1", "data..rows=1",
    "data[0]=1", "data.rows[0]=1", "--help", "--hydra-help", "--version", "--cfg", "--cfg=job",
    "--config-dir=x", "--config-dir=/dev/null", "--config-name=x", "--config-path=x", "--info",
    "--resolve", "--package=x", "-p", "--run", "--multirun", "--shell-completion", "--nothing",
    "--experimental-rerun=x", "", " ", "\n",
)  # fmt: skip
"""Whole words of a command line."""


def keys() -> dict[str, tuple[str, Any]]:
    """Return the group's choice, if any, and the default of each key of the schema."""
    defaults_by_key: dict[str, tuple[str, Any]] = {}
    for key, kind in Schema.__annotations__.items():
        if kind in ("float", "int", "str", "bool"):
            defaults_by_key[key] = "", {"float": 0.1, "int": 1, "str": "", "bool": True}[kind]
    for group in GROUPS:
        for name in names(group) if group not in ("variant", "experiment") else ():
            choice = "" if name == "default" else f"{group}={name}"
            content = defaults(group, name) or {}
            several = content.get("name") == name and group in ("metric", "observer", "stopping")
            for key, default in content.items():
                place = f"{group}.{name}.{key}" if several else f"{group}.{key}"
                defaults_by_key[f"{place}|{choice}"] = choice, default
    return defaults_by_key


KEYS = keys()


def value(draw: random.Random, default: Any) -> str:
    """Return a value of a key, mostly of its type."""
    kind = draw.random()
    if kind < 0.25:
        return draw.choice(TEXTS)
    if kind < 0.35:
        return draw.choice(NUMBERS)
    if isinstance(default, bool):
        return draw.choice(("true", "false", "0", "yes"))
    if isinstance(default, list):
        return f"[{','.join(str(draw.choice(SIZES)) for _ in range(draw.randrange(4)))}]"
    if isinstance(default, int):
        return str(draw.choice(SIZES))
    if isinstance(default, float):
        return draw.choice(NUMBERS)
    return draw.choice((*TEXTS, str(default), str(draw.choice(SIZES))))


def override(draw: random.Random) -> list[str]:
    """Return an override with a hostile value, after the choice of a group that it needs."""
    kind = draw.random()
    if kind < 0.2:
        return [draw.choice(WORDS)]
    prefix = draw.choice(("", "", "", "", "", "+", "++", "~"))
    if kind < 0.3:
        group = draw.choice(GROUPS)
        return [f"{prefix}{group}={draw.choice((*TEXTS, *names(group), *names(group)))}"]
    place, (choice, default) = draw.choice(sorted(KEYS.items(), key=lambda item: item[0]))
    key = place.partition("|")[0]
    word = f"{prefix}{key}={value(draw, default)}"
    return [choice, word] if choice else [word]


def quick(words: Sequence[str]) -> list[str]:
    """Return words, and before them what keeps the training short."""
    used = {word.lstrip("+~").partition("=")[0] for word in words}
    short = [
        text
        for key, texts in QUICK.items()
        for text in texts
        if key not in used and text.partition("=")[0] not in used
    ]
    return [*short, *words]


def verb(draw: random.Random) -> list[str]:
    """Return a verb with hostile arguments."""
    files = (*TEXTS, "made", "made", "made", "sweep", "sweep", "sweep/0")
    size = str(draw.choice((*SIZES, *NUMBERS, "")))
    output = draw.choice(("x.png", "x.csv", "x.html", "nowhere/x.csv", "new/x.png", *TEXTS))
    options = {
        "list": [draw.choice((*GROUPS, *TEXTS))],
        "resume": [draw.choice(files), *override(draw)],
        "predict": [draw.choice(files), draw.choice((*TEXTS, "rows.csv")), "--output", output],
        "lr-range": [*quick(override(draw)), draw.choice(("--points", "--low")), size],
        "landscape": [draw.choice(files), draw.choice(("--points", "--rows")), size],
        "report": [draw.choice(files), "--output", output],
        "watch": [draw.choice(files), "--every", draw.choice(("1", "0", "nan", size))],
        "guide": [draw.choice(("theory", *TEXTS))],
    }
    name = draw.choice(sorted(options))
    words = options[name]
    if draw.random() < 0.2:
        draw.shuffle(words)
    if name == "landscape" and draw.random() < 0.5:
        words += draw.choice(
            (["--between"], ["--parameters", draw.choice(TEXTS)], ["--animate", output])
        )
    return [name, *words]


def case(number: int) -> list[str]:
    """Return the words of a command line."""
    draw = random.Random(number)
    kind = draw.random()
    if kind < 0.2:
        return [w for w in verb(draw) if "\x00" not in w and "\ud83d" not in w]
    words = [word for _ in range(draw.choice((1, 1, 2, 3))) for word in override(draw)]
    if draw.random() < 0.05:
        words.append(draw.choice(words))  # a duplicate
    if kind < 0.45:
        values = [value(draw, 0.1), value(draw, 0.1)]
        words = ["-m", *words, f"lr={','.join(values)}" if draw.random() < 0.7 else "seed=range(3)"]
    return [word for word in quick(words) if "\x00" not in word and "\ud83d" not in word]


@dataclass(frozen=True)
class Confined:
    """Runs a command line with little memory; what it writes elsewhere is written to a file.

    Args:
        folder: where it may write.
        cache: where it may write too: compiled code, which takes seconds to make.
    """

    folder: Path
    cache: Path

    def __call__(self, arguments: Sequence[str]) -> int:
        elsewhere: list[str] = []

        def watch(event: str, arguments: tuple[Any, ...]) -> None:
            if event != "open" and event not in CHANGES:
                return
            if event == "open" and (isinstance(arguments[0], int) or not arguments[2] & WRITING):
                return
            path = os.path.abspath(os.fsdecode(arguments[0]))  # noqa: PTH100
            if path != os.devnull and not path.startswith((str(self.folder), str(self.cache))):
                elsewhere.append(f"{event} {path}")

        sys.addaudithook(watch)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, hard))
        try:
            return command_line(arguments)
        finally:
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            facts = [*elsewhere[:5], f"memory {most * 1024}"]
            self.folder.with_suffix(".facts").write_text("\n".join(facts))


@pytest.fixture
def template(tmp_path, monkeypatch) -> Path:
    """Make a folder with files, a run and a sweep that command lines can name."""
    folder = tmp_path / "template"
    folder.mkdir()
    monkeypatch.setenv("GDFRAME_CACHE", str(tmp_path / "cache"))
    short = [text for texts in QUICK.values() for text in texts]
    assert call([*short, "hydra.run.dir=made"], folder, {}) == 0, output(folder)
    assert call(["-m", *short, "seed=0,1", "sweep.dir=sweep"], folder, {}) == 0, output(folder)
    texts = {"t": "x,c,y\n1,a,0.5\n2,b,1.5\n3,a,2.5\n4,b,3.5\n", "empty": "", "null": "x\n,\n",
             "rows": "x0,x1,x2\n1,2,3\n"}  # fmt: skip
    for name, text in texts.items():
        (folder / f"{name}.csv").write_text(text)
    (folder / "bytes.csv").write_bytes(bytes(range(256)))
    (folder / "nul.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")
    (folder / "folder.csv").mkdir()
    (folder / "link.csv").symlink_to("link.csv")
    os.mkfifo(folder / "pipe.csv")
    (folder / "rule.py").write_text("import gdframe\n")
    return folder


def run(template: Path, folder: Path, words: Sequence[str]) -> tuple[int | None, list[str]]:
    """Run a command line in a copy of the template; return its exit code and what is wrong."""
    copy(template, folder)
    before = tree(folder)
    try:
        confined = Confined(folder, template.parent / "cache")
        code: int | None = fork(confined, words, folder, SECONDS)
    except TimeoutError as error:
        return None, [str(error)[-200:]]
    out, err = output(folder)
    facts = folder.with_suffix(".facts")
    *elsewhere, memory = facts.read_text().splitlines() if facts.exists() else ["memory 0"]
    problems = [f"wrote elsewhere: {path}" for path in elsewhere]
    if code not in CODES:
        problems.append(f"exit code {code}")
    if "Traceback" in out + err and "debug=true" not in words:
        problems.append("traceback")
    if int(memory.split()[1]) > MEMORY:
        problems.append(f"{memory} bytes")
    if code == 2 and "debug=true" not in words:
        if "Traceback" not in err and (not err.startswith("gdframe: ") or err.count("\n") != 1):
            problems.append("not one message")
        if len(err) > LONGEST:
            problems.append("a long message")
        if (after := tree(folder)) != before:
            problems.append(f"left {sorted(after.items() ^ before.items())[:3]}")
    return code, [f"{problem}: {err[-1500:]}" for problem in problems]


def copy(template: Path, folder: Path) -> None:
    """Copy the template; a pipe cannot be copied."""
    ignored = shutil.ignore_patterns("pipe.csv")
    shutil.copytree(template, folder, symlinks=True, ignore=ignored)
    os.mkfifo(folder / "pipe.csv")


def tree(folder: Path) -> dict[str, int]:
    """Return the paths below a folder, with the time when files changed."""
    return {
        str(path.relative_to(folder)): 0 if path.is_dir() else path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if "home" not in path.relative_to(folder).parts[:1]
    }


def assert_refused_or_trained(
    numbers: Sequence[int], template: Path, folder: Path, monkeypatch: Any
) -> None:
    """Run the cases with these numbers."""
    codes, failed = Counter(), []
    for number in numbers:
        place, words = folder / f"case-{number}", case(number)
        for variable in ("HOME", "TMPDIR", "MPLCONFIGDIR"):
            monkeypatch.setenv(variable, str(place / "home"))
        code, problems = run(template, place, words)
        codes[code] += 1
        failed += [f"case {number}, {shown(words)}: {problem}" for problem in problems]
        if problems:
            print(failed[-1], flush=True)
        shutil.rmtree(place, ignore_errors=True)
    print(f"{sum(codes.values())} command lines, by exit code: {dict(codes)}")
    assert not failed, "\n".join(failed)


def shown(words: Sequence[str]) -> str:
    return re.sub(r"(.)\1{50,}", r"\1\1...", " ".join(map(repr, words)))


def test_a_sample_of_hostile_command_lines_is_refused_or_trained(template, tmp_path, monkeypatch):
    assert_refused_or_trained(SAMPLE, template, tmp_path, monkeypatch)


@pytest.mark.slow
def test_hostile_command_lines_are_refused_or_trained(template, tmp_path, monkeypatch):
    first, _, end = os.environ.get("GDFRAME_FUZZ", f"0:{CASES}").partition(":")
    assert_refused_or_trained(range(int(first), int(end)), template, tmp_path, monkeypatch)
