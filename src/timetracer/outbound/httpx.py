"""httpx: see `httpx_exchange`, which it shares with its successor."""

from __future__ import annotations

import httpx

from timetracer.outbound.httpx_exchange import transports

PLUGIN = transports(httpx, "httpx>=0.24,<1")
