"""The compatibility guard: the contract suite at the ends of every range, and between; `pytest -m versions` runs it."""

from __future__ import annotations

import pytest

from tests.outbound.suite import ROOT
from tests.outbound.versions import EDGES, EDITIONS, LIBRARIES, Edition, Library, lower_bound, range_of


@pytest.mark.versions
@pytest.mark.parametrize("edition", EDGES, ids=lambda edition: f"short-{edition}")
def test_replay_equals_live_in_one_variant(edition: Edition) -> None:
    """Recorded with instrumentors and replayed without, an edition gives back what its app saw."""
    edition.check(short=True)


@pytest.mark.versions
@pytest.mark.parametrize("edition", EDITIONS, ids=str)
def test_replay_equals_live_in_every_variant(edition: Edition) -> None:
    """The same in all five variants."""
    edition.check(short=False)


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_every_range_has_a_lower_end(library: Library) -> None:
    """The guard finds where each range begins: an extra without a lowest version fails here."""
    assert lower_bound(library.name)


@pytest.mark.parametrize("library", LIBRARIES, ids=str)
def test_the_documented_range_is_the_one_that_is_tested(library: Library) -> None:
    """docs/versions.md names the range of the extra, its oldest release, and those in between."""
    page = (ROOT / "docs" / "versions.md").read_text()
    row = next(line for line in page.splitlines() if line.startswith(f"| {library.name} |"))
    assert f"`{range_of(library.name)}`" in row
    assert all(each in row for each in (library.dress, library.oldest or lower_bound(library.name), *library.between))
