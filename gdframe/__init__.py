"""gdframe: gradient descent on PyTorch, many runs at once, with a plain verdict for each.

The public names and their homes are in ``__init__.pyi``. Each is imported when it is first used, so
that ``import gdframe`` costs nothing and the command line starts without torch.
"""

import os
import sys

if sys.argv[:1] == ["-m"] and not sys.flags.safe_path:  # python -m gdframe is about to start
    working_folder = sys.path[0]
    if __path__[0] != os.path.join(working_folder, "gdframe"):  # a checkout  # noqa: PTH118
        del sys.path[0]  # nothing else is imported from a folder that somebody may have sent

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
