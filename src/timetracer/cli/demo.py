"""`timetracer demo`: records a small service, stops all it needs, replays it in a new process, and shows both."""

from __future__ import annotations

import http.client
import importlib.util
import json
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from timetracer import config as settings_of
from timetracer.cassette import store
from timetracer.cli import FAILED, terminal
from timetracer.cli.options import json_option
from timetracer.cli.run import launcher
from timetracer.errors import MissingDependencyError

_SECONDS = 30.0
"""How long a process may take to be up, or to end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered, and how long it and each of its calls took, in milliseconds."""

    status: int
    body: str
    duration_ms: float
    calls: list[tuple[str, float]]


@click.command()
@click.option("--keep", "folder", type=click.Path(path_type=Path), help="Work in this folder, not in a temporary one.")
@json_option
def command(folder: Path | None, as_json: bool) -> None:
    """Record a small Django service, stop what it needs, replay it in a new process, and show both.

    It starts everything itself, on loopback, and takes a few seconds. Exits with 1 if the replay differs.
    """
    missing = [name for name in ("django", "httpx", "requests") if importlib.util.find_spec(name) is None]
    if missing:
        raise MissingDependencyError(f"the demo uses {', '.join(missing)}, and", "all")
    folder = Path(tempfile.mkdtemp(prefix="timetracer-demo-")) if folder is None else folder.absolute()
    say = _nothing if as_json else _step
    shop, recordings = _prepare(folder)
    environ = {**_environment(), "DJANGO_SETTINGS_MODULE": "shop", "OTEL_SERVICE_NAME": "shop"}
    with _upstream(environ) as (process, port):
        arguments = [*launcher(), sys.executable, str(shop), f"http://127.0.0.1:{port}", "1"]
        say(f"upstream service at 127.0.0.1:{port}, a SQLite database, and a Django service that asks both")
        before = set(store.find_cassettes(recordings))
        record = {**environ, "TIMETRACER_MODE": "record", "TIMETRACER_CASSETTE_DIR": str(recordings)}
        recorded = _asked(arguments, record, folder)
        say("recorded one request under opentelemetry-instrument, with no line of the service changed")
        process.terminate()
        process.wait(_SECONDS)
    made = sorted(set(store.find_cassettes(recordings)) - before)
    if not made:
        raise click.ClickException(f"nothing was recorded in {recordings}")
    _database(folder).unlink()
    stopped = _refused(port)
    say(f"upstream: {'stopped' if stopped else 'STILL RUNNING'}, database: deleted")
    replay = {**environ, "TIMETRACER_MODE": "replay", "TIMETRACER_CASSETTE": str(made[0])}
    replayed = _asked(arguments, replay, folder)
    say("replayed the request in a new process")
    equal = (recorded.status, recorded.body) == (replayed.status, replayed.body)
    if as_json:
        both = {"recorded": asdict(recorded), "replayed": asdict(replayed)}
        terminal.print_json({**both, "equal": equal, "upstream_stopped": stopped, "cassette": str(made[0])})
    else:
        _print(recorded, replayed, equal, made[0])
    if not (equal and stopped and recorded.status == 200):
        raise SystemExit(FAILED)


# ------------------------------------------------------------------------------------------------ what it takes


def _prepare(folder: Path) -> tuple[Path, Path]:
    """Puts the service and its database into the folder; returns its file, and where its cassettes go."""
    recordings = folder / "cassettes"
    recordings.mkdir(parents=True, exist_ok=True)
    shop = folder / "shop.py"
    shutil.copyfile(Path(__file__).with_name("demo_shop.py"), shop)
    _database(folder).unlink(missing_ok=True)
    with sqlite3.connect(_database(folder)) as connection:
        connection.execute("CREATE TABLE customers (id INTEGER PRIMARY KEY, name TEXT, discount INTEGER)")
        connection.execute("INSERT INTO customers VALUES (1, 'Ada', 5)")
    connection.close()
    return shop, recordings


def _database(folder: Path) -> Path:
    return folder / "shop.sqlite3"


def _environment() -> dict[str, str]:
    """Returns the environment without what would lead the demo elsewhere."""
    away = ("TIMETRACER_", "OTEL_", "DJANGO_", "_TIMETRACER")
    kept = {name: value for name, value in settings_of.environment().items() if not name.upper().startswith(away)}
    exporters = {f"OTEL_{signal}_EXPORTER": "none" for signal in ("TRACES", "METRICS", "LOGS")}
    proxies = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    return {**kept, **exporters, **proxies}


@contextmanager
def _running(arguments: list[str], environ: Mapping[str, str], folder: Path) -> Iterator[tuple[Any, int]]:
    """Runs a process that prints the port it listens on; ends it with the block."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        process = subprocess.Popen(
            arguments, env=dict(environ), cwd=folder, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8"
        )
        late = threading.Timer(_SECONDS, process.kill)
        late.start()
        try:
            said = iter(process.stdout or ())
            port = next((line.split("\t")[1] for line in said if line.startswith("listening\t")), None)
            if port is None:
                errors.seek(0)
                raise click.ClickException(
                    f"the demo's process did not start:\n{terminal.safe(errors.read(), lines=True)}"
                )
            yield process, int(port)
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(_SECONDS)
            late.cancel()
            if process.stdout is not None:
                process.stdout.close()


@contextmanager
def _upstream(environ: Mapping[str, str]) -> Iterator[tuple[Any, int]]:
    arguments = [sys.executable, "-m", "timetracer.cli.demo_upstream"]
    with _running(arguments, environ, Path.cwd()) as running:
        yield running


def _asked(arguments: list[str], environ: Mapping[str, str], folder: Path) -> Answer:
    """Runs the service, asks it once, and waits for its end."""
    with _running(arguments, environ, folder) as (process, port):
        start = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
        connection.request("GET", "/quote/lamp/")
        response = connection.getresponse()
        body = response.read().decode(errors="replace")
        duration = (time.perf_counter() - start) * 1000
        connection.close()
        lines = [line.rstrip("\n").split("\t") for line in process.stdout if line.startswith("call\t")]
        process.wait(_SECONDS)
    return Answer(response.status, body, round(duration, 2), [(name, float(took)) for _, name, took in lines])


def _refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return True
    return False


# ------------------------------------------------------------------------------------------------ for the eyes


def _nothing(text: str) -> None:
    """Says nothing: the output is JSON."""


def _step(text: str) -> None:
    terminal.console().print(Text.assemble(("✓ ", "green"), terminal.safe(text)), soft_wrap=True)


def _print(recorded: Answer, replayed: Answer, equal: bool, cassette: Path) -> None:
    out = terminal.console()
    made = terminal.table("", "recorded", "replayed", right=("recorded", "replayed"))
    for (name, live), (_, again) in zip(recorded.calls, replayed.calls, strict=False):
        made.add_row(terminal.styled(name), terminal.milliseconds(live), terminal.milliseconds(again))
    made.add_row(
        "GET /quote/lamp/", terminal.milliseconds(recorded.duration_ms), terminal.milliseconds(replayed.duration_ms)
    )
    made.add_row("status", str(recorded.status), str(replayed.status))
    one, two = _fields(recorded.body), _fields(replayed.body)
    for name in {**one, **two}:
        style = "" if one.get(name) == two.get(name) else "red"
        made.add_row(f"  {name}", *(terminal.styled(side.get(name, ""), style) for side in (one, two)))
    out.print()
    terminal.print_table(made)
    out.print()
    out.print(Text.assemble("answers equal: ", ("yes", "bold green") if equal else ("no", "bold red")))
    out.print(terminal.styled(f"cassette: {cassette}"), soft_wrap=True)
    out.print()
    out.print("try next:")
    for line in (f"timetracer show {cassette}", "timetracer run -- python your_script.py", "timetracer doctor"):
        out.print(terminal.styled(f"  {line}", "cyan"), soft_wrap=True)


def _fields(body: str) -> dict[str, str]:
    """Returns the fields of a JSON object as text, or the start of what is none."""
    try:
        value = json.loads(body)
    except ValueError:
        return {"answer": terminal.shortened(body, 60)}
    return {str(name): str(each) for name, each in value.items()} if isinstance(value, dict) else {"answer": str(value)}
