"""A request's body that is read as a file: handed on as it is read, never ahead of that, and copied."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from typing import Any

from timetracer.plugin import Sink


class IncomingFile:
    """Stands where a binary input stood. Whatever else that one has (`fileno`, `readinto`) is its own.

    Args:
        length: of the whole body; None if only its end tells.
    """

    def __init__(self, source: Any, sink: Sink, length: int | None) -> None:
        self._source, self._sink, self._left = source, sink, length
        if length == 0:
            sink.finish()

    def read_ahead(self) -> BytesIO:
        """Reads the whole body, and returns it as a file of its own."""
        return BytesIO(self.read() if self._left is None else self.read(self._left))

    def read(self, *size: int | None) -> bytes:
        """Reads at most `size` bytes, or all there are."""
        data = self._copied(self._source.read(*size), size)
        if data and (not size or size[0] is None or size[0] < 0):
            self._copied(b"")  # this was all: nobody need ask again
        return data

    def readline(self, *size: int) -> bytes:
        """Reads one line, of at most `size` bytes."""
        return self._copied(self._source.readline(*size), size)

    def readlines(self, *hint: int) -> list[bytes]:
        """Reads lines to the end, or until they have about `hint` bytes."""
        lines: list[bytes] = self._source.readlines(*hint)
        for line in lines or [b""]:
            self._copied(line, hint)
        return lines

    def __iter__(self) -> Iterator[bytes]:
        for line in self._source:
            yield self._copied(line)
        self._copied(b"")

    def __next__(self) -> bytes:
        return self._copied(next(self._source))

    def _copied(self, data: bytes, size: tuple[int | None, ...] = ()) -> bytes:
        if data:
            self._sink.feed(data)
            if self._left is not None:
                self._left -= len(data)
        if self._left is not None and self._left <= 0:
            self._sink.finish()
        elif not data and 0 not in size:
            self._sink.finish("complete" if self._left is None else "partial")
        return data

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._source, name)
        if name == "read1":
            return lambda *size: self._copied(found(*size), size)
        if name == "readinto":
            return lambda buffer: len(self._copied(_filled(buffer, found(buffer))))
        return found


def _filled(buffer: Any, size: int) -> Any:
    return memoryview(buffer)[:size]
