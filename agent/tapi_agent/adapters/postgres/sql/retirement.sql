-- How months go. {parent} and {month} are identifiers, composed by retirement.py.

-- name: months_to_look_at
-- Those old enough, and what an earlier run has left half done: a detachment that was interrupted, and a table that it had
-- marked and detached. A table of such a name without the mark is somebody's own.
SELECT partition.relname AS month,
    link.inhrelid IS NOT NULL AND NOT link.inhdetachpending AS attached,
    coalesce(link.inhdetachpending, false) AS leaving
FROM pg_catalog.pg_class AS parent
JOIN pg_catalog.pg_class AS partition
    ON partition.relnamespace = parent.relnamespace AND partition.relkind = 'r'
    AND partition.relname ~ ('^' || parent.relname || '_\d{4}_\d{2}$')
LEFT JOIN pg_catalog.pg_inherits AS link ON link.inhrelid = partition.oid AND link.inhparent = parent.oid
WHERE parent.oid = to_regclass(quote_ident(%(parent)s::text))
    AND CASE
        WHEN link.inhrelid IS NULL THEN obj_description(partition.oid, 'pg_class') = 'tapi-agent is taking it away'
        ELSE link.inhdetachpending OR right(partition.relname, 7) < to_char(%(before)s AT TIME ZONE 'UTC', 'YYYY_MM')
    END
ORDER BY link.inhdetachpending DESC NULLS LAST, partition.relname

-- name: claim_month
-- Against whoever would make the month (partitions.sql, claim_month); held by the session, over several transactions.
SELECT true AS claimed WHERE pg_try_advisory_lock(hashtext('tapi-agent months'), hashtext(%(month)s::text))

-- name: release_month
SELECT pg_advisory_unlock(hashtext('tapi-agent months'), hashtext(%(month)s::text))

-- name: is_empty
SELECT NOT EXISTS (SELECT FROM {month}) AS empty

-- name: mark_month
COMMENT ON TABLE {month} IS 'tapi-agent is taking it away'

-- name: unmark_month
COMMENT ON TABLE {month} IS NULL

-- name: detach_month
-- Waits for whoever is using the table, while nobody waits for it.
ALTER TABLE {parent} DETACH PARTITION {month} CONCURRENTLY

-- name: finalize_month
ALTER TABLE {parent} DETACH PARTITION {month} FINALIZE

-- name: drop_month
DROP TABLE {month}
