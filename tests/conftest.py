"""What every test can use."""

import signal

from hypothesis import HealthCheck, settings

pytest_plugins = ["tests.services"]

# How long an example takes says how busy the machine is, and nothing of the code.
settings.register_profile("timeless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("timeless")

# A job in the background ignores Ctrl-C, and under nohup hanging up; so would every process that the tests start.
for number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)
