-- Dead letters, batches that wait for a person's word, and what is known to be at the service. Called by usage_letters.py
-- and usage_deliveries.py.

-- name: find
SELECT dead_letter_id, event_id, stream, seq, batch_id, code, detail, dead_at, event
FROM usage_dead_letters
WHERE dead_letter_id > %(after)s
    AND (%(event_ids)s::uuid[] IS NULL OR event_id = ANY(%(event_ids)s))
    AND (%(code)s::text IS NULL OR code = %(code)s)
    AND (%(since)s::timestamptz IS NULL OR dead_at >= %(since)s)
ORDER BY dead_letter_id
LIMIT %(limit)s

-- name: revive
-- The row waits again, in no batch, and the letter goes: both or neither.
WITH letter AS (
    SELECT dead_letter_id, event_id, stream, seq FROM usage_dead_letters
    WHERE dead_letter_id = %(dead_letter_id)s
    FOR UPDATE
), revived AS (
    UPDATE usage_events AS event SET state = 'pending', batch_id = NULL
    FROM letter
    WHERE event.event_id = letter.event_id AND event.recorded_at = usage_id_time(letter.event_id)
        AND event.stream = letter.stream AND event.seq = letter.seq AND event.state = 'dead'
    RETURNING event.event_id
)
DELETE FROM usage_dead_letters
WHERE dead_letter_id = (SELECT dead_letter_id FROM letter) AND EXISTS (SELECT FROM revived)

-- name: span
-- The instant of the letter's event: what the service has at it, or may have.
WITH dead AS (
    SELECT event.tenant_id, event.event_time, event.event_type, event.quantity
    FROM usage_dead_letters AS letter
    JOIN usage_events AS event
        ON event.event_id = letter.event_id AND event.recorded_at = usage_id_time(letter.event_id)
        AND event.stream = letter.stream AND event.seq = letter.seq AND event.state = 'dead'
    WHERE letter.dead_letter_id = %(dead_letter_id)s
)
SELECT dead.tenant_id, dead.event_time, dead.event_type AS meter, dead.quantity AS letter,
    coalesce(sum(other.quantity) FILTER (WHERE other.state = 'synced'), 0) AS known,
    count(*) FILTER (WHERE other.state = 'sealed' AND batch.state IN ('sending', 'ambiguous')) = 0 AS clear
FROM dead
LEFT JOIN usage_events AS other
    ON other.tenant_id = dead.tenant_id AND other.event_type = dead.event_type AND other.event_time = dead.event_time
LEFT JOIN usage_batches AS batch ON batch.batch_id = other.batch_id
GROUP BY dead.tenant_id, dead.event_time, dead.event_type, dead.quantity

-- name: held
SELECT batch_id, state = 'ambiguous' AS ambiguous, events, meters.meters, meters.first_event_at, meters.last_event_at,
    coalesce(last_attempt_at, sealed_at) AS since, attempts, next_attempt_at, last_reply AS why
FROM usage_batches AS batch, LATERAL (
    SELECT coalesce(json_object_agg(meter, events), '{}') AS meters,
        coalesce(min(first), batch.sealed_at) AS first_event_at, coalesce(max(last), batch.sealed_at) AS last_event_at
    FROM (
        SELECT event_type AS meter, count(*) AS events, min(event_time) AS first, max(event_time) AS last
        FROM usage_events AS event WHERE event.batch_id = batch.batch_id AND event.state = 'sealed'
        GROUP BY event_type
    ) AS meter
) AS meters
WHERE state = 'ambiguous' OR (held AND state = 'sealed')
ORDER BY batch_id

-- name: in_doubt
SELECT event_id
FROM usage_events JOIN usage_batches AS batch USING (batch_id)
WHERE batch_id = %(batch_id)s AND usage_events.state = 'sealed' AND batch.state = 'ambiguous'

-- name: delivered_days
SELECT DISTINCT day FROM usage_totals WHERE events > 0 ORDER BY day

-- name: delivered
-- Whatever was counted as billable and is neither on its way nor dead is at the service; retention may have deleted its row.
-- Letters that were in a batch had a row once, and PostgreSQL has read their text before.
WITH counted AS (
    SELECT tenant_id, meter, sum(events)::bigint AS events, sum(quantity) AS quantity
    FROM usage_totals WHERE day = %(day)s
    GROUP BY tenant_id, meter
), rows AS (
    SELECT event.tenant_id, event.event_type AS meter,
        count(*) FILTER (WHERE event.state = 'synced') AS synced,
        count(*) FILTER (WHERE event.state IN ('pending', 'sealed')) AS open_events,
        coalesce(sum(quantity) FILTER (WHERE event.state IN ('pending', 'sealed')), 0) AS open_quantity,
        count(*) FILTER (WHERE event.state = 'sealed' AND batch.state IN ('ambiguous', 'sending')) AS doubt_events,
        coalesce(sum(quantity) FILTER (WHERE event.state = 'sealed' AND batch.state IN ('ambiguous', 'sending')), 0)
            AS doubt_quantity
    FROM usage_events AS event LEFT JOIN usage_batches AS batch USING (batch_id)
    WHERE event_time >= %(first)s AND event_time < %(end)s AND billable
    GROUP BY event.tenant_id, event.event_type
), letters AS (
    SELECT tenant_id, event_type AS meter, count(*) AS events, sum(quantity) AS quantity
    FROM usage_dead_letters, json_to_record(convert_from(event, 'UTF8')::json)
        AS dead (tenant_id text, event_type text, quantity numeric, event_time timestamptz)
    WHERE batch_id IS NOT NULL AND event_time >= %(first)s AND event_time < %(end)s
    GROUP BY tenant_id, event_type
)
SELECT tenant_id, meter,
    counted.events - coalesce(open_events, 0) - coalesce(letters.events, 0) AS synced_events,
    counted.quantity - coalesce(open_quantity, 0) - coalesce(letters.quantity, 0) AS synced_quantity,
    coalesce(doubt_events, 0) AS doubt_events, coalesce(doubt_quantity, 0) AS doubt_quantity,
    counted.events - coalesce(open_events, 0) - coalesce(letters.events, 0) - coalesce(synced, 0) AS gone
FROM counted LEFT JOIN rows USING (tenant_id, meter) LEFT JOIN letters USING (tenant_id, meter)
ORDER BY tenant_id, meter

-- name: events
SELECT event_id, state FROM usage_events
WHERE event_time >= %(first)s AND event_time < %(end)s AND tenant_id = %(tenant_id)s AND event_type = %(meter)s AND billable
    AND (%(after)s::uuid IS NULL OR event_id > %(after)s)
ORDER BY event_id
LIMIT %(limit)s

-- name: send_again
-- The service does not have them after all: they go out in a new batch.
UPDATE usage_events AS event SET state = 'pending', batch_id = NULL
FROM unnest(%(event_ids)s::uuid[]) AS missing (event_id)
WHERE event.event_id = missing.event_id AND event.recorded_at = usage_id_time(missing.event_id) AND event.state = 'synced'
