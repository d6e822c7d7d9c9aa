"""httpx2, beneath the SDKs of OpenAI and Anthropic: see `httpx_exchange`."""

from __future__ import annotations

import httpx2

from timetracer.outbound.httpx_exchange import transports

PLUGIN = transports(httpx2, "httpx2>=2,<3")
