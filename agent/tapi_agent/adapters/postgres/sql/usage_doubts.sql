-- Ambiguous batches: which are to be asked about, what is known of their span of time. Called by usage_doubts.py.

-- name: due
-- What could not be told is asked about again only after the others.
SELECT batch_id FROM usage_batches
WHERE state = 'ambiguous' AND next_attempt_at <= clock_timestamp()
ORDER BY next_attempt_at, root_id, first_seq

-- name: find
SELECT batch_id, root_id, dialect, body, partial, copied, attempts, fence,
    ARRAY(SELECT event_id FROM usage_events AS event
        WHERE event.batch_id = batch.batch_id AND event.state = 'sealed' ORDER BY seq) AS event_ids
FROM usage_batches AS batch
WHERE batch_id = %(batch_id)s AND state = 'ambiguous'

-- name: spans
-- For each tenant of a batch its first and last event_time, and within them what the service has or may have, by meter:
-- others in doubt too, whose sum says something as long as no correction in it takes back what another one adds.
WITH span AS (
    SELECT tenant_id, min(event_time) AS first, max(event_time) AS last
    FROM usage_events WHERE batch_id = %(batch_id)s AND state = 'sealed'
    GROUP BY tenant_id
)
SELECT span.tenant_id, span.first, span.last, event.event_type AS meter,
    coalesce(sum(quantity) FILTER (WHERE event.batch_id = %(batch_id)s), 0) AS batch,
    coalesce(sum(quantity) FILTER (WHERE event.state = 'synced'), 0) AS known,
    coalesce(sum(quantity) FILTER (WHERE other.batch_id <> %(batch_id)s AND other.state = 'ambiguous'), 0) AS others,
    count(*) FILTER (WHERE other.batch_id <> %(batch_id)s AND other.state = 'sending') > 0 AS under_way,
    count(*) FILTER (WHERE other.batch_id <> %(batch_id)s AND other.state = 'sending') = 0 AND (
        count(*) FILTER (WHERE other.batch_id <> %(batch_id)s AND other.state = 'ambiguous') = 0
        OR count(*) FILTER (WHERE quantity < 0 AND (other.batch_id = %(batch_id)s OR other.state = 'ambiguous')) = 0
    ) AS clear
FROM span
JOIN usage_events AS event
    ON event.tenant_id = span.tenant_id AND event.event_time BETWEEN span.first AND span.last
    AND event.state IN ('sealed', 'synced')
LEFT JOIN usage_batches AS other ON other.batch_id = event.batch_id AND event.state = 'sealed'
GROUP BY span.tenant_id, span.first, span.last, event.event_type
HAVING count(*) FILTER (WHERE event.batch_id = %(batch_id)s AND event.state = 'sealed') > 0

-- name: send_again
-- What was found out holds for the try it was asked about: the batch may have been sent again since, and stored.
UPDATE usage_batches SET state = 'sealed', partial = false, next_attempt_at = clock_timestamp(), last_reply = %(detail)s
WHERE batch_id = %(batch_id)s AND state = 'ambiguous' AND fence = coalesce(%(fence)s, fence)

-- name: ask_later
UPDATE usage_batches SET next_attempt_at = clock_timestamp() + %(delay)s, attempts = attempts + 1
WHERE batch_id = %(batch_id)s AND state = 'ambiguous'

-- name: recall
SELECT dedupes, dialect, max_bytes FROM billing_sync_status WHERE service = %(service)s

-- name: remember
INSERT INTO billing_sync_status (service, dedupes, dialect, max_bytes)
VALUES (%(service)s, %(dedupes)s, %(dialect)s, %(max_bytes)s)
ON CONFLICT (service) DO UPDATE SET
    dedupes = excluded.dedupes, dialect = excluded.dialect, max_bytes = excluded.max_bytes, updated_at = clock_timestamp()

-- name: note
-- The first round may end before anything has been learned: then the row begins with what is assumed of any service.
INSERT INTO billing_sync_status AS known (
    service, dedupes, dialect, max_bytes, attempts, errors, events_synced, last_attempt_at, last_success_at,
    last_duration, total_duration, last_error)
SELECT
    %(service)s, %(dedupes)s, %(dialect)s, %(max_bytes)s, 1, failed::integer, %(synced)s, statement_timestamp(),
    CASE WHEN NOT failed THEN statement_timestamp() END, %(took)s, %(took)s, %(error)s
FROM (SELECT %(error)s <> '') AS round (failed)
ON CONFLICT (service) DO UPDATE SET
    attempts = known.attempts + 1,
    errors = known.errors + excluded.errors,
    events_synced = known.events_synced + excluded.events_synced,
    last_attempt_at = excluded.last_attempt_at,
    last_success_at = coalesce(excluded.last_success_at, known.last_success_at),
    last_duration = excluded.last_duration,
    total_duration = known.total_duration + excluded.last_duration,
    last_error = excluded.last_error,
    updated_at = statement_timestamp()

-- name: status
SELECT attempts, errors, events_synced, last_attempt_at, last_success_at, last_duration, total_duration, last_error
FROM billing_sync_status
WHERE service = %(service)s
