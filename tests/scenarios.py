"""Command lines that write runs and sweeps, each with what it starts from and how it goes on."""

from __future__ import annotations

from pathlib import Path

from command import call, output

SETTINGS = (
    "data=regression", "data.rows=40", "lr=0.05", "epochs=5", "checkpoint.every=2",
    "logging.progress=false", "logging.max_points=4", "logging.histograms=3", "observer=csv",
    "stopping.tolerance=null",
)  # fmt: skip
RESUMED = ("epochs=9",)


def sweep(engine):
    return ("-m", *SETTINGS, f"engine={engine}", "seed=0,1", "optimizer=gd,adam", "sweep.dir=made")


COMMANDS = {
    "run": lambda engine: (*SETTINGS, f"engine={engine}", "hydra.run.dir=made"),
    "resume": lambda engine: ("resume", "made", *RESUMED),
    "sweep": sweep,
    "resumed sweep": lambda engine: ("resume", "made"),
    "report": lambda engine: ("report", "made"),
    "prediction": lambda engine: ("predict", "made", "rows.csv", "--output", "made/rows.out.csv"),
}
"""The command that is killed, by scenario."""


def prepare(scenario, engine, folder):
    """Make what a scenario starts from."""
    folder.mkdir(parents=True)
    if scenario in ("resume", "report", "prediction"):
        assert call(COMMANDS["run"](engine), folder, {}) == 0, output(folder)
        names = ",".join(f"x{i}" for i in range(20))
        (folder / "rows.csv").write_text(f"{names}\n{','.join('1' * 20)}\n")
    if scenario == "resumed sweep":
        assert call(sweep(engine), folder, {}) == 0, output(folder)
        for number in "02":
            (folder / "made" / number / "result.json").unlink()


def again(scenario, engine, folder):
    """Return the command line that goes on after a kill."""
    made = folder / "made"
    if scenario in ("run", "sweep"):
        begun = made / (".hydra/config.yaml" if scenario == "run" else "sweep.json")
        return ("resume", "made") if begun.is_file() else COMMANDS[scenario](engine)
    return COMMANDS[scenario](engine)


RUN_VERBS = (
    ("resume", "run", "epochs=4", "stopping.time_limit=1"),
    ("report", "run"),
    ("watch", "run"),
    ("landscape", "run", "--points", "5"),
    ("predict", "run", "rows.csv"),
    ("hydra.run.dir=run", "epochs=2"),
)
SWEEP_VERBS = (
    ("resume", "sweep"),
    ("report", "sweep"),
    ("watch", "sweep"),
    ("-m", "epochs=2", "seed=0,1,2", "sweep.dir=sweep", "sweep.reuse=true", "engine=eager"),
)
VERBS = RUN_VERBS + SWEEP_VERBS
"""Command lines that read a stored run or a sweep; some write there."""


def store(folder: Path) -> None:
    """Write a run, a sweep, rows to predict, and files outside of both."""
    for arguments in (
        ["epochs=3", "hydra.run.dir=run", "observer=csv", "engine=eager", "stopping=early",
         "checkpoint.every=1"],
        ["-m", "epochs=2", "seed=0,1", "sweep.dir=sweep", "engine=eager", "checkpoint.every=1"],
    ):  # fmt: skip
        assert call(arguments, folder, {}) == 0, output(folder)
    (folder / "outside").mkdir()
    (folder / "outside" / "secret").write_text('{"status": "secret", "reason": "secret"}')
    (folder / "outside" / "config.yaml").write_text("lr: secret\n")
    names = "age,sex,bmi,bp,s1,s2,s3,s4,s5,s6"
    (folder / "rows.csv").write_text(f"{names}\n{','.join(['0.01'] * 10)}\n")
