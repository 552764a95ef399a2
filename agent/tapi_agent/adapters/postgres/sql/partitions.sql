-- Months of a partitioned table. {parent} and {month} are identifiers, {start} and {end} instants, composed by partitions.py:
-- DDL takes no parameters.

-- name: lock_parent
-- One creator at a time, until its commit; both keys belong to this purpose alone.
SELECT pg_advisory_xact_lock(hashtext('tapi-agent partitions'), hashtext(%(parent)s::text))

-- name: month_exists
SELECT link.inhdetachpending AS leaving
FROM pg_catalog.pg_inherits AS link
JOIN pg_catalog.pg_class AS partition ON partition.oid = link.inhrelid
WHERE link.inhparent = to_regclass(quote_ident(%(parent)s::text)) AND partition.relname = %(month)s::text

-- name: claim_month
-- No row while retirement.sql's claim_month has it; not waited for, since that waits for this transaction's locks.
SELECT true AS claimed WHERE pg_try_advisory_xact_lock(hashtext('tapi-agent months'), hashtext(%(month)s::text))

-- name: create_month
-- LIKE and ATTACH instead of PARTITION OF, which needs a lock on the parent that one idle reader blocks. An identity column
-- comes from the parent at ATTACH; a copied one would be refused by PostgreSQL 17 and later.
CREATE TABLE IF NOT EXISTS {month} (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY)

-- name: attach_month
ALTER TABLE {parent} ATTACH PARTITION {month} FOR VALUES FROM ({start}) TO ({end})
