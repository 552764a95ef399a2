-- What may go, %(limit)s rows at a time. Called by retention.py. SKIP LOCKED: what another agent is just deleting is its.

-- name: usage_bytes
SELECT coalesce(sum(pg_total_relation_size(inhrelid)), 0)::bigint AS bytes
FROM pg_catalog.pg_inherits
WHERE inhparent = 'usage_events'::regclass

-- name: oldest_finished
SELECT recorded_at FROM usage_events
WHERE device_id = %(device_id)s AND state IN ('synced', 'local', 'dead')
ORDER BY event_id
LIMIT 1

-- name: newest_finished
SELECT recorded_at FROM usage_events
WHERE device_id = %(device_id)s AND state IN ('synced', 'local', 'dead')
    AND event_id < %(bound)s AND recorded_at < %(before)s
ORDER BY event_id DESC
LIMIT 1

-- name: forget_events
-- Of the device's own events, which no other can record anew, those that are finished: the service has them, or they are
-- not billable, or they are dead and usage_dead_letters has them whole. But not what lies within the span of time of
-- events that are still on their way, because the sums over it decide what became of an ambiguous batch (usage_doubts.sql).
-- What goes, and the repeats of it, is counted by the statement that deletes it: the proof adds it to what is still here.
WITH open AS MATERIALIZED (
    SELECT tenant_id, min(event_time) AS first, max(event_time) AS last
    FROM (
        SELECT tenant_id, event_time, batch_id FROM usage_events WHERE state = 'pending'
        UNION ALL
        SELECT tenant_id, event_time, batch_id FROM usage_events WHERE state = 'sealed'
    ) AS waiting
    GROUP BY tenant_id, batch_id
), finished AS (
    SELECT event_id, recorded_at FROM usage_events AS event
    WHERE event_id < %(bound)s AND recorded_at < %(before)s AND device_id = %(device_id)s
        AND state IN ('synced', 'local', 'dead')
        AND NOT EXISTS (SELECT FROM open
            WHERE open.tenant_id = event.tenant_id AND event.event_time BETWEEN open.first AND open.last)
    ORDER BY event_id
    LIMIT %(limit)s
    FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM usage_events AS event USING finished
    WHERE event.event_id = finished.event_id AND event.recorded_at = finished.recorded_at
        AND event.event_id < %(bound)s AND event.recorded_at < %(before)s
    RETURNING event.event_id, stream, tenant_id, event_type AS meter, unit, (event_time AT TIME ZONE 'UTC')::date AS day, quantity
), repeats AS (
    DELETE FROM usage_duplicates AS repeat USING gone
    WHERE repeat.event_id = gone.event_id
    RETURNING repeat.stream, tenant_id, meter, unit, day, quantity
), counted AS (
    INSERT INTO usage_arrivals AS known (stream, tenant_id, meter, unit, day, forgotten_events, forgotten_quantity)
    SELECT stream, tenant_id, meter, unit, day, count(*), sum(quantity)
    FROM (
        SELECT stream, tenant_id, meter, unit, day, quantity FROM gone
        UNION ALL
        SELECT stream, tenant_id, meter, unit, day, quantity FROM repeats
    ) AS place
    GROUP BY stream, tenant_id, meter, unit, day
    ORDER BY stream, tenant_id, meter, unit, day
    ON CONFLICT (stream, tenant_id, meter, unit, day) DO UPDATE SET
        forgotten_events = known.forgotten_events + excluded.forgotten_events,
        forgotten_quantity = known.forgotten_quantity + excluded.forgotten_quantity
)
SELECT FROM gone

-- name: forget_batches
-- Whole families of batches, parents with their children, once all of it is over and no event or dead letter refers to any
-- of them. Two days later than the events: an event may be recorded for up to a day ahead.
WITH over AS (
    SELECT root_id FROM usage_batches
    GROUP BY root_id
    HAVING bool_and(state IN ('settled', 'split'))
        AND max(coalesce(settled_at, last_attempt_at, sealed_at)) < %(before)s::timestamptz - interval '2 days'
), referred AS (
    SELECT batch.root_id FROM usage_batches AS batch JOIN usage_events AS event USING (batch_id)
    WHERE event.event_id < %(bound)s AND event.recorded_at < %(before)s
    UNION
    SELECT batch.root_id FROM usage_batches AS batch JOIN usage_dead_letters AS letter USING (batch_id)
), gone AS (
    SELECT batch_id FROM usage_batches
    WHERE root_id IN (
        SELECT root_id FROM over WHERE root_id NOT IN (SELECT root_id FROM referred) ORDER BY root_id LIMIT %(limit)s)
)
DELETE FROM usage_batches AS batch USING gone WHERE batch.batch_id = gone.batch_id

-- name: forget_frames
DELETE FROM frames WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM frames WHERE captured_at < %(before)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_dwell_times
DELETE FROM dwell_times WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM dwell_times WHERE last_seen < %(before)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_series
-- Summaries and counts so far have no age.
DELETE FROM telemetry_aggregates WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM telemetry_aggregates WHERE kind = 'series' AND bucket_start + bucket < %(before)s
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_edges
DELETE FROM license_validation_log WHERE entry_id = ANY(ARRAY(
    SELECT entry_id FROM license_validation_log AS entry
    WHERE published AND changed_at < %(before)s AND EXISTS (
        SELECT FROM license_validation_log AS later
        WHERE later.tenant_id = entry.tenant_id AND later.camera_id = entry.camera_id
            AND later.device_id = entry.device_id AND later.entry_id > entry.entry_id)
    LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
