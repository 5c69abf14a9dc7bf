"""``python -m gdframe``."""

import gc
import sys

gc.set_threshold(200_000, 10, 100)  # objects of imports live on: looking for garbage takes 0.4 s

from gdframe.cli.main import main  # noqa: E402 (after the setting)

if __name__ == "__main__":
    sys.exit(main())
