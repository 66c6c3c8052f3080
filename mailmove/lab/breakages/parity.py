"""What the old server does beyond the guide, and the new one would not."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {}
