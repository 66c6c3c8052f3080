"""mailmove verifies a new mail server, moves everything from the old one to it, and proves that nothing was lost."""

__version__ = "0.1.0"
