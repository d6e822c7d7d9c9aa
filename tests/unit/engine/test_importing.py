"""What is to be done when a package is imported is done once, whatever else is asked about the package before."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from timetracer.engine.importing import when_imported

_count = iter(range(100))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package that nobody has imported; its name is another one in each test."""
    name = f"imported_later_{next(_count)}"
    (tmp_path / name).mkdir()
    (tmp_path / name / "__init__.py").write_text(f"from {name}.part import DONE\nREADY = True\n")
    (tmp_path / name / "part.py").write_text("import time\ntime.sleep(0.05)\nDONE = True\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_an_action_runs_after_the_whole_package_and_before_its_importer_goes_on(package: str) -> None:
    """An action finds the package complete; a second import runs nothing."""
    seen: list[bool] = []
    when_imported(package, "test", lambda: seen.append(sys.modules[package].READY))
    assert seen == []
    importlib.import_module(f"{package}.part")
    assert seen == [True]
    importlib.reload(sys.modules[package])
    assert seen == [True]


def test_a_package_that_is_there_is_acted_on_at_once(package: str) -> None:
    """Nothing waits for what was imported before."""
    importlib.import_module(package)
    seen: list[str] = []
    when_imported(package, "test", lambda: seen.append("done"))
    assert seen == ["done"]


def test_looking_for_a_package_is_no_import_of_it(package: str) -> None:
    """An app that only asks whether a package is installed, as many do, takes nothing away from its import."""
    seen: list[str] = []
    when_imported(package, "test", lambda: seen.append("done"))
    assert importlib.util.find_spec(package) is not None
    assert importlib.util.find_spec(package) is not None
    assert seen == []
    importlib.import_module(package)
    assert seen == ["done"]


def test_threads_that_import_a_package_at_once_have_it_acted_on_once(package: str) -> None:
    """The first import of a library often comes with the first requests, several at a time."""
    seen: list[bool] = []
    when_imported(package, "test", lambda: seen.append(sys.modules[package].READY))
    threads = [threading.Thread(target=importlib.import_module, args=(package,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True]


def test_an_import_that_fails_is_waited_for_again(package: str, tmp_path: Path) -> None:
    """A second attempt that succeeds runs the action."""
    init = tmp_path / package / "__init__.py"
    text = init.read_text()
    init.write_text("raise ImportError('not yet')\n")
    seen: list[str] = []
    when_imported(package, "test", lambda: seen.append("done"))
    with pytest.raises(ImportError, match="not yet"):
        importlib.import_module(package)
    init.write_text(text + "\n# another length: the bytecode of the first is not taken for it\n")
    importlib.invalidate_caches()
    importlib.import_module(package)
    assert seen == ["done"]


def test_an_action_that_fails_fails_the_import_each_time(package: str) -> None:
    """A replay whose patch cannot be applied does not go on with the library unpatched, not even at the second try."""

    def refuse() -> None:
        raise RuntimeError("cannot patch")

    when_imported(package, "test", refuse)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="cannot patch"):
            importlib.import_module(package)


def test_the_last_action_of_a_purpose_counts_and_purposes_do_not_disturb_each_other(package: str) -> None:
    """Turned over to another mode, a process does for the library what that mode asks, once."""
    seen: list[str] = []
    when_imported(package, "one", lambda: seen.append("first"))
    when_imported(package, "two", lambda: seen.append("other"))
    when_imported(package, "one", lambda: seen.append("second"))
    importlib.import_module(package)
    assert seen == ["second", "other"]


def test_the_loader_that_others_see_is_the_real_one(package: str) -> None:
    """What asks a module for its source, its files or its loader meets nothing of ours."""
    when_imported(package, "test", lambda: None)
    module = importlib.import_module(package)
    assert module.__spec__ is not None
    assert type(module.__loader__).__module__ == type(module.__spec__.loader).__module__ == "_frozen_importlib_external"


_LATE = """
import sys
from timetracer.plugins import enable_psycopg
enable_psycopg()
assert "psycopg_pool" not in sys.modules and "multiprocessing" not in sys.modules
from psycopg_pool import ConnectionPool
print(ConnectionPool.run_task.__code__.co_filename)
"""


def test_a_pool_is_patched_with_its_import_and_not_imported_to_be_patched() -> None:
    """A start with psycopg alone does not pay for psycopg_pool, whose import is as good as its use."""
    done = subprocess.run([sys.executable, "-c", _LATE], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.strip().endswith("wrapping.py")
