"""Settings of the tests of mailmove itself."""

from hypothesis import settings

# No test asserts a time: the machine may be busy with the lab.
settings.register_profile("mailmove", deadline=None)
settings.load_profile("mailmove")
