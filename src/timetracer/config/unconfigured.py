"""Our lines where an app has not set up logging: then Python writes the bare message, and nobody knows whose it is."""

from __future__ import annotations

import logging

_OURS = logging.getLogger("timetracer")


class _Unconfigured(logging.Handler):
    """Stands in for `logging.lastResort`; writes nothing as soon as anybody else takes the record."""

    def emit(self, record: logging.LogRecord) -> None:
        if logging.root.handlers or len(_OURS.handlers) > 1 or not _OURS.propagate:
            return
        stderr = logging.StreamHandler()  # of this moment: it may have been replaced since
        stderr.setFormatter(logging.Formatter("timetracer: %(message)s"))
        stderr.handle(record)


def install() -> None:
    """Adds the handler, once."""
    if not any(isinstance(handler, _Unconfigured) for handler in _OURS.handlers):
        _OURS.addHandler(_Unconfigured())
