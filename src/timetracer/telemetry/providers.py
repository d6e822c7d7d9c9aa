"""Puts our processor and sampler on every SDK tracer provider of the process, whoever makes it and whenever.

Any tracer comes from `TracerProvider.get_tracer`, and copies the provider's sampler there: a provider is equipped at
that moment. That covers what a launcher, any distro or configurator, a configuration file or the app itself sets up.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from functools import wraps
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from timetracer.config import TraceConfig
from timetracer.engine.guard import guard
from timetracer.telemetry import propagation
from timetracer.telemetry.processor import SessionProcessor
from timetracer.telemetry.sampler import RecordingSampler

_lock = threading.RLock()
_processor = SessionProcessor()
_processed: weakref.WeakSet[TracerProvider] = weakref.WeakSet()  # have our processor, for good
_sampled: weakref.WeakSet[TracerProvider] = weakref.WeakSet()  # have our sampler


def _every(trace_id: int) -> bool:
    return True


_wanted: Callable[[int], bool] = _every
_real_get_tracer: Any = None


def attach(config: TraceConfig) -> None:
    """Equips the current provider, and each later one when it makes its first tracer. Again, it takes over `config`."""
    global _wanted, _real_get_tracer
    with _lock:
        _wanted = config.should_sample if config.mode == "record" else _every
        _processor.active = True
        if _real_get_tracer is None:
            _real_get_tracer = TracerProvider.get_tracer
            TracerProvider.get_tracer = _equipping(_real_get_tracer)  # type: ignore[method-assign]
    propagation.attach()
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        equip(provider)


def detach() -> None:
    """Takes the samplers away and makes the processor inert; a provider cannot lose a processor again."""
    global _real_get_tracer
    with _lock:
        _processor.active = False
        if _real_get_tracer is not None:
            TracerProvider.get_tracer = _real_get_tracer  # type: ignore[method-assign]
            _real_get_tracer = None
        propagation.detach()
        for provider in list(_sampled):
            if isinstance(provider.sampler, RecordingSampler):
                _set_sampler(provider, provider.sampler.inner)
        _sampled.clear()


def equip(provider: TracerProvider) -> None:
    """Gives a provider our processor and sampler, once; also the tracers that it has made already."""
    if provider in _sampled:
        return
    with _lock, guard("attaching to a tracer provider"):
        if provider in _sampled:
            return
        _sampled.add(provider)
        if not isinstance(provider.sampler, RecordingSampler):
            _set_sampler(provider, RecordingSampler(provider.sampler, lambda trace_id: _wanted(trace_id)))
        if provider not in _processed:
            _processed.add(provider)
            provider.add_span_processor(_processor)


def _set_sampler(provider: TracerProvider, sampler: Any) -> None:
    provider.sampler = sampler
    # Tracers copy the sampler when they are made; `_tracers` is where the SDK keeps them (since 1.41).
    for tracer in list(getattr(provider, "_tracers", {}).values()):
        tracer.sampler = sampler


def _equipping(real: Any) -> Any:
    @wraps(real)
    def get_tracer(self: TracerProvider, *args: Any, **kwargs: Any) -> Any:
        equip(self)
        return real(self, *args, **kwargs)

    return get_tracer
