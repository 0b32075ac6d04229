"""Run the command line with ``python -m cbminer``."""

import sys

from cbminer.cli import main

__all__: list[str] = []

sys.exit(main())
