"""A worker process of the runner: `python -m timetracer.runner module:attr`, told by `pool` what to do."""

from __future__ import annotations

from timetracer.runner.worker import main

main()
