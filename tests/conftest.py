"""For all tests: a machine that is busy with something else is no fault of ours."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
