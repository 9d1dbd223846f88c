"""python -m helios_core is the command helios."""

import sys

from .cli import main

sys.exit(main())
