"""One test with a cassette, one that needs none."""

from __future__ import annotations

import pytest
import shop


@pytest.mark.cassette
def test_prices() -> None:
    """Answered from cassettes/test_shop/test_prices.json: neither the service nor the database is needed."""
    shop.add_order("shop.db", "tea", 10)
    shop.add_order("shop.db", "cake", 20)
    assert list(shop.prices("shop.db")) == [("cake", 18.0), ("tea", 9.0)]


def test_url() -> None:
    """Not marked: nothing is recorded."""
    assert shop.RATES_URL.startswith("http://")
