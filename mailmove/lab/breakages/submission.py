"""What breaks when people hand in letters, and what lets strangers do so."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {}
