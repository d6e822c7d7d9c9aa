"""What processes go through: forks, signals, exits, folders that cannot be written, full disks, dead collectors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.serving import BIN, LAUNCHER, Asked, environment, finished
from tests.e2e.shopping import GUNICORN, Shop
from tests.services import Collector, Upstream
from timetracer.cassette.store import find_cassettes, read_cassette

PYTHON = str(BIN / "python")


def script(folder: Path, text: str) -> Path:
    """Writes an app."""
    (folder / "app.py").write_text(text)
    return folder / "app.py"


def recording(folder: Path, upstream: Upstream, **more: str) -> dict[str, str]:
    """Returns the environment of a recorded script."""
    return environment(
        UPSTREAM=upstream.url,
        **{"TIMETRACER_MODE": "record", "TIMETRACER_CASSETTE_DIR": str(folder / "cassettes"), **more},
    )


def cassettes(folder: Path) -> list[Any]:
    """Returns what was recorded."""
    place = folder / "cassettes"
    return [read_cassette(path) for path in find_cassettes(place)] if place.is_dir() else []


def leftovers(folder: Path) -> list[str]:
    """Returns files that are no cassette, and cassettes that cannot be read."""
    for path in find_cassettes(folder):
        read_cassette(path)
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix not in (".json", ".body")]


CALL = "requests.get(os.environ['UPSTREAM'] + '/json', timeout=10).raise_for_status()\n"


@pytest.mark.parametrize("launcher", [[], LAUNCHER], ids=["plain", "launched"])
def test_sixty_forks_while_recording(launcher: list[str], tmp_path: Path, upstream: Upstream) -> None:
    """A process that forks sixty times in the middle of its calls hangs nowhere, and each child leaves its cassette."""
    app = script(
        tmp_path,
        "import os, threading, time, requests, timetracer\n"
        "def call():\n"
        "    with requests.Session() as session:\n"
        "        session.trust_env = False  # or it imports netrc: import locks stay locked in forked children\n"
        "        session.get(os.environ['UPSTREAM'] + '/json', timeout=10).raise_for_status()\n"
        "busy = True\n"
        "def work():\n"
        "    while busy: call()\n"
        "threads = [threading.Thread(target=work) for _ in range(3)]\n"
        "for thread in threads: thread.start()\n"
        "failed = 0\n"
        "for n in range(60):\n"
        "    child = os.fork()\n"
        "    if child == 0:\n"
        "        call()\n"
        "        timetracer.stop()\n"
        "        os._exit(0)\n"  # at its usual end, every child would take a large process apart
        "    deadline = time.time() + 20\n"
        "    while os.waitpid(child, os.WNOHANG) == (0, 0):\n"
        "        if time.time() > deadline:\n"
        "            os.kill(child, 9); failed += 1\n"
        "        time.sleep(0.002)\n"
        "busy = False\n"
        "for thread in threads: thread.join()\n"
        "print('failed', failed)\n",
    )
    done = finished([*launcher, PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream), timeout=240)
    assert (done.returncode, done.stdout) == (0, "failed 0\n"), done.stderr
    found = cassettes(tmp_path)
    assert len(found) >= 61
    assert all(cassette.events for cassette in found)
    assert leftovers(tmp_path / "cassettes") == []


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_children_of_multiprocessing_leave_their_cassettes(method: str, tmp_path: Path, upstream: Upstream) -> None:
    """They end without atexit, and what they called is written all the same."""
    app = script(
        tmp_path,
        "import multiprocessing, os, requests\n"
        f"def work(n):\n    {CALL}    return n\n"
        "if __name__ == '__main__':\n"
        f"    context = multiprocessing.get_context({method!r})\n"
        "    children = [context.Process(target=work, args=(n,)) for n in range(2)]\n"
        "    for child in children: child.start()\n"
        "    for child in children: child.join()\n"
        "    print([child.exitcode for child in children])\n",
    )
    done = finished([PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream))
    assert done.stdout == "[0, 0]\n", done.stderr
    assert [len(cassette.events) for cassette in cassettes(tmp_path)] == [1, 1]


ENDS = {
    "the end": ("", 0),
    "sys.exit": ("import sys; sys.exit(7)\n", 7),
    "an exception": ("raise RuntimeError('the app failed')\n", 1),
    "SIGTERM": ("import signal; os.kill(os.getpid(), signal.SIGTERM); import time; time.sleep(30)\n", -signal.SIGTERM),
    "SIGINT": ("import signal; os.kill(os.getpid(), signal.SIGINT); import time; time.sleep(30)\n", -signal.SIGINT),
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("launcher", [[], LAUNCHER], ids=["plain", "launched"])
def test_every_end_writes_the_cassette(launcher: list[str], end: str, tmp_path: Path, upstream: Upstream) -> None:
    """However a script ends, its cassette is there, and its exit code is what it would be without us."""
    text, code = ENDS[end]
    app = script(tmp_path, f"import os, requests\n{CALL}{text}")
    done = finished([*launcher, PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream))
    assert done.returncode == code, done.stderr
    (cassette,) = cassettes(tmp_path)
    assert [event.signature.lib for event in cassette.events] == ["requests"]


def test_an_apps_own_signal_handler_stays(tmp_path: Path, upstream: Upstream) -> None:
    """A handler for SIGTERM that the app sets is the app's; its cassette is written at exit."""
    app = script(
        tmp_path,
        f"import os, signal, sys, requests\n{CALL}"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit('mine'))\n"
        "os.kill(os.getpid(), signal.SIGTERM)\n",
    )
    done = finished([PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream))
    assert (done.returncode, done.stderr.strip()) == (1, "mine")
    assert len(cassettes(tmp_path)) == 1


def test_a_folder_that_cannot_be_made_is_said_once(shop: Shop) -> None:
    """With a file in the folder's place every request is answered, and the trouble is said once, by name."""
    shop.cassettes.write_text("in the way")
    answers = shop.run("record", GUNICORN, [Asked("GET", f"/orders/{n}/") for n in range(1, 9)])
    assert {answer.status for answer in answers} == {200}
    said = [line for line in shop.log("record").splitlines() if "cassette" in line and "cannot be written" in line]
    workers = 2
    assert 1 <= len(said) <= workers + 1, shop.log("record")
    assert str(shop.cassettes) in said[0]
    assert shop.cassettes.read_text() == "in the way"


@pytest.mark.parametrize("kilobytes", [1, 40, 200])
def test_a_full_disk_leaves_nothing_half_written(kilobytes: int, tmp_path: Path, upstream: Upstream) -> None:
    """Files that cannot grow are a disk that is full: the app goes on, what is under a final name is whole."""
    app = script(
        tmp_path,
        "import os, resource, signal, requests, timetracer\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({kilobytes} * 1024, -1))\n"
        "for size in (10, 30_000, 300_000):\n"
        "    try:\n"
        "        with timetracer.record(f'cassettes/{size}.json', inline_body_kb=64):\n"
        "            assert len(requests.get(f\"{os.environ['UPSTREAM']}/bytes/{size}\", timeout=10).content) == size\n"
        "    except timetracer.CassetteError as error:\n"
        "        assert 'cannot be written: File too large' in str(error), error\n"
        "print('all went well')\n",
    )
    (tmp_path / "cassettes").mkdir()
    more = {"TIMETRACER_MODE": "off"}
    done = finished([PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream, **more))
    assert leftovers(tmp_path / "cassettes") == []
    sizes = sorted(int(path.stem) for path in find_cassettes(tmp_path / "cassettes"))
    assert sizes == [size for size in (10, 30_000, 300_000) if size < kilobytes * 700 and kilobytes > 1]
    assert "all went well" in done.stdout, done.stderr


BAD = {
    "TIMETRACER_SAMPLE_RATE": "often",
    "TIMETRACER_QUEUE_MB": "-1",
    "TIMETRACER_CAPTURE": "htpx",
    "TIMETRACER_SECRETS": "seal",  # without a key
    "TIMETRACER_ENCRYPTION_KEY": "no key",
    "TIMETRACER_COMPRESSION": "rar",
    "TIMETRACER_MAX_BODY_KB": "1.5 MB",
    "TIMETRACER_LOG_LEVEL": "loud",
}


@pytest.mark.parametrize("variable", BAD)
@pytest.mark.parametrize("launcher", [[], LAUNCHER], ids=["plain", "launched"])
def test_a_bad_setting_never_stops_a_recorded_app(
    launcher: list[str], variable: str, tmp_path: Path, upstream: Upstream
) -> None:
    """The app runs as it would without us, nothing is recorded, and the variable is named once."""
    app = script(tmp_path, f"import os, requests\n{CALL}print('done')\n")
    env = recording(tmp_path, upstream, **{variable: BAD[variable]})
    done = finished([*launcher, PYTHON, str(app)], folder=tmp_path, env=env)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
    assert done.stderr.count(f"{variable}=") + done.stderr.count(f"{variable} ") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not cassettes(tmp_path)


@pytest.mark.parametrize("state", ["stopped", "paused"])
def test_a_collector_that_does_not_answer_harms_nothing(
    state: str, tmp_path: Path, upstream: Upstream, collector: Collector
) -> None:
    """Dead or a black hole: calls go on, the cassette is there, and our own share of the exit is under two seconds."""
    app = script(tmp_path, f"import os, requests\nfor _ in range(20): {CALL}print('done', flush=True)\n")
    collector.stop() if state == "stopped" else collector.pause()
    try:
        more = {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",  # without us, the launcher would want gRPC
            "OTEL_EXPORTER_OTLP_TIMEOUT": "2",
        }
        seconds = {}
        for mode in ("off", "record"):
            env = recording(tmp_path, upstream, **more, TIMETRACER_MODE=mode)
            command = [*LAUNCHER, PYTHON, str(app)]
            with subprocess.Popen(
                command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                assert process.stdout is not None
                assert process.stdout.readline() == b"done\n"
                began = time.monotonic()
                process.communicate(timeout=90)
                seconds[mode] = time.monotonic() - began
            assert process.returncode == 0
        assert seconds["record"] < seconds["off"] + 2, seconds
    finally:
        collector.start() if state == "stopped" else collector.process.resume()
    (cassette,) = cassettes(tmp_path)
    assert len(cassette.events) == 20


def test_a_collector_that_does_not_answer_slows_no_request(shop: Shop, collector: Collector) -> None:
    """Requests are answered and recorded while everything is sent into a black hole."""
    collector.pause()
    try:
        more = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        asked = [Asked("GET", f"/orders/{n}/") for n in range(1, 21)]
        more |= {"OTEL_BSP_SCHEDULE_DELAY": "50", "OTEL_EXPORTER_OTLP_TIMEOUT": "2"}
        answers = shop.run("record", GUNICORN, asked, **more)
    finally:
        collector.process.resume()
    assert {answer.status for answer in answers} == {200}
    assert len(shop.recorded()) == 20


if sys.platform == "win32" or not hasattr(os, "fork"):
    pytest.skip("processes here are POSIX ones", allow_module_level=True)
