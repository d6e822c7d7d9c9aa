"""The compatibility guard: the contract suite at both ends of every range; `pytest -m versions` runs it."""

from __future__ import annotations

import pytest

from tests.outbound.versions import EDITIONS, LIBRARIES, Edition, lower_bound


@pytest.mark.versions
@pytest.mark.parametrize("edition", EDITIONS, ids=lambda edition: f"short-{edition}")
def test_replay_equals_live_in_one_variant(edition: Edition) -> None:
    """Recorded with instrumentors and replayed without, an edition gives back what its app saw."""
    edition.check(short=True)


@pytest.mark.versions
@pytest.mark.parametrize("edition", EDITIONS, ids=str)
def test_replay_equals_live_in_every_variant(edition: Edition) -> None:
    """The same in all five variants."""
    edition.check(short=False)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_every_range_has_a_lower_end(library: object) -> None:
    """The guard finds where each range begins: an extra without a lowest version fails here."""
    assert lower_bound(getattr(library, "name", ""))
