"""Keeps cassettes in files: where each one goes, how it is written without ever being half there, how it is found.

The suffix of a path says how the file is compressed: `.json`, `.json.gz`, `.json.zst`. Large bodies lie beside it, each
in a side file `<name>.<n>.body` that is compressed likewise.

A file appears whole or not at all, however the process ends. Nothing waits for the device (a service would, at every
request): what was written in the last seconds before a power cut may be lost, or empty, and then is named as broken.
"""

from __future__ import annotations

import difflib
import glob
import gzip
import hashlib
import importlib
import io
import itertools
import os
import re
import stat
import threading
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import msgspec

from timetracer.cassette import bodies, format
from timetracer.cassette.model import Body, Cassette
from timetracer.errors import CassetteCorrupt, CassetteError, CassetteNotFound, MissingDependencyError

Transform: TypeAlias = Callable[[bytes], bytes]
"""Changes what a file holds, before it is compressed or after it is decompressed: encryption and its reverse."""

INLINE_LIMIT = 64 << 10
"""A body of more bytes than this goes to a side file."""

_SUFFIXES = {"none": ".json", "gzip": ".json.gz", "zstd": ".json.zst"}
_SLUG_LENGTH = 80
_NO_SLUG = re.compile(r"[^A-Za-z0-9.-]+")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_ATTEMPTS = 10  # to read a cassette that is written anew all the time
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
_counter = itertools.count()


def cassette_path(
    folder: Path | str,
    cassette: Cassette,
    *,
    compression: Literal["none", "gzip", "zstd"] = "none",
    shown: Callable[[str], str] = str,
) -> Path:
    """Returns where a cassette goes that has no path of its own: `<folder>/<date>/<METHOD>__<route>__<id>.json`.

    Args:
        shown: redacts what is written for all to see; a path that no route matched may hold a token.
    """
    trace, inbound = cassette.trace, cassette.inbound
    if inbound is None:
        method, route = "PROCESS", trace.service or "python"
    elif inbound.type.startswith("task."):
        method, route = "TASK", inbound.route or inbound.target
    else:
        method, route = inbound.method, inbound.route or inbound.target.partition("?")[0]
    date = trace.start[:10] if _DATE.match(trace.start) else "undated"
    name = "__".join((_slug(method, "CALL"), _slug(shown(route), "root"), _slug(trace.root_id, "unknown")))
    return Path(os.path.join(folder, date, name + _SUFFIXES[compression]))  # at once: each `/` takes 2 us


def _slug(text: str, empty: str) -> str:
    slug = text if text.isalnum() and text.isascii() else _NO_SLUG.sub("_", text).strip("._-") or empty
    if len(slug) <= _SLUG_LENGTH:
        return slug
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{slug[: _SLUG_LENGTH - 9]}-{digest}"


# --------------------------------------------------------------------------------------------------------- writing


def write_cassette(
    cassette: Cassette,
    path: Path,
    *,
    inline_limit: int = INLINE_LIMIT,
    dump: Callable[[Cassette], bytes] = format.dump,
    transform: Transform | None = None,
) -> Path:
    """Writes a cassette: side files first, then the file itself, which appears whole or not at all.

    Args:
        cassette: bodies may still be raw; it is left as it is.
        path: the file; its suffix says how it is compressed.
        inline_limit: bytes above which a body goes to a side file.
        dump: makes the document of the cassette; redaction has its say here.
        transform: what is done to each file's bytes before they are compressed.

    Returns:
        The path.

    Raises:
        CassetteError: the file cannot be written.
        MissingDependencyError: zstd needs a package that is not installed.
        UnsupportedError: the cassette holds something that is no JSON data.
    """
    made: list[Path] = []
    try:
        # Looked for only where there is one: a folder of many cassettes takes its time to list.
        stale = set(_side_files(path)) if _replaces(path) else set()
        # An earlier cassette of this name keeps its side files until the new one has taken its place.
        names = (name for n in itertools.count(1) if (name := f"{_stem(path)}.{n}.body") not in stale)

        def side_file(data: bytes) -> str:
            made.append(path.with_name(next(names)))
            _write(os.fspath(made[-1]), data, path.suffix, transform)
            return made[-1].name

        written = bodies.packed(cassette, inline_limit=inline_limit, side_file=side_file)
        kept = {body.file for body in bodies.each(written)} if stale else stale
        _write(os.fspath(path), dump(written), path.suffix, transform)
        made = [path.with_name(name) for name in stale - kept]
    except OSError as error:
        raise CassetteError(f"the cassette {path} cannot be written: {error.strerror or error}") from error
    finally:
        for side in made:  # no cassette names it: that of a failed attempt, or of the cassette that was replaced
            with suppress(OSError):
                side.unlink()
    return path


def _replaces(path: Path) -> bool:
    """Whether a cassette is there already, whose place another one may take."""
    try:
        mode = os.lstat(path).st_mode  # once, and of no folder: what looks at a file costs as much as writing it
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(mode):  # a link is replaced, what it names is not
        return path.exists()
    if not stat.S_ISREG(mode):
        raise CassetteError(f"the cassette {path} cannot be written: there is something else that is no file")
    return True


def _stem(path: Path) -> str:
    return re.sub(r"\.json(\.gz|\.zst)?$", "", path.name)


def _side_files(path: Path) -> list[str]:
    pattern = re.compile(re.escape(_stem(path)) + r"\.\d+\.body")
    found = path.parent.glob(f"{glob.escape(_stem(path))}.*.body")
    return [side.name for side in found if pattern.fullmatch(side.name)]


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, each for the owner alone: `mkdir(parents=True)` is so for the last only."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(mode=0o700, exist_ok=True)


def _write(file: str, data: bytes, suffix: str, transform: Transform | None) -> None:
    if transform is not None:
        data = transform(data)
    data = _compress(data, suffix)
    # Not from `secrets` or `uuid`: what an app draws from there is recorded.
    draft = f"{os.path.dirname(file) or '.'}/.{os.getpid()}-{threading.get_ident()}-{next(_counter)}.tmp"
    descriptor = _opened_new(draft)
    try:
        try:
            rest = memoryview(data)
            while rest:  # a file object would ask four times what it writes to: 20 us
                rest = rest[os.write(descriptor, rest) :]
        finally:
            os.close(descriptor)
        os.replace(draft, file)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(draft)
        raise


def _opened_new(file: str) -> int:
    try:
        return os.open(file, _NEW, 0o600)
    except FileNotFoundError:  # not asked before: that is so for the first cassette of a day
        _make_folder(Path(file).parent)
        return os.open(file, _NEW, 0o600)


def _compress(data: bytes, suffix: str) -> bytes:
    if suffix == ".gz":
        return gzip.compress(data, compresslevel=6, mtime=0)
    if suffix == ".zst":
        compressed: bytes = _zstandard().ZstdCompressor().compress(data)
        return compressed
    return data


def _zstandard() -> Any:
    try:
        return importlib.import_module("zstandard")
    except ImportError as error:
        raise MissingDependencyError("a cassette compressed with zstd", "zstd") from error


# --------------------------------------------------------------------------------------------------------- reading


def read_cassette(
    path: Path, *, limit: int = format.SIZE_LIMIT, transform: Transform | None = None, side_files: bool = True
) -> Cassette:
    """Reads a cassette. Bodies in side files are read and checked as well; `bodies.unpack` gives the bytes of each.

    Args:
        path: a file.
        limit: the most bytes to accept, on disk and decompressed: of the file, and of its side files together.
        transform: undoes what was done to each file's bytes before they were compressed.
        side_files: False leaves side files unread, for those who look at the cassette only.

    Raises:
        CassetteNotFound: there is no such file; the message names the nearest.
        CassetteVersionError: it was written in another format.
        CassetteCorrupt: it is broken, too large or too deep.
        MissingDependencyError: zstd needs a package that is not installed.
    """
    path = Path(path)
    for attempt in range(_ATTEMPTS):
        read = _identity(path)
        try:
            return _read_whole(path, limit, transform, side_files)
        except CassetteNotFound:
            raise
        except CassetteError as error:
            if attempt + 1 < _ATTEMPTS and read is not None and _identity(path) != read:
                continue  # another one took its place meanwhile, and took the side files of this one away
            raise type(error)(f"{path}: {error}") from error.__cause__
    raise AssertionError("unreachable")


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _read_whole(path: Path, limit: int, transform: Transform | None, side_files: bool) -> Cassette:
    left = limit  # for all side files: many small ones may unpack to much
    cassette = format.load(_read(path, path, limit, transform), limit=limit)
    if side_files:
        for body in bodies.each(cassette):
            if body.file is not None:
                body.raw = _side_file_chunks(body, path, left, transform)
                left -= sum(map(len, body.raw))
    return cassette


def _side_file_chunks(body: Body, path: Path, limit: int, transform: Transform | None) -> list[bytes]:
    """Returns the chunks of a body in a side file, checked as it was written: what is sealed, while it still is."""
    written = _read_side_file(path, body.file or "", limit, None)
    data = written if transform is None else transform(written)
    if data is not written and hashlib.sha256(written).hexdigest() == body.sha256:
        body = msgspec.structs.replace(body, sha256=hashlib.sha256(data).hexdigest())
    return bodies.unpack(body, lambda name: data)


def _read_side_file(path: Path, name: str, limit: int, transform: Transform | None) -> bytes:
    if "/" in name or "\\" in name or not name.endswith(".body"):
        raise CassetteCorrupt(f"a body names the side file {name!r}, which is no name of a side file")
    file = path.resolve().with_name(name)  # of a cassette that is a link, they lie where it leads
    try:
        if file.is_symlink() or not file.is_file():
            raise FileNotFoundError
        return _read(file, path, limit, transform)
    except (FileNotFoundError, CassetteNotFound):
        raise CassetteCorrupt(f"the side file {name} of a body is missing") from None


def _read(file: Path, path: Path, limit: int, transform: Transform | None) -> bytes:
    """Returns what a file holds, never taking more than `limit` bytes of memory for it."""
    try:
        with _opened(file) as stream:
            data = stream.read(limit + 1)
    except OSError as error:
        if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
            raise CassetteNotFound(_not_found(file)) from error
        raise CassetteError(f"the cassette {file} cannot be read: {error.strerror or error}") from error
    if len(data) > limit:
        raise CassetteCorrupt(f"{file.name} has more than the {limit:,} bytes that are read at most")
    data = _decompress(data, path, limit)
    if len(data) > limit:
        raise CassetteCorrupt(f"{file.name} unpacks to more than the {limit:,} bytes that are read at most")
    return data if transform is None else transform(data)


def _opened(file: Path) -> BinaryIO:
    """Opens a file to be read; a pipe or a device, which might never end, is refused, and not waited for."""
    descriptor = os.open(file, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return open(descriptor, "rb")
    os.close(descriptor)
    if file.is_dir():
        raise IsADirectoryError
    raise CassetteError(f"{file.name} is no regular file")


def _decompress(data: bytes, path: Path, limit: int) -> bytes:
    """Returns at most one byte more than `limit`."""
    if path.suffix == ".gz":
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as stream:
                return stream.read(limit + 1)
        except (EOFError, OSError, zlib.error) as error:
            raise CassetteCorrupt(f"the gzip file is broken: {error}") from error
    if path.suffix == ".zst":
        zstandard = _zstandard()
        try:
            unpacked: bytes = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(data).read(limit + 1)
        except zstandard.ZstdError as error:
            raise CassetteCorrupt(f"the zstd file is broken: {error}") from error
        return unpacked
    return data


def _not_found(path: Path) -> str:
    """Says what is missing, and what there is instead."""
    if path.is_dir():
        return f"{path} is a folder, not a cassette"
    if path.exists():
        return f"{path} is no regular file, and so no cassette"
    folder = path.parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    names = {str(file.relative_to(folder)): file for file in itertools.islice(_cassettes_in(folder), 1000)}
    wanted = str(path.relative_to(folder))
    near = difflib.get_close_matches(wanted, names, n=3, cutoff=0.4)
    found = ", ".join(str(names[name]) for name in near)
    return f"there is no cassette {path}; nearest: {found}" if found else f"there is no cassette {path}"


def _cassettes_in(folder: Path) -> Any:
    suffixes = tuple(_SUFFIXES.values())
    return (x for x in folder.rglob("*.json*") if x.name.endswith(suffixes) and x.name[0] != "." and x.is_file())


def find_cassettes(path: Path) -> list[Path]:
    """Returns the cassettes at a path, sorted: the file itself, or all in a folder and those below.

    Raises:
        CassetteNotFound: there is neither a file nor a folder.
    """
    path = Path(path)
    if path.is_dir():
        return sorted(_cassettes_in(path))
    if path.is_file():
        return [path]
    raise CassetteNotFound(_not_found(path))
