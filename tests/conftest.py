"""What every test can use."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services"]

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")

# A job that a shell started in the background ignores Ctrl-C, and so would every process that the tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
