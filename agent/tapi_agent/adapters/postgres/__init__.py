"""PostgreSQL: pool, error translation, named queries, migrations, partitions, and the repositories built on them.

The only importer of psycopg. Rows arrive as dictionaries (``psycopg.rows.dict_row``) and leave a repository as domain
values: a column is named once in SQL and once where its value is made, and nothing in between has a shape of its own.
Every statement is parameterised and stands in ``sql/*.sql``; nothing here knows what a license or a bill is worth.
"""
