"""What every test can use."""

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services"]

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")
