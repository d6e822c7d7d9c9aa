"""Does what is to be done to a package once it is imported: nothing is imported just to be patched."""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

_waiting: dict[str, dict[str, Callable[[], None]]] = {}


def when_imported(module: str, purpose: str, action: Callable[[], None]) -> None:
    """Runs `action` now if `module` is imported, else right after its import, before the importer sees it.

    It never runs on a module that is imported by half. With the same `purpose`, the last action counts.
    """
    if module in sys.modules:
        action()
        return
    _waiting.setdefault(module, {})[purpose] = action
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds what is waited for as the finders after it do, and has its loader run the actions."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in _waiting:
            return None
        others = [finder for finder in sys.meta_path if finder is not self and hasattr(finder, "find_spec")]
        spec = next((spec for finder in others if (spec := finder.find_spec(name, path, target)) is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader)
        return spec


_FINDER = _Finder()


class _Loader(importlib.abc.Loader):
    """The package's own loader, and then the actions. They go on waiting where it fails, or is only looked for."""

    def __init__(self, real: Any) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._real.create_module(spec)  # type: ignore[no-any-return]

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._real
        module.__loader__ = self._real
        self._real.exec_module(module)
        for action in tuple(_waiting.get(module.__name__, {}).values()):
            action()
        _waiting.pop(module.__name__, None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
