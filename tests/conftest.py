"""What holds for every test."""

from hypothesis import settings

# How long an example takes says how busy the machine is, nothing about packtap.
settings.register_profile("packtap", deadline=None, print_blob=True)
settings.load_profile("packtap")
