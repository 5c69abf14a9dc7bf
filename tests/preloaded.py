"""Work that ``command`` would repeat for each command line; the parent process imports this.

It imports what the verbs import when they are called, lets Hydra find its plugins and fill the
tables of its parser, and exempts all objects so far from garbage collection.
"""

from __future__ import annotations

import contextlib
import gc
import io
from importlib import import_module

from gdframe.cli.main import main

for name in (
    "gdframe.cli.application",
    "gdframe.cli.landscape",
    "gdframe.cli.landscape_pictures",
    "gdframe.cli.list",
    "gdframe.cli.predict",
    "gdframe.cli.report",
    "gdframe.cli.report.run_page",
    "gdframe.cli.report.sweep_page",
    "gdframe.cli.watch",
    "gdframe.config.train_run",
    "gdframe.diagnostics.trajectory",
    "gdframe.engines.linear.engine",
    "gdframe.runs.model_file",
    "gdframe.runs.schemas",
    "gdframe.sweeps.executing.hydra_launch",
    "gdframe.sweeps.executing.train_sweep",
    "gdframe.sweeps.writing.conclusion",
    "gdframe.sweeps.writing.pictures",
    "contourpy",
    "matplotlib.animation",
    "matplotlib.backends.backend_agg",
    "msgspec.json",
    "numpy.ctypeslib",
    "numpy.random",
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "PIL.PpmImagePlugin",
    "tensorboard.plugins.hparams.metadata",
    "torch.profiler",
    "torch.utils._device",
):
    import_module(name)
with contextlib.redirect_stdout(io.StringIO()):
    main(["--cfg", "job", "lr=0.5", "epochs=2"])
gc.collect()
gc.freeze()
