"""``python -m gdframe``."""

import sys

from gdframe.cli.garbage import look_rarely

look_rarely()  # before all other imports

from gdframe.cli.main import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
