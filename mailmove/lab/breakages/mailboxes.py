"""What breaks in Dovecot: logins, folders, Sieve, quota."""

from mailmove.lab.breakages.base import Breakage

BREAKAGES: dict[str, Breakage] = {}
