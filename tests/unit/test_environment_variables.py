"""`timetracer.environment_variables`: each variable declared once, explained, and read by `timetracer.config`."""

from __future__ import annotations

import ast
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

from timetracer import environment_variables
from timetracer.config import TraceConfig

SOURCE = Path(environment_variables.__file__)


def _declared() -> dict[str, str]:
    """Maps each variable of the module to its docstring."""
    body = ast.parse(SOURCE.read_text()).body
    return {
        node.targets[0].id: after.value.value
        for node, after in pairwise(body)
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
        and isinstance(after.value.value, str)
    }


def test_a_name_is_its_value_and_has_a_docstring_with_a_default() -> None:
    """OTel's tools read these modules, so ours looks like theirs."""
    names = [name for name in vars(environment_variables) if name.startswith("TIMETRACER_")]
    declared = _declared()
    assert sorted(declared) == sorted(names)
    for name in names:
        assert getattr(environment_variables, name) == name
        assert f".. envvar:: {name}" in declared[name]
        assert "\nDefault: " in declared[name]


def test_every_variable_is_a_setting() -> None:
    """A variable that nothing reads would be a promise without effect."""
    metadata = [item.metadata for item in fields(TraceConfig) if item.metadata]
    read = {item["variable"] for item in metadata} | {
        name for item in metadata for name in item["old"] if name.isupper()
    }
    assert read == set(_declared())
