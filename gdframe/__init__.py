"""gdframe: gradient descent on PyTorch, many runs at once, with a plain verdict for each.

The public names and their homes are in ``__init__.pyi``. Each is imported when it is first used, so
that ``import gdframe`` costs nothing and the command line starts without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
