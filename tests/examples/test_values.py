"""The two versions of the module that knows the representation of the columns.
One takes the place of the other, so they offer the same, and mean the same by it.
"""

from datetime import UTC, datetime
from decimal import Decimal
from inspect import isfunction
from types import ModuleType

import pytest

from examples import shop_v2_values
from examples.shop import values

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def test_both_versions_offer_the_same() -> None:
    offered = [
        {name for name, value in vars(version).items() if isfunction(value) or name.isupper()}
        for version in (values, shop_v2_values)
    ]

    assert offered[0] == offered[1]
    assert list(values.STATUS_NAMES.values()) == list(shop_v2_values.STATUS_NAMES.values())


@pytest.mark.parametrize("version", [values, shop_v2_values])
def test_what_is_stored_means_what_was_meant(version: ModuleType) -> None:
    assert [version.amount(version.price(typed)) for typed in ("12.50", "12.5", " 7.00")] == [
        Decimal("12.5"),
        Decimal("12.5"),
        Decimal(7),
    ]
    assert version.moment(version.created(NOON)) == NOON
    assert version.is_deleted(version.deleted(NOON))
    assert not version.is_deleted(version.deleted(None))
