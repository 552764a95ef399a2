-- What became of a batch that was split, and the verdict on events that were refused alone. Called by usage_roots.py.

-- name: tally
-- Over all the batches that come from one root. A root of its own that came from another one is not counted there.
SELECT
    coalesce(max(events) FILTER (WHERE batch_id = root_id), 0)::integer AS events,
    coalesce(sum(synced), 0)::integer AS accepted,
    count(*) FILTER (WHERE refused)::integer AS refused,
    (SELECT count(*) FROM usage_dead_letters AS letter JOIN usage_batches AS batch USING (batch_id)
        WHERE batch.root_id = %(root_id)s AND letter.code = %(code)s)::integer AS dead,
    count(*) FILTER (WHERE state IN ('sealed', 'sending') AND NOT refused)::integer AS open,
    count(*) FILTER (WHERE state = 'ambiguous')::integer AS ambiguous,
    coalesce(max(attempts), 0) AS attempts,
    EXISTS (SELECT FROM usage_batches AS other
        WHERE other.root_id <> %(root_id)s AND other.synced > 0
        AND other.settled_at > (SELECT sealed_at FROM usage_batches WHERE batch_id = %(root_id)s)) AS others_taken
FROM usage_batches
WHERE root_id = %(root_id)s

-- name: awaiting
SELECT DISTINCT root_id FROM usage_batches WHERE refused

-- name: lock_refused
SELECT batch_id, last_reply FROM usage_batches WHERE root_id = %(root_id)s AND refused ORDER BY batch_id FOR UPDATE

-- name: lock_unsent
-- Skipping what another agent is sending at this moment: it will come to the same end by itself.
SELECT batch_id, stream, dialect, attempts FROM usage_batches
WHERE root_id = %(root_id)s AND state = 'sealed' AND (refused OR NOT %(only_refused)s)
ORDER BY first_seq
FOR UPDATE SKIP LOCKED

-- name: events_of_batches
SELECT event_id, seq, canonical FROM usage_events WHERE batch_id = ANY(%(batch_ids)s) AND state = 'sealed' ORDER BY seq

-- name: bury_refused
-- The one event of a batch that was refused alone, with what the service said of it.
WITH died AS (
    UPDATE usage_events AS event SET state = 'dead'
    FROM usage_batches AS batch
    WHERE batch.batch_id = %(batch_id)s AND event.batch_id = batch.batch_id AND event.state = 'sealed'
    RETURNING event.event_id, event.stream, event.seq, event.batch_id, batch.last_reply, event.canonical
)
INSERT INTO usage_dead_letters (event_id, stream, seq, batch_id, code, detail, event)
SELECT event_id, stream, seq, batch_id, %(code)s, last_reply, convert_to(canonical, 'UTF8') FROM died
