"""Cassettes lie where the design says, are never half there, and are read within bounds."""

from __future__ import annotations

import gzip
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import zstandard

from timetracer.cassette import format
from timetracer.cassette.bodies import unpack
from timetracer.cassette.model import Body, Cassette, Event, Inbound, Result, Sent, Signature, Trace
from timetracer.cassette.store import cassette_path, find_cassettes, read_cassette, write_cassette
from timetracer.errors import CassetteCorrupt, CassetteError, CassetteNotFound, CassetteVersionError, UnsupportedError

SUFFIXES = [".json", ".json.gz", ".json.zst"]


def cassette(*bodies: bytes, **fields: Any) -> Cassette:
    """Makes a cassette with an event for each body."""
    events = [
        Event(n, "http.client", Signature("httpx", "GET", "http://x/"), Sent(), Result(body=Body(raw=[data])))
        for n, data in enumerate(bodies)
    ]
    trace = Trace(trace_id="1" * 32, root_id="00f067aa0ba902b7", service="shop", start="2026-03-04T05:06:07.000008Z")
    return Cassette(trace=trace, events=events, **fields)


def contents(read: Cassette) -> list[bytes]:
    """Returns the bytes of each event's body."""
    return [b"".join(unpack(event.result.body)) for event in read.events if event.result.body is not None]


@pytest.mark.parametrize(
    ("inbound", "name"),
    [
        (Inbound("http.server", "GET", "/orders/5?x=1", route="/orders/{id}"), "GET__orders_id__00f067aa0ba902b7.json"),
        (Inbound("http.server", "GET", "/orders/5?token=1"), "GET__orders_5__00f067aa0ba902b7.json"),
        (Inbound("http.server", "GET", "/"), "GET__root__00f067aa0ba902b7.json"),
        (Inbound("http.server", "GET", "/../../etc/passwd"), "GET__etc_passwd__00f067aa0ba902b7.json"),
        (Inbound("http.server", "G/../T", "/é\udcff"), "G_.._T__root__00f067aa0ba902b7.json"),
        (Inbound("task.run", "RUN", "shop.tasks.pay"), "TASK__shop.tasks.pay__00f067aa0ba902b7.json"),
        (None, "PROCESS__shop__00f067aa0ba902b7.json"),
    ],
)
def test_a_cassette_is_named_after_its_call(inbound: Inbound | None, name: str) -> None:
    """Date, method, route and root span id make the path, with nothing in it that a shell or file system minds."""
    assert cassette_path(Path("c"), cassette(inbound=inbound)) == Path("c/2026-03-04", name)


def test_long_routes_are_cut_and_stay_apart() -> None:
    """A name fits any file system, and routes with one beginning do not clash."""
    paths = [cassette_path(Path(), cassette(inbound=Inbound("http.server", "GET", "/a" * 200 + end))) for end in "xy"]
    assert len({*paths}) == 2
    assert all(len(path.name) < 150 for path in paths)


@pytest.mark.parametrize(("compression", "suffix"), list(zip(("none", "gzip", "zstd"), SUFFIXES, strict=True)))
def test_the_suffix_says_the_compression(compression: Literal["none", "gzip", "zstd"], suffix: str) -> None:
    """The path is all one needs to know to read a cassette."""
    assert cassette_path(Path(), cassette(), compression=compression).name.endswith(f"__00f067aa0ba902b7{suffix}")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_cassette_comes_back_with_its_side_files(tmp_path: Path, suffix: str) -> None:
    """Small bodies are inline, large ones lie beside the cassette, and both are read again."""
    path = tmp_path / "deep" / "er" / f"x{suffix}"
    assert write_cassette(cassette(b"small", b"\xff" * 100, b"b" * 50), path, inline_limit=20) == path
    assert sorted(os.listdir(path.parent)) == ["x.1.body", "x.2.body", f"x{suffix}"]
    assert contents(read_cassette(path)) == [b"small", b"\xff" * 100, b"b" * 50]
    assert path.read_bytes()[:2] == {".json": b"{\n", ".json.gz": b"\x1f\x8b", ".json.zst": b"\x28\xb5"}[suffix]
    skimmed = read_cassette(path, side_files=False).events[1].result.body
    assert skimmed is not None
    assert (skimmed.file, skimmed.raw) == ("x.1.body", None)


def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    """Files have mode 0600 and every new folder 0700, whatever the umask."""
    path = tmp_path / "a" / "b" / "x.json"
    before = os.umask(0)
    try:
        write_cassette(cassette(b"x" * 100), path, inline_limit=20)
    finally:
        os.umask(before)
    modes = {stat.S_IMODE(os.stat(x).st_mode) for x in (path, path.with_name("x.1.body"))}
    assert (modes, {stat.S_IMODE(os.stat(x).st_mode) for x in path.parents[:2]}) == ({0o600}, {0o700})


def test_writing_again_leaves_no_old_side_files(tmp_path: Path) -> None:
    """The side files of the replaced cassette go, those of others stay."""
    path, other = tmp_path / "x.json", tmp_path / "x.y.json"
    write_cassette(cassette(b"a" * 30, b"b" * 30), path, inline_limit=20)
    write_cassette(cassette(b"c" * 30), other, inline_limit=20)
    write_cassette(cassette(b"d" * 30), path, inline_limit=20)
    assert sorted(os.listdir(tmp_path)) == ["x.3.body", "x.json", "x.y.1.body", "x.y.json"]
    assert contents(read_cassette(path)) == [b"d" * 30]
    write_cassette(read_cassette(path), path, inline_limit=20)
    assert contents(read_cassette(path)) == [b"d" * 30]


def test_a_failed_write_leaves_the_old_cassette(tmp_path: Path) -> None:
    """What cannot be written replaces nothing, and no draft stays behind."""
    path = tmp_path / "x.json"
    write_cassette(cassette(b"a" * 30), path, inline_limit=20)
    with pytest.raises(UnsupportedError):
        write_cassette(cassette(b"b" * 30, logs=[{"a": object()}]), path, inline_limit=20)
    assert contents(read_cassette(path)) == [b"a" * 30]
    assert sorted(os.listdir(tmp_path)) == ["x.1.body", "x.json"]


def test_a_failed_transform_leaves_nothing(tmp_path: Path) -> None:
    """A redaction or encryption that fails writes no file at all."""

    def refuse(data: bytes) -> bytes:
        raise UnsupportedError("no key")

    with pytest.raises(UnsupportedError):
        write_cassette(cassette(), tmp_path / "x.json", transform=refuse)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_transform_is_undone_on_reading(tmp_path: Path, suffix: str) -> None:
    """Cassette and side files pass through it, inside the compression."""
    path = tmp_path / f"x{suffix}"
    write_cassette(cassette(b"secret" * 10), path, inline_limit=20, transform=lambda data: data[::-1])
    assert contents(read_cassette(path, transform=lambda data: data[::-1])) == [b"secret" * 10]
    with pytest.raises(CassetteCorrupt):
        read_cassette(path)


def test_a_system_that_takes_few_bytes_at_once_gets_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write may take less than it was given: what is left goes out next, and nothing twice."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:7]))
    write_cassette(cassette(b"some body" * 9), tmp_path / "x.json", inline_limit=20)
    monkeypatch.undo()
    assert contents(read_cassette(tmp_path / "x.json")) == [b"some body" * 9]


def test_a_folder_that_goes_is_made_anew(tmp_path: Path) -> None:
    """Whoever clears the folder of cassettes does not end the recording."""
    path = tmp_path / "day" / "x.json"
    write_cassette(cassette(), path)
    path.unlink()
    path.parent.rmdir()
    assert write_cassette(cassette(), path).exists()


def test_a_file_in_place_of_the_folder_is_said(tmp_path: Path) -> None:
    """A folder that cannot be written to is a CassetteError that names the path."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CassetteError, match=r"file/x\.json cannot be written"):
        write_cassette(cassette(), tmp_path / "file" / "x.json")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_truncated_file_is_corrupt(tmp_path: Path, suffix: str) -> None:
    """Wherever it ends, the error says which file it is."""
    path = tmp_path / f"x{suffix}"
    write_cassette(cassette(b"some body"), path)
    whole = path.read_bytes()
    for end in range(0, len(whole) - 2, 7):
        path.write_bytes(whole[:end])
        with pytest.raises(CassetteCorrupt) as caught:
            read_cassette(path)
        assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_too_large_is_corrupt(tmp_path: Path, suffix: str) -> None:
    """The bound holds on disk and for what a small file unpacks to."""
    path = tmp_path / f"x{suffix}"
    bomb = b"[" + b" " * 1_000_000
    packers: dict[str, Callable[[bytes], bytes]] = {
        ".json": bytes,
        ".json.gz": gzip.compress,
        ".json.zst": zstandard.compress,
    }
    path.write_bytes(packers[suffix](bomb))
    with pytest.raises(CassetteCorrupt, match="more than the 100,000 bytes"):
        read_cassette(path, limit=100_000)


def test_a_newer_format_is_said(tmp_path: Path) -> None:
    """The version error passes through."""
    path = tmp_path / "x.json"
    path.write_bytes(b'{"format": 99}')
    with pytest.raises(CassetteVersionError, match="format 99"):
        read_cassette(path)


def test_a_changed_or_missing_side_file_is_corrupt(tmp_path: Path) -> None:
    """A side file is checked against the cassette, and must be a real file."""
    path = tmp_path / "x.json"
    write_cassette(cassette(b"a" * 30), path, inline_limit=20)
    side = tmp_path / "x.1.body"
    side.write_bytes(b"b" * 30)
    with pytest.raises(CassetteCorrupt, match="SHA-256"):
        read_cassette(path)
    side.unlink()
    with pytest.raises(CassetteCorrupt, match="missing"):
        read_cassette(path)
    (tmp_path / "elsewhere").write_bytes(b"a" * 30)
    side.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CassetteCorrupt, match="missing"):
        read_cassette(path)


@pytest.mark.parametrize("name", ["../x.body", "/etc/passwd", "x\\y.body", "passwd"])
def test_a_side_file_lies_beside_its_cassette(tmp_path: Path, name: str) -> None:
    """A cassette cannot make anything else be read."""
    made = cassette(b"")
    made.events[0].result.body = Body(file=name, sha256="0")
    path = tmp_path / "x.json"
    path.write_bytes(format.dump(made))
    with pytest.raises(CassetteCorrupt, match="no name of a side file"):
        read_cassette(path)


def test_a_missing_cassette_names_the_nearest(tmp_path: Path) -> None:
    """The error names the path and what there is instead."""
    near = write_cassette(cassette(), tmp_path / "day" / "GET__orders__1.json.gz")
    with pytest.raises(CassetteNotFound) as caught:
        read_cassette(tmp_path / "day" / "GET__orders__1.json")
    assert str(caught.value) == f"there is no cassette {tmp_path}/day/GET__orders__1.json; nearest: {near}"
    with pytest.raises(CassetteNotFound, match=r"nearest: .*GET__orders__1"):
        read_cassette(tmp_path / "dya" / "GET__orders__1.json")
    with pytest.raises(CassetteNotFound, match="is a folder"):
        read_cassette(tmp_path)


def test_cassettes_are_found_in_order(tmp_path: Path) -> None:
    """A folder gives all cassettes below it, sorted, without drafts and side files; a file gives itself."""
    for name in ("b/x.json", "a/z.json.gz", "a/y.json.zst"):
        write_cassette(cassette(b"a" * 30), tmp_path / name, inline_limit=20)
    (tmp_path / "a" / ".1-2-3.tmp").write_text("")
    (tmp_path / "a" / "notes.txt").write_text("")
    assert find_cassettes(tmp_path) == [tmp_path / name for name in ("a/y.json.zst", "a/z.json.gz", "b/x.json")]
    assert find_cassettes(tmp_path / "b" / "x.json") == [tmp_path / "b" / "x.json"]
    with pytest.raises(CassetteNotFound, match="there is no cassette"):
        find_cassettes(tmp_path / "none")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    import socket

    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(path))
    listening.close()


def _link_to_a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_fifo, _socket, _link_to_a_device, Path.mkdir], ids=lambda make: make.__name__)
def test_what_is_no_file_is_refused_at_once(
    make: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read it is one clear error, without a wait; and no cassette takes its place, but that of a mere link."""
    monkeypatch.chdir(tmp_path)  # the path of a socket is short
    path = Path("x.json")
    make(path)
    with pytest.raises(CassetteError, match=r"no regular file|cannot be read|is a folder") as raised:
        read_cassette(path)
    assert str(path) in str(raised.value)
    if not path.is_dir():
        with pytest.raises(CassetteNotFound, match="no regular file"):
            find_cassettes(path)
    assert find_cassettes(tmp_path) == []
    before = path.lstat()
    if path.is_symlink():
        assert contents(read_cassette(write_cassette(cassette(b"1"), path))) == [b"1"]
        assert stat.S_ISCHR(os.stat("/dev/zero").st_mode)
    else:
        with pytest.raises(CassetteError, match="cannot be written"):
            write_cassette(cassette(b"1"), path)
        assert path.lstat().st_ino == before.st_ino
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_links_to_a_folder_and_to_a_cassette_are_followed(tmp_path: Path) -> None:
    """Its side files lie where the link leads."""
    real = tmp_path / "real"
    path = write_cassette(cassette(b"1" * 100), real / "x.json", inline_limit=10)
    (tmp_path / "folder").symlink_to(real)
    (tmp_path / "other").mkdir()
    link = tmp_path / "other" / "y.json"
    link.symlink_to(path)
    assert find_cassettes(tmp_path / "folder") == [tmp_path / "folder" / "x.json"]
    for each in (tmp_path / "folder" / "x.json", link):
        assert contents(read_cassette(each)) == [b"1" * 100]
    write_cassette(cassette(b"2" * 100), tmp_path / "folder" / "x.json", inline_limit=10)
    assert contents(read_cassette(path)) == [b"2" * 100]


@pytest.mark.parametrize("suffix", SUFFIXES[1:])
def test_a_bomb_is_not_unpacked(suffix: str, tmp_path: Path) -> None:
    """Megabytes that unpack to gigabytes are refused in a process that has no room for them."""
    zeros = bytes(64 << 20)
    path = tmp_path / f"x{suffix}"
    if suffix.endswith("gz"):
        path.write_bytes(gzip.compress(zeros, 1) * 64)
    else:
        compressor = zstandard.ZstdCompressor().compressobj()
        path.write_bytes(b"".join(compressor.compress(zeros) for _ in range(64)) + compressor.flush())
    assert path.stat().st_size < 25 << 20
    limited = (
        "import resource, sys, pathlib; from timetracer.cassette.store import read_cassette\n"
        "import zstandard, timetracer.errors as errors\n"
        "resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "try: read_cassette(pathlib.Path(sys.argv[1]))\n"
        "except errors.CassetteCorrupt as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", limited, path], capture_output=True, text=True, check=False)
    assert "unpacks to more than the" in done.stdout, done.stderr


@pytest.mark.parametrize("name", ["/etc/passwd.body", "../x.body", "a\\b.body", "x\0.body", ".body/..", "x.1"])
def test_a_side_file_elsewhere_is_never_opened(name: str, tmp_path: Path) -> None:
    """Neither by an absolute nor by a relative path, nor one that no system takes."""
    made = cassette(b"")
    made.events[0].result.body = Body(file=name, sha256="0" * 64)
    path = tmp_path / "x.json"
    path.write_bytes(format.dump(made))
    with pytest.raises(CassetteCorrupt, match="side file"):
        read_cassette(path)


def test_a_cassette_that_is_replaced_while_it_is_read_is_read_whole(tmp_path: Path) -> None:
    """A reader gets the old one or the new one, side files and all, never an error."""
    path, done, failed = tmp_path / "x.json", threading.Event(), []

    def read() -> None:
        try:
            while not done.is_set():
                (only,) = set(contents(read_cassette(path)))
                assert len(set(only)) == 1
        except Exception as error:  # noqa: BLE001 - shown below
            failed.append(error)

    write_cassette(cassette(b"0" * 50, b"0" * 50), path, inline_limit=10)
    reader = threading.Thread(target=read)
    reader.start()
    for number in range(100):
        data = b"%d" % (number % 10) * 50
        write_cassette(cassette(data, data), path, inline_limit=10)
        time.sleep(0.005)
    done.set()
    reader.join()
    assert failed == []
