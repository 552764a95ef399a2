-- The database as evidence: everything that is known of a day, at one instant. Called by usage_proof.py.

-- name: one_instant
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY

-- name: patient
-- A day may hold millions of rows, and a person waits for the answer.
SELECT set_config('statement_timeout', '10min', true)

-- name: days
SELECT day FROM usage_arrivals
UNION SELECT day FROM usage_totals
UNION SELECT (event_time AT TIME ZONE 'UTC')::date FROM usage_events
ORDER BY day

-- name: taken_twice
-- A place in a stream is an event, a repeat or a letter of what never became an event.
SELECT stream, seq, count(*) AS times
FROM (
    SELECT stream, seq FROM usage_events
    UNION ALL SELECT stream, seq FROM usage_duplicates
    UNION ALL SELECT stream, seq FROM usage_dead_letters WHERE batch_id IS NULL
) AS place
GROUP BY stream, seq
HAVING count(*) > 1
ORDER BY stream, seq
LIMIT %(limit)s

-- name: broken_links
-- Every digest is the predecessor of one batch, or the end of the stream's chain. The same events sealed twice make the same
-- digest, so it is counted. What retention has deleted is missing from the chain of its stream, and no fault; a stream that
-- is older than this bookkeeping may have lost batches to it before that was counted.
WITH excused AS (
    SELECT stream FROM usage_arrivals WHERE forgotten_events > 0
    UNION
    SELECT stream FROM agent_streams
    WHERE first_seen_at < (SELECT applied_at FROM schema_migrations WHERE version = 11)
), links AS (
    SELECT stream, sha256 AS digest, 1 AS made, 0 AS used FROM usage_batches
    UNION ALL
    SELECT stream, prev_sha256, 0, 1 FROM usage_batches WHERE prev_sha256 IS NOT NULL
    UNION ALL
    SELECT stream, sealed_sha256, 0, 1 FROM agent_streams WHERE sealed_sha256 IS NOT NULL
)
SELECT stream, encode(digest, 'hex') AS digest, sum(made)::bigint AS made, sum(used)::bigint AS used
FROM links
WHERE stream NOT IN (SELECT stream FROM excused)
GROUP BY stream, digest
HAVING sum(made) <> sum(used)
ORDER BY stream, digest
LIMIT %(limit)s

-- name: drained_seq
SELECT drained_seq FROM agent_streams WHERE stream = %(stream)s

-- name: arrivals
SELECT stream, tenant_id, meter, unit, day,
    events + local_events AS events, quantity + local_quantity AS quantity,
    forgotten_events, forgotten_quantity, lost_events, lost_quantity
FROM usage_arrivals
WHERE day = %(day)s

-- name: duplicates
SELECT duplicate.stream, event.tenant_id, event.event_type AS meter, event.unit, %(day)s::date AS day,
    count(*) AS events, sum(event.quantity) AS quantity
FROM usage_duplicates AS duplicate
JOIN usage_events AS event
    ON event.event_id = duplicate.event_id AND event.recorded_at = usage_id_time(duplicate.event_id)
WHERE event.event_time >= %(first)s AND event.event_time < %(end)s
GROUP BY duplicate.stream, event.tenant_id, event.event_type, event.unit

-- name: unborn
-- Texts that PostgreSQL may have refused, so they are looked through as bytes. Letters from before arrivals were counted
-- are in no account.
SELECT stream, event FROM usage_dead_letters
WHERE batch_id IS NULL AND position(convert_to(%(mark)s, 'UTF8') IN event) > 0
    AND dead_at >= (SELECT applied_at FROM schema_migrations WHERE version = 11)

-- name: totals
-- Before arrivals were counted nobody counted what retention deletes either.
WITH rows AS (
    SELECT tenant_id, event_type AS meter, unit, count(*) AS events, sum(quantity) AS quantity
    FROM usage_events WHERE event_time >= %(first)s AND event_time < %(end)s
    GROUP BY tenant_id, event_type, unit
), forgotten AS (
    SELECT tenant_id, meter, unit, bool_or(arrival.forgotten_events > 0 OR stream.first_seen_at < began.applied_at) AS incomplete
    FROM usage_arrivals AS arrival JOIN agent_streams AS stream USING (stream),
        (SELECT applied_at FROM schema_migrations WHERE version = 11) AS began
    WHERE day = %(day)s
    GROUP BY tenant_id, meter, unit
), counted AS (
    SELECT tenant_id, meter, unit, events + local_events AS events, quantity + local_quantity AS quantity
    FROM usage_totals WHERE day = %(day)s
)
SELECT tenant_id, meter, unit,
    coalesce(counted.events, 0) AS counted_events, coalesce(counted.quantity, 0) AS counted_quantity,
    coalesce(rows.events, 0) AS row_events, coalesce(rows.quantity, 0) AS row_quantity,
    coalesce(forgotten.incomplete, false) AS incomplete
FROM counted FULL JOIN rows USING (tenant_id, meter, unit) LEFT JOIN forgotten USING (tenant_id, meter, unit)

-- name: events
SELECT event.event_id, event.stream, event.seq, event.tenant_id, event.device_id, event.camera_id, event.event_type,
    event.resource_id, event.resource_type, event.quantity, event.unit, event.billable, event.event_time, event.corrects,
    event.canonical, event.state, event.batch_id, batch.state AS batch_state,
    letter.dead_letter_id IS NOT NULL AS has_letter, coalesce(place.drained_seq, 0) AS drained_seq
FROM usage_events AS event
LEFT JOIN usage_batches AS batch USING (batch_id)
LEFT JOIN usage_dead_letters AS letter ON letter.stream = event.stream AND letter.seq = event.seq
LEFT JOIN agent_streams AS place ON place.stream = event.stream
WHERE event.event_time >= %(first)s AND event.event_time < %(end)s

-- name: batches
SELECT batch_id, stream, coalesce(device_id, '') AS device_id, dialect, state, events, sha256, prev_sha256, body
FROM usage_batches LEFT JOIN agent_streams USING (stream)
WHERE %(after)s::uuid IS NULL OR batch_id > %(after)s
ORDER BY batch_id
LIMIT %(limit)s

-- name: members
-- Of a batch that is open what is sealed in it, of a settled one what was finished by it.
SELECT event_id, seq, canonical FROM usage_events
WHERE batch_id = %(batch_id)s AND state = ANY(%(states)s)
ORDER BY seq
