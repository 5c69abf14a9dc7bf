"""``python -m gdframe``."""

import sys

from gdframe.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
