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

from tests.e2e.serving import BIN, LAUNCHER, Asked, ask, environment, finished, serving
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


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
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


SELF = "os.kill(os.getpid(), signal.{})\ntime.sleep(30)\n"
SIGNALLED = {
    "a handler that raises": "def stop(*_): raise SystemExit(9)\nsignal.signal(signal.SIGTERM, stop)\n"
    + SELF.format("SIGTERM"),
    "a handler that calls the one before": "before = signal.getsignal(signal.SIGTERM)\n"
    "def stop(*given):\n"
    "    print('mine', flush=True)\n"
    "    signal.signal(signal.SIGTERM, before)\n"
    "    os.kill(os.getpid(), signal.SIGTERM)\n"
    "signal.signal(signal.SIGTERM, stop)\n" + SELF.format("SIGTERM"),
    "ignored": "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nos.kill(os.getpid(), signal.SIGTERM)\nprint('here')\n",
    "set back to default": "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n" + SELF.format("SIGTERM"),
    "SIGINT handled": "signal.signal(signal.SIGINT, lambda *_: sys.exit(4))\n" + SELF.format("SIGINT"),
    "SIGINT caught": "try:\n    os.kill(os.getpid(), signal.SIGINT); time.sleep(30)\n"
    "except KeyboardInterrupt: print('caught')\n",
    "SIGHUP": SELF.format("SIGHUP"),
    "SIGTERM in asyncio": "import asyncio\n"
    "async def main():\n"
    "    done = asyncio.Event()\n"
    "    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, done.set)\n"
    "    os.kill(os.getpid(), signal.SIGTERM)\n"
    "    await done.wait()\n"
    "    print('gracefully')\n"
    "asyncio.run(main())\n",
    "SIGTERM beside a thread": "import threading\n"
    "threading.Thread(target=time.sleep, args=(30,), daemon=True).start()\n" + SELF.format("SIGTERM"),
    "twice": "os.kill(os.getpid(), signal.SIGTERM)\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(30)\n",
    "a child's SIGTERM": "child = os.fork()\n"
    "if not child:\n"
    "    time.sleep(30)\n"
    "    os._exit(1)\n"
    "os.kill(child, signal.SIGTERM)\n"
    "print(os.waitpid(child, 0)[1])\n",
    "a subprocess's SIGTERM": "import subprocess\n"
    "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(30)'])\n"
    "child.terminate()\n"
    "print(child.wait())\n",
    "os._exit": "os._exit(5)\n",
    "SIGKILL": SELF.format("SIGKILL"),
}
LOST = ("os._exit", "SIGKILL", "SIGHUP", "set back to default")
"""Ends that leave no time to write anything, as ever."""


@pytest.mark.parametrize("name", SIGNALLED)
def test_signals_do_what_they_do_without_us(name: str, tmp_path: Path, upstream: Upstream) -> None:
    """The same exit code and the same output, whether recorded or not; what is under a final name is whole."""
    app = script(tmp_path, f"import os, signal, sys, time, requests\n{CALL}{SIGNALLED[name]}")
    ended = []
    for mode in ("off", "record"):
        env = recording(tmp_path, upstream, TIMETRACER_MODE=mode)
        done = finished([PYTHON, str(app)], folder=tmp_path, env=env)
        ended.append((done.returncode, done.stdout, done.stderr))
    assert ended[1] == ended[0]
    assert len(cassettes(tmp_path)) == (0 if name in LOST else 1)
    assert not (tmp_path / "cassettes").exists() or leftovers(tmp_path / "cassettes") == []


@pytest.mark.parametrize("server", ["gunicorn", "uvicorn"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_ends_as_without_us(server: str, number: signal.Signals, tmp_path: Path, upstream: Upstream) -> None:
    """Its exit code is what it is without us, and the requests that were answered are written."""
    (tmp_path / "service.py").write_text(SERVICE)
    options = {
        "gunicorn": ["service:wsgi", "--bind", "127.0.0.1:{port}", "--workers", "1"],
        "uvicorn": ["service:asgi", "--host", "127.0.0.1", "--port", "{port}", "--lifespan", "off"],
    }
    codes = []
    for mode in ("off", "record"):
        env = recording(tmp_path, upstream, TIMETRACER_MODE=mode, PYTHONPATH=str(tmp_path))
        command = [*LAUNCHER, str(BIN / server), *options[server]]
        with serving(command, folder=tmp_path, env=env, log=tmp_path / f"{mode}.log") as app:
            assert ask(app.port, Asked("GET", "/")).body == b"200"
            app.process.send_signal(number)
            codes.append(app.process.wait(30))
    assert codes[1] == codes[0]
    calls = [len(cassette.events) for cassette in cassettes(tmp_path) if cassette.inbound is not None]
    assert calls == [1, 1]
    assert leftovers(tmp_path / "cassettes") == []


SERVICE = """
import os
import requests
from timetracer.integrations.asgi import TimeTracerMiddleware as Asgi
from timetracer.integrations.wsgi import TimeTracerMiddleware as Wsgi


def call():
    return str(requests.get(os.environ["UPSTREAM"] + "/json", timeout=10).status_code).encode()


def plain(environ, start_response):
    start_response("200 OK", [])
    return [call()]


async def asynchronous(scope, receive, send):
    body = call()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


wsgi, asgi = Wsgi(plain), Asgi(asynchronous)
"""


def test_a_fork_within_a_request_leaves_one_cassette(tmp_path: Path, upstream: Upstream) -> None:
    """The parent's: what the child does after it is the child's own, and both end as without us."""
    app = script(
        tmp_path,
        "import os, requests, timetracer\n"
        "from timetracer.integrations.wsgi import TimeTracerMiddleware\n"
        "def app(environ, start_response):\n"
        f"    {CALL}"
        "    child = os.fork()\n"
        f"    if not child:\n        {CALL}        os._exit(3)\n"
        "    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3\n"
        f"    {CALL}"
        "    start_response('200 OK', [])\n"
        "    return [b'done']\n"
        "import io\n"
        "environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': '/', 'wsgi.input': io.BytesIO(), 'SERVER_NAME': 'x',"
        " 'SERVER_PORT': '80', 'wsgi.url_scheme': 'http'}\n"
        "for _ in range(2): print(TimeTracerMiddleware(app)(dict(environ), lambda *given: None))\n",
    )
    done = finished([PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream))
    assert (done.returncode, done.stdout) == (0, "[b'done']\n" * 2), done.stderr
    assert [len(cassette.events) for cassette in cassettes(tmp_path)] == [2, 2]
    assert leftovers(tmp_path / "cassettes") == []


def test_a_full_disk_is_said_once_and_the_process_goes_on(tmp_path: Path, upstream: Upstream) -> None:
    """Whoever records with the variables alone: every call is answered, and one line tells of the trouble."""
    app = script(
        tmp_path,
        "import os, resource, requests, io\n"
        "from timetracer.integrations.wsgi import TimeTracerMiddleware\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1024, -1))\n"
        "def app(environ, start_response):\n"
        "    start_response('200 OK', [])\n"
        "    return [requests.get(os.environ['UPSTREAM'] + '/bytes/3000', timeout=10).content]\n"
        "environ = {'REQUEST_METHOD': 'GET', 'PATH_INFO': '/', 'wsgi.input': io.BytesIO(), 'SERVER_NAME': 'x',"
        " 'SERVER_PORT': '80', 'wsgi.url_scheme': 'http'}\n"
        "for _ in range(20): assert len(TimeTracerMiddleware(app)(dict(environ), lambda *given: None)[0]) == 3000\n"
        "print('all went well')\n",
    )
    done = finished([PYTHON, str(app)], folder=tmp_path, env=recording(tmp_path, upstream))
    assert (done.returncode, done.stdout) == (0, "all went well\n"), done.stderr
    assert done.stderr.count("cannot be written: File too large") == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert [path for path in (tmp_path / "cassettes").rglob("*") if path.is_file()] == []


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
