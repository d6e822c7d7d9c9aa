"""What timetracer 1.x called its constants: the types of events, which are plain text in a cassette."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["EventType"]


class EventType(StrEnum):
    """The `type` of an event; `event.type == EventType.HTTP_CLIENT` holds for text read from a cassette."""

    HTTP_CLIENT = "http.client"
    DB_QUERY = "db.query"
    CACHE_COMMAND = "cache.command"
    AWS_CALL = "aws.call"
    TASK_PUBLISH = "task.publish"
    CUSTOM = "custom"
    REDIS = "cache.command"  # as 1.x called it
