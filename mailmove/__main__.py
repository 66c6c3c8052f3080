"""`python -m mailmove`."""

from __future__ import annotations

import sys

from mailmove.cli import main

sys.exit(main())
