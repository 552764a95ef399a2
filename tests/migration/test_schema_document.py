"""docs/schema.md is read from a migrated database; running this file as a program writes it anew."""

from __future__ import annotations

import asyncio
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import psycopg
from psycopg.rows import dict_row

from tapi_agent.adapters.postgres.migrator import Migrator
from tapi_agent.testing.engines import running_engines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Rows = list[dict[str, Any]]

MIGRATIONS: Final = Path(__file__).parents[2] / "migrations"
DOCUMENT: Final = Path(__file__).parents[2] / "docs" / "schema.md"
GROUPS: Final = {
    "Core": (
        "config", "cameras", "camera_components", "line_zones", "polygon_zones", "telemetry_events", "frames",
        "telemetry_aggregates", "dwell_times", "import_files", "import_quarantine", "schema_migrations",
    ),
    "Billing": (
        "edge_devices", "trusted_time", "camera_licenses", "license_validation_log", "growth_pack_features",
        "feature_entitlements", "quota_counters", "quota_stakes", "agent_streams", "usage_events",
        "usage_batches", "usage_dead_letters", "usage_duplicates", "usage_totals", "usage_arrivals",
        "usage_sink_cursors",
        "billing_sync_status",
    ),
}  # fmt: skip
REFERENCES: Final = (
    ("edge_devices", "cameras", "device_id"),
    ("edge_devices", "config", "device_id"),
    ("edge_devices", "agent_streams", "device_id"),
    ("edge_devices", "trusted_time", "device_id"),
    ("edge_devices", "quota_stakes", "device_id"),
    ("cameras", "telemetry_events", "tenant_id, camera_id"),
    ("cameras", "frames", "tenant_id, camera_id"),
    ("cameras", "telemetry_aggregates", "tenant_id, camera_id"),
    ("cameras", "dwell_times", "tenant_id, camera_id"),
    ("cameras", "camera_licenses", "tenant_id, camera_id"),
    ("cameras", "license_validation_log", "tenant_id, camera_id"),
    ("cameras", "feature_entitlements", "tenant_id, camera_id"),
    ("frames", "telemetry_events", "frame_id"),
    ("import_files", "import_quarantine", "file_name"),
    ("growth_pack_features", "feature_entitlements", "feature_key"),
    ("agent_streams", "usage_events", "stream"),
    ("agent_streams", "usage_batches", "stream"),
    ("agent_streams", "usage_sink_cursors", "stream"),
    ("agent_streams", "usage_dead_letters", "stream"),
    ("agent_streams", "usage_duplicates", "stream"),
    ("agent_streams", "usage_arrivals", "stream"),
    ("usage_batches", "usage_events", "batch_id"),
    ("usage_batches", "usage_dead_letters", "batch_id"),
)
"""References that no foreign key holds."""

RELATIONS: Final = """
SELECT relname AS name, relkind AS kind, obj_description(oid, 'pg_class') AS comment,
    pg_get_partkeydef(oid) AS partitions
FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v', 'S') AND NOT relispartition
    AND NOT EXISTS (SELECT FROM pg_depend WHERE objid = pg_class.oid AND deptype = 'i' AND relkind = 'S')
ORDER BY relname
"""
COLUMNS: Final = """
SELECT relname AS of, attname AS name, format_type(atttypid, atttypmod) AS type, typname AS short_type,
    attnotnull AS required,
    attidentity <> '' AS identity, attgenerated <> '' AS generated, pg_get_expr(adbin, adrelid) AS value,
    col_description(attrelid, attnum) AS comment,
    EXISTS (SELECT FROM pg_constraint WHERE conrelid = attrelid AND contype = 'p' AND attnum = ANY(conkey)) AS key
FROM pg_attribute
JOIN pg_class ON pg_class.oid = attrelid
JOIN pg_type ON pg_type.oid = atttypid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'm', 'v') AND NOT relispartition
    AND attnum > 0 AND NOT attisdropped
ORDER BY relname, attnum
"""
CONSTRAINTS: Final = """
SELECT conrelid::regclass::text AS of, conname AS name, pg_get_constraintdef(oid) AS definition,
    CASE contype WHEN 'f' THEN confrelid::regclass::text END AS target,
    (SELECT string_agg(attname, ', ' ORDER BY place) FROM unnest(conkey) WITH ORDINALITY AS part (number, place)
        JOIN pg_attribute ON attrelid = conrelid AND attnum = number) AS columns
FROM pg_constraint
WHERE connamespace = 'public'::regnamespace AND conrelid <> 0 AND conparentid = 0 AND contype <> 'n'
    AND NOT (SELECT relispartition FROM pg_class WHERE pg_class.oid = conrelid)
ORDER BY 1, position(contype::text IN 'pufc'), conname
"""
INDEXES: Final = """
SELECT indrelid::regclass::text AS of, indexrelid::regclass::text AS name,
    obj_description(indexrelid, 'pg_class') AS comment,
    regexp_replace(pg_get_indexdef(indexrelid), '^CREATE (UNIQUE )?INDEX .* USING ', '\\1') AS definition
FROM pg_index
JOIN pg_class ON pg_class.oid = indrelid
WHERE relnamespace = 'public'::regnamespace AND NOT relispartition
    AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u'))
ORDER BY 1, 2
"""
TRIGGERS: Final = """
SELECT tgrelid::regclass::text AS of, tgfoid::regproc::text AS function FROM pg_trigger
WHERE NOT tgisinternal AND tgparentid = 0 ORDER BY 1
"""
FUNCTIONS: Final = """
SELECT proname AS name, pg_get_function_arguments(oid) AS arguments, pg_get_function_result(oid) AS result,
    obj_description(oid, 'pg_proc') AS comment
FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY proname
"""
HEAD: Final = """\
# Schema

Read from a migrated database by `tests/migration/test_schema_document.py`; a test compares. The migrations say why a
table is as it is. PostgreSQL 15 to 18; tenant ids are opaque text; times are in UTC.

In the diagrams a solid line is a foreign key; a dotted one is a reference that none holds, since what refers may come
first or stay longer. Of the columns only those of primary keys are drawn.

"""


class Schema:
    """The catalog of a migrated database."""

    def __init__(self, dsn: str) -> None:
        with psycopg.connect(dsn, row_factory=dict_row) as connection:
            self.relations, self.columns, self.constraints, self.indexes, self.triggers, self.functions = (
                connection.execute(query).fetchall()
                for query in (RELATIONS, COLUMNS, CONSTRAINTS, INDEXES, TRIGGERS, FUNCTIONS)
            )

    def of_kind(self, kinds: str) -> Rows:
        return [relation for relation in self.relations if relation["kind"] in kinds]

    def columns_of(self, name: str) -> set[str]:
        return {column["name"] for column in of(self.columns, name)}


def of(rows: Rows, name: str) -> Rows:
    return [row for row in rows if row["of"] == name]


def document(schema: Schema) -> str:
    relations = {relation["name"]: relation for relation in schema.relations}
    lines = chain(
        *(_group(schema, group, [relations[name] for name in names]) for group, names in GROUPS.items()),
        ["## Views", ""],
        *(_relation(schema, view) for view in schema.of_kind("mv")),
        ["## Functions", ""],
        *(_function(function) for function in schema.functions),
        ["## Sequences", ""],
        *(_sequence(sequence) for sequence in schema.of_kind("S")),
    )
    return HEAD + "\n".join(lines).rstrip() + "\n"


def _group(schema: Schema, group: str, tables: Rows) -> Iterator[str]:
    yield from (f"## {group}", "", *_diagram(schema, [table["name"] for table in tables]), "")
    for table in tables:
        yield from _relation(schema, table)


def _diagram(schema: Schema, names: list[str]) -> Iterator[str]:
    yield from ("```mermaid", "erDiagram")
    for name in names:
        keys = [f"        {one['short_type']} {one['name']} PK" for one in of(schema.columns, name) if one["key"]]
        yield from (f"    {name} {{", *keys, "    }") if keys else (f"    {name}",)
    declared = ((one["target"], one["of"], one["columns"], "--") for one in schema.constraints if one["target"])
    logical = ((*reference, "..") for reference in REFERENCES)
    for target, source, columns, line in chain(declared, logical):
        if source in names:
            yield f'    {target} ||{line}o{{ {source} : "{columns}"'
    yield "```"


def _relation(schema: Schema, relation: dict[str, Any]) -> Iterator[str]:
    name = relation["name"]
    yield from (f"### {name}", "", f"{relation['comment']}.", "")
    if relation["kind"] == "m":
        yield from ("Materialized: refreshed by the agent while it is being read.", "")
    if relation["partitions"]:
        yield from (f"Partitioned by {relation['partitions']}, a UTC month each: `{name}_2026_03`.", "")
    columns = of(schema.columns, name)
    yield from _stored(columns) if relation["kind"] in "rp" else _derived(columns)
    yield from _bullets(
        chain(
            (f"`{one['name']}`: `{one['definition']}`" for one in of(schema.constraints, name)),
            (f"`{one['name']}`: index `{one['definition']}`. {one['comment']}" for one in of(schema.indexes, name)),
            (f"before each update: `{one['function']}`" for one in of(schema.triggers, name)),
        )
    )


def _stored(columns: Rows) -> Iterator[str]:
    cells = ((_name(one), _type(one["type"]), _null(one), _default(one), one["comment"]) for one in columns)
    yield from _table(("column", "type", "null", "default", "meaning"), cells)


def _derived(columns: Rows) -> Iterator[str]:
    yield from _table(
        ("column", "type", "meaning"), ((_name(one), _type(one["type"]), one["comment"]) for one in columns)
    )


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield from (_line(head), f"|{'---|' * len(head)}", *map(_line, rows), "")


def _line(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _name(column: dict[str, Any]) -> str:
    return f"`{column['name']}`"


def _null(column: dict[str, Any]) -> str:
    return "" if column["required"] else "yes"


def _type(name: str) -> str:
    return name.replace("timestamp with time zone", "timestamptz")


def _default(column: dict[str, Any]) -> str:
    if column["identity"]:
        return "identity"
    if column["generated"]:
        return f"generated: `{column['value']}`"
    return f"`{column['value']}`" if column["value"] else ""


def _bullets(items: Iterable[str]) -> Iterator[str]:
    lines = [f"* {item}" for item in items]
    if lines:
        yield from (*lines, "")


def _function(function: dict[str, Any]) -> Iterator[str]:
    signature = f"{function['name']}({function['arguments']}) → {function['result']}"
    yield from (f"### {function['name']}", "", f"`{_type(signature)}`", "", f"{function['comment']}.", "")


def _sequence(sequence: dict[str, Any]) -> Iterator[str]:
    yield f"* `{sequence['name']}`: {sequence['comment']}"


def test_the_document_is_what_the_database_is(database_dsn: str) -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(Schema(database_dsn)), "run: make docs"


def test_every_table_is_in_one_group_and_everything_has_its_words(database_dsn: str) -> None:
    schema = Schema(database_dsn)
    assert sorted(chain(*GROUPS.values())) == [table["name"] for table in schema.of_kind("rp")]
    described = (*schema.relations, *schema.columns, *schema.indexes, *schema.functions)
    assert not [one["name"] for one in described if not one["comment"]]


def test_references_are_between_columns_that_exist(database_dsn: str) -> None:
    schema = Schema(database_dsn)
    for target, source, columns in REFERENCES:
        assert set(columns.split(", ")) <= schema.columns_of(target) & schema.columns_of(source)


def main() -> None:
    with running_engines() as engines:
        asyncio.run(Migrator(dsn=engines.dsn, directory=MIGRATIONS, agent_version="0").up())
        DOCUMENT.write_text(document(Schema(engines.dsn)), encoding="utf-8")


if __name__ == "__main__":
    main()
