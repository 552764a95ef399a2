"""The features preloaded by migration are the catalog that the agent decides by: pack, scope, category and key."""

from __future__ import annotations

import psycopg

from tapi_agent.plugin import base_catalog


def test_the_33_rows_in_the_database_equal_the_catalog(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute("SELECT pack, scope, category, feature_key FROM growth_pack_features").fetchall()
    sold = {
        (pack.slug, str(pack.scope), key.split(".")[0], key)
        for pack in base_catalog.register_packs()
        for key in pack.features
    }
    assert len(rows) == 33
    assert set(rows) == sold
