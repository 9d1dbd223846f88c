"""python -m helios_core is the command helios."""

import sys


def main() -> int:
    try:
        from .cli import main as run
    except ModuleNotFoundError as error:
        from .files import INSTALL

        print(f"helios: {error.name} is missing: {INSTALL}", file=sys.stderr)
        return 1
    return run()


if __name__ == "__main__":
    sys.exit(main())
