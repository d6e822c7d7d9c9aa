"""Start-up in real processes: a replay that cannot start ends before app code, and a recording never stops the app.

Each test runs an app that would reach a listener of ours; whether anything connected tells whether it failed closed.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.server_process import ServerProcess, free_ports
from timetracer.cassette import model

ROOT = Path(__file__).parents[2]
APP = """
import socket, sys
print("app code ran", flush=True)
socket.create_connection(("127.0.0.1", int(sys.argv[-1]))).close()
"""
LAUNCHER = "#!{python}\nfrom opentelemetry.instrumentation.auto_instrumentation import run\nrun()\n"


class Listener:
    """Listens, and tells whether anybody connected."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.port = str(self.socket.getsockname()[1])

    def connections(self) -> int:
        count = 0
        while True:
            try:
                self.socket.accept()[0].close()
            except BlockingIOError:
                return count
            count += 1


@pytest.fixture
def upstream() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.socket.close()


@pytest.fixture(scope="session")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with our .pth file, on top of what the tests run with: also where nothing is installed there."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=False, symlinks=True)
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    lines = [str(ROOT / "src"), *(path for path in sys.path if path.endswith("-packages"))]
    (packages / "a_paths.pth").write_text("\n".join(lines))
    pth = ROOT / "src" / "timetracer_replay.pth"
    (packages / pth.name).write_bytes(pth.read_bytes())
    metadata = packages / "timetracer-2.0.0.dist-info"  # its entry points are what the launcher goes by
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: timetracer\nVersion: 2.0.0\n")
    (metadata / "entry_points.txt").write_text(
        "[opentelemetry_distro]\ntimetracer = timetracer.telemetry.distro:TimetracerDistro\n"
        "[opentelemetry_pre_instrument]\ntimetracer = timetracer.runtime:pre_instrument\n"
        "[opentelemetry_post_instrument]\ntimetracer = timetracer.runtime:post_instrument\n"
    )
    launcher = folder / "bin" / "opentelemetry-instrument"
    launcher.write_text(LAUNCHER.format(python=folder / "bin" / "python"))
    launcher.chmod(0o755)
    return folder / "bin"


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with the app, a good cassette, a truncated one and a package that cannot be imported."""
    (tmp_path / "app.py").write_text(APP)
    trace = model.Trace(trace_id="1" * 32, root_id="2" * 16, start="2026-01-02T03:04:05.000000+00:00")
    data = msgspec.json.encode(model.Cassette(trace=trace))
    (tmp_path / "good.json").write_bytes(data)
    (tmp_path / "truncated.json").write_bytes(data[:40])
    return tmp_path


def run(command: list[str], place: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith(("TIMETRACER_", "OTEL_", "PYTHON"))}
    environ = ours | {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"} | variables
    return subprocess.run(
        command, cwd=place, env=environ, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )


def launched(environment: Path, *command: str) -> list[str]:
    return [str(environment / "opentelemetry-instrument"), str(environment / "python"), *command]


def replaying(**variables: str) -> dict[str, str]:
    return {"TIMETRACER_MODE": "replay", "TIMETRACER_CASSETTE": "good.json", "OTEL_TRACES_EXPORTER": "none"} | variables


BROKEN = {
    "exporter": ({"OTEL_TRACES_EXPORTER": "nonexistent"}, 2, "OTEL_TRACES_EXPORTER"),
    "protocol": ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "pigeon"}, 2, "OTLP_PROTOCOL"),
    "no cassette": ({"TIMETRACER_CASSETTE": "nowhere.json"}, 3, "nowhere.json"),
    "truncated cassette": ({"TIMETRACER_CASSETTE": "truncated.json"}, 3, "truncated.json"),
    "variable": ({"TIMETRACER_SAMPLE_RATE": "often"}, 2, "TIMETRACER_SAMPLE_RATE='often'"),
    "mode": ({"TIMETRACER_MODE": "reply"}, 2, "TIMETRACER_MODE='reply'"),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_replay_that_cannot_start_ends_before_app_code(
    fault: str, environment: Path, place: Path, upstream: Listener
) -> None:
    """Under the launcher, which swallows errors of start-up, each fault ends the process and is named in one line."""
    variables, code, named = BROKEN[fault]
    done = run(launched(environment, "app.py", upstream.port), place, **replaying(**variables))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    (said,) = done.stderr.strip().splitlines()
    assert named in said
    assert upstream.connections() == 0


@pytest.mark.parametrize("fault", ["no cassette", "truncated cassette", "variable", "mode"])
def test_a_replay_without_launcher_ends_the_same_way(
    fault: str, environment: Path, place: Path, upstream: Listener
) -> None:
    """The variables alone start a replay, and end it where it cannot start."""
    variables, code, named = BROKEN[fault]
    done = run([str(environment / "python"), "app.py", upstream.port], place, **replaying(**variables))
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert named in done.stderr.strip().splitlines()[-1]
    assert upstream.connections() == 0


def test_a_plugin_that_cannot_be_imported_ends_a_replay(environment: Path, place: Path, upstream: Listener) -> None:
    """An exception inside our own hook is swallowed by the launcher, and still no app code runs."""
    metadata = place / "broken_plugin-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[timetracer_plugin]\nlogging = broken_plugin:PLUGIN\n")
    (place / "broken_plugin.py").write_text("1 / 0")
    app = ["app.py", upstream.port]
    for command in (launched(environment, *app), [str(environment / "python"), *app]):
        done = run(command, place, **replaying(PYTHONPATH=str(place), PYTHONSTARTUP=""))
        if done.returncode == 0 or upstream.connections():
            pytest.fail(f"the app ran: {done.stderr}")
        assert "ZeroDivisionError" in done.stderr
        assert done.stdout == ""


@pytest.mark.parametrize("mode", ["record", "replay"])
def test_an_untested_release_is_said_once_and_used(
    mode: str, environment: Path, place: Path, upstream: Listener
) -> None:
    """With the launcher and without, the start names the release and the range, and the app runs."""
    metadata = place / "new_plugin-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: new-plugin\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[timetracer_plugin]\nlogging = new_plugin:PLUGIN\n")
    (place / "new_plugin.py").write_text(
        "from timetracer.plugin import Plugin\n"
        'PLUGIN = Plugin(name="logging", kind="db", library="opentelemetry-api>=99", patches=())\n'
    )
    (place / "quiet.py").write_text("print('ran')")
    for command in (launched(environment, "quiet.py"), [str(environment / "python"), "quiet.py"]):
        done = run(command, place, **replaying(PYTHONPATH=str(place), TIMETRACER_MODE=mode))
        assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
        (told,) = [line for line in done.stderr.splitlines() if "opentelemetry-api" in line]
        assert "is not among the releases that timetracer was tested with (opentelemetry-api>=99)" in told


WAYS = {
    "file": ["app.py"],
    "module": ["-m", "app"],
    "command": ["-c", APP],
    "folder": ["."],
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("with_launcher", [True, False])
def test_every_way_to_start_python_is_armed(
    way: str, with_launcher: bool, environment: Path, place: Path, upstream: Listener
) -> None:
    """The app runs, and its connection is refused with the address and the line that tried."""
    (place / "__main__.py").write_text(APP)
    command = [*WAYS[way], upstream.port]
    command = launched(environment, *command) if with_launcher else [str(environment / "python"), *command]
    done = run(command, place, **replaying())
    assert done.stdout == "app code ran\n", done.stderr
    assert f"NetworkBlocked: the program itself tried to reach 127.0.0.1:{upstream.port}" in done.stderr
    assert (done.returncode, upstream.connections()) == (1, 0)


def test_code_on_standard_input_is_armed(environment: Path, place: Path, upstream: Listener) -> None:
    """`python < script` is app code too."""
    script = place / "piped.py"
    script.write_text(APP.replace("sys.argv[-1]", repr(upstream.port)))
    with script.open() as piped:
        environ = {**os.environ, **replaying(TIMETRACER_CASSETTE="truncated.json")}
        done = subprocess.run(
            [str(environment / "python")],
            cwd=place,
            env=environ,
            stdin=piped,
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stdout, upstream.connections()) == (3, "", 0)


def test_a_child_process_of_the_app_is_armed(environment: Path, place: Path, upstream: Listener) -> None:
    """What multiprocessing spawns runs app code, and its connections are refused as well."""
    (place / "app.py").write_text(
        "import multiprocessing, socket, sys\n"
        "def work(port):\n    socket.create_connection(('127.0.0.1', port)).close()\n"
        "if __name__ == '__main__':\n"
        "    multiprocessing.set_start_method('spawn')\n"
        "    child = multiprocessing.Process(target=work, args=(int(sys.argv[1]),))\n"
        "    child.start(); child.join(); print('child', child.exitcode)\n"
    )
    done = run([str(environment / "python"), "app.py", upstream.port], place, **replaying())
    assert done.stdout == "child 1\n", done.stderr
    assert "NetworkBlocked" in done.stderr
    assert upstream.connections() == 0


@pytest.mark.parametrize(
    "variables",
    [
        {"OTEL_SDK_DISABLED": "true"},
        {"OTEL_PYTHON_DISTRO": "distro"},
        {"OTEL_PYTHON_DISTRO": "timetracer"},
        {"OTEL_PYTHON_DISTRO": "misspelt"},
    ],
    ids=lambda variables: "-".join(variables.values()),
)
def test_any_distribution_and_a_disabled_sdk_are_armed(
    variables: dict[str, str], environment: Path, place: Path, upstream: Listener
) -> None:
    """Whichever distribution wins, and without spans, the app runs behind the fence."""
    done = run(launched(environment, "app.py", upstream.port), place, **replaying(**variables))
    assert done.stdout == "app code ran\n", done.stderr
    assert "NetworkBlocked" in done.stderr
    assert upstream.connections() == 0


@pytest.mark.parametrize(
    "variables", [{"OTEL_TRACES_EXPORTER": "nonexistent"}, {"TIMETRACER_SAMPLE_RATE": "often"}, {}]
)
@pytest.mark.parametrize("with_launcher", [True, False])
def test_recording_never_stops_the_app(
    variables: dict[str, str], with_launcher: bool, environment: Path, place: Path, upstream: Listener
) -> None:
    """What is wrong is said, and the app reaches its server."""
    app = ["app.py", upstream.port]
    command = launched(environment, *app) if with_launcher else [str(environment / "python"), *app]
    done = run(command, place, **{"TIMETRACER_MODE": "record", "OTEL_TRACES_EXPORTER": "none"} | variables)
    assert (done.returncode, done.stdout, upstream.connections()) == (0, "app code ran\n", 1), done.stderr
    if "TIMETRACER_SAMPLE_RATE" in variables:
        assert "TIMETRACER_SAMPLE_RATE='often'" in done.stderr


def test_tools_of_the_environment_are_left_alone(environment: Path, place: Path) -> None:
    """pip, venv and the launcher itself run, whatever the cassette is like."""
    for command in (["-m", "venv", "--without-pip", "there"], ["-m", "timetracer.cli", "--help"]):
        done = run([str(environment / "python"), *command], place, **replaying(TIMETRACER_CASSETTE="truncated.json"))
        assert "truncated.json" not in done.stderr
    command = [str(environment / "opentelemetry-instrument"), "--version"]
    done = run(command, place, **replaying(TIMETRACER_CASSETTE="truncated.json"))
    assert (done.returncode, done.stderr) == (0, "")


def test_an_apps_own_pip_is_app_code(environment: Path, place: Path, upstream: Listener) -> None:
    """Only a console script of the environment is a tool; a file that is merely called like one is not."""
    (place / "pip").write_text(APP)
    command = [str(environment / "python"), "pip", upstream.port]
    done = run(command, place, **replaying(TIMETRACER_CASSETTE="truncated.json"))
    assert (done.returncode, done.stdout, upstream.connections()) == (3, "", 0)


EMBEDDED = """
import sys
sys.path[:0] = {path!r}
from timetracer import arming
arming.arm("replay")  # as the .pth file does; no event announced app code since
import socket
socket.create_connection(("127.0.0.1", {port}))
"""


@pytest.mark.parametrize(("cassette", "code", "named"), [("good.json", 1, "NetworkBlocked"), ("no.json", 3, "no.json")])
def test_an_embedded_interpreter_is_armed_by_its_first_connection(
    cassette: str, code: int, named: str, environment: Path, place: Path, upstream: Listener
) -> None:
    """uWSGI and mod_wsgi run app code without an audit event; not even the first connection gets out."""
    path = [str(ROOT / "src"), *(path for path in sys.path if path.endswith("-packages"))]
    command = [str(environment / "python"), "-S", "-c", EMBEDDED.format(path=path, port=upstream.port)]
    done = run(command, place, **replaying(TIMETRACER_CASSETTE=cassette))
    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert upstream.connections() == 0


SPANS = """
from opentelemetry import trace
{setup}
with trace.get_tracer("app").start_as_current_span("work"), trace.get_tracer("app").start_as_current_span("step"):
    pass
"""
OWN_PROVIDER = """
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
"""


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
@pytest.mark.parametrize("setup", ["", OWN_PROVIDER], ids=["launcher's provider", "app's provider"])
def test_spans_of_any_provider_are_recorded_whatever_is_exported(
    setup: str, sampler: str, environment: Path, place: Path
) -> None:
    """OTel's sampler decides about the exporters, and only about them."""
    (place / "app.py").write_text(SPANS.format(setup=setup))
    command = [str(environment / "python"), "app.py"] if setup else launched(environment, "app.py")
    variables = {"TIMETRACER_MODE": "record", "OTEL_TRACES_EXPORTER": "console", "OTEL_TRACES_SAMPLER": sampler}
    done = run(command, place, **variables)
    assert done.returncode == 0, done.stderr
    (path,) = (place / "cassettes").rglob("*.json")
    cassette = msgspec.json.decode(path.read_bytes(), type=model.Cassette)
    assert [span.name for span in cassette.spans] == ["step", "work"]
    assert cassette.spans[1].attributes["timetracer.mode"] == "record"
    assert ('"name": "work"' in done.stdout) == (sampler == "always_on")


WSGI = """
def application(environ, start_response):
    import socket
    try:
        socket.create_connection(("127.0.0.1", {port}))
        answer = b"reached"
    except Exception as error:
        answer = type(error).__name__.encode()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [answer]
"""
ASGI = """
from web import application as wsgi
from asgiref.wsgi import WsgiToAsgi
asgi = WsgiToAsgi(wsgi)
"""
DJANGO = """
import os, sys, types
import django.conf, django.urls, django.http
from web import application
def view(request):
    return django.http.HttpResponse(application({}, lambda *args: None)[0])
if __name__ == "__main__":
    django.conf.settings.configure(
        ROOT_URLCONF="manage_it", ALLOWED_HOSTS=["*"], DEBUG=True, SECRET_KEY="x", MIDDLEWARE=[], INSTALLED_APPS=[]
    )
    sys.modules["manage_it"] = types.SimpleNamespace(urlpatterns=[django.urls.path("", view)])
    from django.core.management import execute_from_command_line
    execute_from_command_line(sys.argv)
"""
SERVERS = {
    "gunicorn": ["-m", "gunicorn", "web:application", "-b", "127.0.0.1:{port}", "-w", "2"],
    "gunicorn preload": ["-m", "gunicorn", "web:application", "-b", "127.0.0.1:{port}", "--preload"],
    "uvicorn": ["-m", "uvicorn", "web_async:asgi", "--port", "{port}"],
    "runserver": ["manage_it.py", "runserver", "--noreload", "{port}"],
}


@pytest.mark.parametrize("server", SERVERS)
def test_servers_listen_and_accept_behind_the_fence(
    server: str, environment: Path, place: Path, upstream: Listener
) -> None:
    """Serving is no connecting: a server starts, forks and answers, and its app reaches nothing."""
    (place / "web.py").write_text(WSGI.format(port=upstream.port))
    (place / "web_async.py").write_text(ASGI)
    (place / "manage_it.py").write_text(DJANGO)
    (port,) = free_ports(1)
    command = [str(environment / "python"), *(part.format(port=port) for part in SERVERS[server])]

    def ask() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.0\r\nHost: localhost\r\n\r\n")
            answer = b""
            while chunk := client.recv(65536):
                answer += chunk
            return answer

    process = ServerProcess(
        server.replace(" ", "-"), command, ready=lambda: bool(ask()), folder=place, environment=replaying()
    )
    process.start()
    try:
        assert ask().endswith(b"NetworkBlocked"), process.log.read_text()
    finally:
        process.stop()
    assert upstream.connections() == 0
