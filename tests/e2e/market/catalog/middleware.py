"""Middleware in both shapes: a function for sync and async, and a class with the hooks."""

import asyncio

from django.core.cache import cache
from django.http import HttpResponse
from django.utils.decorators import sync_and_async_middleware

try:
    from asgiref.sync import iscoroutinefunction
except ImportError:
    iscoroutinefunction = asyncio.iscoroutinefunction


class Excuse(Exception):
    """What a view raises to be excused."""


@sync_and_async_middleware
def stamped(get_response):
    """Stamps each answer with what the cache says."""
    if iscoroutinefunction(get_response):

        async def middleware(request):
            response = await get_response(request)
            response["X-Stamp"] = str(await cache.aget("stamp", "none") if hasattr(cache, "aget") else "none")
            return response

    else:

        def middleware(request):
            response = get_response(request)
            response["X-Stamp"] = str(cache.get("stamp", "none"))
            return response

    return middleware


class Excused:
    """Answers for views that raise an excuse, and adds to the context of those that render late."""

    def __init__(self, get_response):
        self.get_response = get_response

    def __call__(self, request):
        """Goes on."""
        return self.get_response(request)

    def process_exception(self, request, exception):
        """Makes an answer of an excuse."""
        if isinstance(exception, Excuse):
            return HttpResponse(f"excused: {exception}", status=202)
        return None

    def process_template_response(self, request, response):
        """Adds to the context."""
        response.context_data = {**(response.context_data or {}), "added": "by middleware"}
        return response
