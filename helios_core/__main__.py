"""`python -m helios_core` is the command `helios`."""

import sys

from .command.main import main

if __name__ == "__main__":
    sys.exit(main())
