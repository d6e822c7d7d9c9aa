"""A plugin is installed with its library: when that is imported, however often somebody only looked for it."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from timetracer.runtime.libraries import _Late

LIBRARY = "a_library_of_this_test"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """Grows by whether the library was whole, each time that its plugin is installed."""
    (tmp_path / f"{LIBRARY}.py").write_text("import time\ntime.sleep(0.05)\nwhole = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    before, seen = list(sys.meta_path), list[bool]()
    _Late.wait_for({LIBRARY: lambda: seen.append(hasattr(sys.modules[LIBRARY], "whole"))})
    yield seen
    sys.meta_path[:] = before
    sys.modules.pop(LIBRARY, None)


def test_who_looks_for_a_library_does_not_use_its_plugin_up(installed: list[bool]) -> None:
    """Frameworks look whether a package is there and import it later, or never."""
    assert importlib.util.find_spec(LIBRARY) is not None
    assert importlib.util.find_spec(LIBRARY) is not None
    assert installed == []
    module = importlib.import_module(LIBRARY)
    assert installed == [True]
    assert type(module.__spec__.loader).__module__ != _Late.__module__  # type: ignore[union-attr]
    importlib.reload(module)
    assert installed == [True]


def test_threads_that_import_a_library_at_once_install_its_plugin_once(installed: list[bool]) -> None:
    """The first import of a library often comes with the first requests, several at a time."""
    threads = [threading.Thread(target=importlib.import_module, args=(LIBRARY,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert installed == [True]


def test_a_library_that_fails_to_import_is_waited_for(installed: list[bool], tmp_path: Path) -> None:
    """A second attempt may succeed, and then the plugin is installed."""
    good = (tmp_path / f"{LIBRARY}.py").read_text()
    (tmp_path / f"{LIBRARY}.py").write_text(
        "raise ImportError('not now')  # longer than it was before, for the cache\n"
    )
    importlib.invalidate_caches()
    with pytest.raises(ImportError, match="not now"):
        importlib.import_module(LIBRARY)
    (tmp_path / f"{LIBRARY}.py").write_text(good)
    importlib.invalidate_caches()
    importlib.import_module(LIBRARY)
    assert installed == [True]
