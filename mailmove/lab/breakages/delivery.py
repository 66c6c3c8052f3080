"""What breaks on a letter's way into its mailbox."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {}
