"""What breaks in the webmail."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {}
