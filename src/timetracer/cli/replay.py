"""`timetracer replay`: sends recorded requests again, and says what came of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from timetracer.cli import BAD_CASSETTE, FAILED, cassettes, terminal

if TYPE_CHECKING:
    from collections.abc import Callable

    from timetracer.runner.findings import Finding
    from timetracer.runner.plan import Plan

_STYLES = {"matched": "green", "changed": "red", "failed": "red", "skipped": "yellow"}
_AT_ONCE = 4  # requests to one server, unless told otherwise


@click.command()
@click.argument("paths", metavar="[CASSETTE|DIR]...", nargs=-1, type=click.Path(path_type=Path))
@click.option("--app", metavar="MODULE:ATTR", help="A WSGI or ASGI application, run in processes of our own.")
@click.option("--url", help="A server that runs with TIMETRACER_MODE=replay on this machine.")
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Processes of --app (1), or requests at once (4)."
)
@click.option("--junit", type=click.Path(dir_okay=False, path_type=Path), help="Write a JUnit report.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write an HTML report.")
@click.option(
    "--ignore", "ignored", metavar="FIELD", multiple=True,
    help="A header, query or JSON field, or a JSON path ($.items[*].id), to leave out. May be repeated.",
)  # fmt: skip
@click.option("--update", is_flag=True, help="Rewrite the recorded answers, and drop calls that are made no more.")
@cassettes.json_option
@click.pass_obj
def command(
    settings: Any,
    paths: tuple[Path, ...],
    app: str | None,
    url: str | None,
    workers: int | None,
    junit: Path | None,
    html: Path | None,
    ignored: tuple[str, ...],
    update: bool,
    as_json: bool,
) -> None:
    """Send each recorded request again, with its dependencies replayed, and compare the answer and the calls.

    \b
    timetracer replay cassettes --app shop.wsgi:application
    timetracer replay cassettes --url http://127.0.0.1:8000

    Without a path: the cassettes of TIMETRACER_CASSETTE_DIR. Exit code 1 if anything differs, 3 for a cassette that
    cannot be read. More: docs/runner.md.
    """
    if (app is None) == (url is None):
        raise click.UsageError("one of --app and --url is needed")
    from timetracer.runner import plan, pool

    config = cassettes.configuration(settings)
    made = plan.make(paths or (Path(config.cassette_dir),), config)
    order = pool.Order(
        workers=workers or (1 if app else _AT_ONCE), settings=settings or {}, ignored=ignored, update=update
    )
    started = datetime.now().isoformat(timespec="seconds")
    findings = list(made.skipped)
    with _progress(len(made.cases), shown=not as_json) as advance:
        for finding in _results(made, app, url, order):
            findings.append(finding)
            advance()
    findings.sort(key=lambda finding: finding.file)
    _write(findings, made, junit, html, started)
    _print(findings, made, as_json=as_json)
    if made.bad:
        raise SystemExit(BAD_CASSETTE)
    if any(finding.outcome in ("changed", "failed") for finding in findings):
        raise SystemExit(FAILED)


def _results(made: Plan, app: str | None, url: str | None, order: Any) -> Iterator[Finding]:
    from timetracer.runner import pool

    if not made.cases:
        return iter(())
    return pool.run_application(made, app, order) if app is not None else pool.ask_server(made, str(url), order)


@contextmanager
def _progress(count: int, *, shown: bool) -> Iterator[Callable[[], object]]:
    """Shows how far it is, where a terminal is."""
    console = terminal.console(error=True)
    if not shown or not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("replaying", total=count)
        yield lambda: bar.advance(task)


def _write(findings: list[Finding], made: Plan, junit: Path | None, html: Path | None, started: str) -> None:
    if junit is not None:
        from timetracer.runner import junit as junit_report

        junit_report.write(junit, findings, made.bad, started=started)
    if html is not None:
        from timetracer.runner import html as html_report

        html_report.write(html, findings, made.bad, started=started)


def _print(findings: list[Finding], made: Plan, *, as_json: bool) -> None:
    from timetracer.runner import wording

    if as_json:
        import msgspec

        bad = [{"file": str(path), "error": error} for path, error in made.bad]
        data = {"summary": wording.counts(findings), "cassettes": msgspec.to_builtins(findings), "broken": bad}
        terminal.print_json(data)
        return
    _print_table(findings)
    out = terminal.console()
    for finding in findings:
        as_recorded = finding.outcome == "matched" and not finding.notes
        if not as_recorded and finding.outcome != "skipped":
            out.print()
            out.print(terminal.styled(f"{finding.name}  {finding.file}", "bold"), soft_wrap=True)
            for line in wording.lines(finding):
                for part in line.splitlines():
                    out.print(terminal.styled(f"  {part}"), soft_wrap=True)
    for path, error in made.bad:
        terminal.print_error(f"{path}: {error}")
    out.print()
    out.print(terminal.styled(wording.summary(findings), "bold"), soft_wrap=True)


def _print_table(findings: list[Finding]) -> None:
    kinds = ("matched", "changed", "missing", "extra")
    made = terminal.table("outcome", "request", *kinds, "time", "file", right=(*kinds, "time"))
    for finding in findings:
        counts = [finding.matched, finding.count("changed"), finding.count("missing") + finding.count("unreached")]
        cells = [str(count) if count else "" for count in (*counts, finding.count("extra"))]
        made.add_row(
            terminal.styled("updated" if finding.updated else finding.outcome, _STYLES[finding.outcome]),
            terminal.styled(terminal.shortened(finding.name, 70)),
            *cells,
            terminal.milliseconds(finding.duration_ms) if finding.duration_ms else "",
            terminal.styled(finding.file, "dim"),
        )
    if findings:
        terminal.print_table(made)
