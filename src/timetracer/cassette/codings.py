"""Content codings (gzip, deflate, br, zstd): taken off, as far as a body goes, and put on again."""

from __future__ import annotations

import gzip
import importlib
import zlib
from typing import Any

from timetracer.errors import CassetteCorrupt, MissingDependencyError

DECODED_LIMIT = 64 << 20
"""More than this is not decoded of one body."""


def decoded(body: bytes, encoding: str) -> bytes | None:
    """Returns the bytes with their content codings taken off.

    None if that is not possible: another coding, a package missing, a truncated or broken body, too large a result.
    """
    data, whole = begun(body, encoding)
    return data if whole else None


def begun(body: bytes, encoding: str) -> tuple[bytes, bool]:
    """Returns what can be decoded of a body that may be cut short, and whether that is all of it."""
    whole = True
    for coding in reversed(_codings(encoding)):
        take_off = _TAKE_OFF.get(coding)
        if take_off is None:
            return b"", False
        try:
            body, ended = take_off(body)
        except (ImportError, zlib.error):
            return b"", False
        whole = whole and ended
    return body, whole


def recode(data: bytes, encoding: str, *, whole: bool = True) -> bytes:
    """Puts content codings on. The result decodes to `data`; it need not equal what the server once sent.

    Args:
        whole: False leaves the stream without its end, as a body that was cut short.

    Raises:
        MissingDependencyError: a coding needs a package that is not installed.
        CassetteCorrupt: there is no such coding.
    """
    for coding in _codings(encoding):
        try:
            data = _put_on(data, coding, whole)
        except ImportError as error:
            extra = "zstd" if coding == "zstd" else "brotli"
            raise MissingDependencyError(f"a body coded as {coding}", extra) from error
    return data


def _codings(encoding: str) -> list[str]:
    return [coding for part in encoding.split(",") if (coding := part.strip().lower()) not in ("", "identity")]


def _put_on(data: bytes, coding: str, whole: bool) -> bytes:
    if coding in ("gzip", "x-gzip"):
        return gzip.compress(data, mtime=0) if whole else _deflated(data, 31)
    if coding == "deflate":
        return zlib.compress(data) if whole else _deflated(data, 15)
    if coding == "br":
        brotli = importlib.import_module("brotli")
        if whole:
            return bytes(brotli.compress(data, quality=5))
        compressor = brotli.Compressor(quality=5)
        return bytes(compressor.process(data) + compressor.flush())
    if coding == "zstd":
        zstandard = importlib.import_module("zstandard")
        if whole:
            return bytes(zstandard.ZstdCompressor().compress(data))
        made = zstandard.ZstdCompressor().compressobj()
        return bytes(made.compress(data) + made.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK))
    raise CassetteCorrupt(f"a body has the unknown content coding {coding!r}")


def _deflated(data: bytes, window: int) -> bytes:
    compressor = zlib.compressobj(wbits=window)
    return compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _ungzip(body: bytes) -> tuple[bytes, bool]:
    """Takes gzip off every member. A part of one that is broken counts as far as it goes."""
    parts, size = [], 0
    while body:
        inflater = zlib.decompressobj(31)
        try:
            parts.append(inflater.decompress(body, DECODED_LIMIT - size))
        except zlib.error:
            return b"".join(parts), False
        size += len(parts[-1])
        if not inflater.eof or size >= DECODED_LIMIT:
            return b"".join(parts), False
        body = inflater.unused_data
    return b"".join(parts), bool(parts)


def _inflate(body: bytes) -> tuple[bytes, bool]:
    try:
        inflater = zlib.decompressobj()
        data = inflater.decompress(body, DECODED_LIMIT)
    except zlib.error:  # what many servers call deflate
        inflater = zlib.decompressobj(-15)
        data = inflater.decompress(body, DECODED_LIMIT)
        if not inflater.eof:  # any bytes may look like the beginning of that
            return b"", False
    # What follows the stream (padding) would be lost.
    return data, inflater.eof and not inflater.unused_data


def _unbrotli(body: bytes) -> tuple[bytes, bool]:
    brotli = importlib.import_module("brotli")
    decompressor = brotli.Decompressor()
    try:
        data: bytes = decompressor.process(body, output_buffer_limit=DECODED_LIMIT)
    except (brotli.error, TypeError):  # TypeError: a version without the limit, which is no use against a bomb
        return b"", False
    return data, bool(decompressor.is_finished())


def _unzstd(body: bytes) -> tuple[bytes, bool]:
    zstandard = importlib.import_module("zstandard")
    decompressor = zstandard.ZstdDecompressor(max_window_size=DECODED_LIMIT)
    try:
        data: bytes = decompressor.stream_reader(body).read(DECODED_LIMIT + 1)
        if len(data) > DECODED_LIMIT:
            return data, False
        whole = decompressor.decompressobj()  # the reader gives a truncated body without a word; this one knows
        whole.decompress(body)
    except zstandard.ZstdError:
        return b"", False
    return data, bool(whole.eof and not whole.unused_data)


_TAKE_OFF: dict[str, Any] = {
    "gzip": _ungzip,
    "x-gzip": _ungzip,
    "deflate": _inflate,
    "br": _unbrotli,
    "zstd": _unzstd,
}
