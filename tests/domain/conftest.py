"""Laws are checked without a time limit per example: machines that run several things at once are slow now and then."""

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
