"""`python -m timetracer.cli`: the command line, where the script `timetracer` is not on the path."""

from __future__ import annotations

from timetracer.cli import main

main()
