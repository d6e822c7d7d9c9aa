"""What is said where an app has not set up logging, and that it is said once where it has."""

from __future__ import annotations

import os
import subprocess
import sys

SAYS = """
import logging
{setup}
import timetracer.config
logging.getLogger("timetracer.engine.x").warning("%s is odd", "this")
logging.getLogger("timetracer").info("quiet")
logging.getLogger("other").warning("theirs")
"""


def said(setup: str = "") -> list[str]:
    """Returns the lines that a program writes to standard error."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("TIMETRACER_")}
    program = [sys.executable, "-c", SAYS.format(setup=setup)]
    return subprocess.run(program, env=clean, capture_output=True, text=True, check=True).stderr.splitlines()


def test_our_lines_name_us_where_logging_is_not_set_up() -> None:
    """A bare message would be nobody's."""
    assert said() == ["timetracer: this is odd", "theirs"]


def test_an_app_that_set_up_logging_has_its_own_lines_alone() -> None:
    """At the root or for our loggers, before or after: each record once, as the app formats it."""
    assert said("logging.basicConfig()") == ["WARNING:timetracer.engine.x:this is odd", "WARNING:other:theirs"]
    assert said("logging.getLogger('timetracer').addHandler(logging.StreamHandler())") == ["this is odd", "theirs"]
    assert said("logging.getLogger('timetracer').propagate = False") == ["theirs"]
