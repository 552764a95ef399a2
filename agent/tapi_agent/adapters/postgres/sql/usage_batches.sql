-- Batches: sealing, sending, settling. Called by usage_sealing.py and usage_batches.py. Leases go by the database's clock.

-- name: due
-- Looked at every few seconds, so it counts no further than it must.
SELECT EXISTS (
    SELECT FROM usage_batches
    WHERE (state = 'sealed' AND NOT refused AND next_attempt_at <= clock_timestamp())
        OR (state = 'ambiguous' AND next_attempt_at <= clock_timestamp())
        OR (state = 'sending' AND lease_until <= clock_timestamp())
) OR (
    SELECT count(*) >= %(limit)s OR coalesce(bool_or(recorded_at <= %(before)s), false)
    FROM (
        SELECT recorded_at FROM usage_events
        WHERE state = 'pending' AND stream IN (SELECT stream FROM agent_streams WHERE device_id = %(device_id)s)
        LIMIT %(limit)s
    ) AS waiting
) AS due

-- name: clock
SELECT clock_timestamp() AS now

-- name: stream_to_seal
-- One stream of this device with something to seal; the lock makes the chain of digests one line. A few batches that wait
-- are enough: bodies of a long outage would only take space.
SELECT stream, device_id, sealed_sha256, suspect_seq, copied
FROM agent_streams
WHERE device_id = %(device_id)s
    AND EXISTS (SELECT FROM usage_events WHERE stream = agent_streams.stream AND state = 'pending')
    AND (SELECT count(*) FROM usage_batches
        WHERE stream = agent_streams.stream AND state = 'sealed' AND NOT refused) < %(most_waiting)s
ORDER BY first_seen_at, stream
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: chain_of_stream
SELECT stream, device_id, sealed_sha256 FROM agent_streams WHERE stream = %(stream)s FOR UPDATE

-- name: pending_events
SELECT event_id, seq, canonical
FROM usage_events
WHERE stream = %(stream)s AND state = 'pending'
ORDER BY seq
LIMIT %(limit)s
FOR UPDATE SKIP LOCKED

-- name: events_of_batch
SELECT event_id, seq, canonical FROM usage_events WHERE batch_id = %(batch_id)s AND state = 'sealed' ORDER BY seq

-- name: insert_batch
INSERT INTO usage_batches (
    batch_id, root_id, parent_id, stream, dialect, first_seq, last_seq, events, sha256, prev_sha256, body, attempts,
    held, last_attempt_at, next_attempt_at)
VALUES (
    %(batch_id)s, %(root_id)s, %(parent_id)s, %(stream)s, %(dialect)s, %(first_seq)s, %(last_seq)s, %(events)s, %(sha256)s,
    %(prev_sha256)s, %(body)s, %(attempts)s, %(held)s, CASE WHEN %(tried)s THEN clock_timestamp() END,
    clock_timestamp() + %(delay)s)

-- name: doubt_new
-- Its events may have been sent before, in a batch that nobody knows of any more.
UPDATE usage_batches SET
    state = 'ambiguous', copied = %(copied)s,
    last_reply = 'it may have been sent before the database was set back or copied'
WHERE batch_id = %(batch_id)s

-- name: take_pending
UPDATE usage_events SET state = 'sealed', batch_id = %(batch_id)s
WHERE stream = %(stream)s AND state = 'pending' AND seq = ANY(%(seqs)s)

-- name: take_over
UPDATE usage_events SET batch_id = %(batch_id)s
WHERE batch_id = ANY(%(sources)s) AND state = 'sealed' AND seq = ANY(%(seqs)s)

-- name: advance_chain
UPDATE agent_streams SET sealed_sha256 = %(sha256)s WHERE stream = %(stream)s

-- name: lease
-- Of the batches that are due the oldest one, but those that have failed only after all others, so that one that always
-- fails stands in nobody's way, and each once in a round, which began at %(began)s. A batch that was refused alone waits for
-- the verdict on its root, not for another try.
WITH due AS (
    SELECT batch_id FROM usage_batches
    WHERE state = 'sealed' AND NOT refused AND next_attempt_at <= clock_timestamp()
        AND (last_attempt_at < %(began)s) IS NOT FALSE
    ORDER BY last_attempt_at NULLS FIRST, root_id, first_seq
    LIMIT 1
    FOR UPDATE SKIP LOCKED
)
UPDATE usage_batches AS batch SET
    state = 'sending', last_attempt_at = clock_timestamp(), lease_owner = %(owner)s, lease_until = clock_timestamp() + %(lease)s, fence = fence + 1,
    attempts = attempts + 1
FROM due
WHERE batch.batch_id = due.batch_id
RETURNING batch.batch_id, root_id, dialect, body, attempts, fence, held, nothing_stored,
    nothing_stored > 0 AND EXISTS (
        SELECT FROM usage_batches AS other WHERE other.synced > 0 AND other.settled_at > batch.nothing_stored_since
    ) AS others_delivered,
    ARRAY(SELECT event_id FROM usage_events AS event
        WHERE event.batch_id = batch.batch_id AND event.state = 'sealed' ORDER BY seq) AS event_ids

-- name: hasten
-- The link is back, or a person says so: what waits after a failure need wait no longer.
-- What another agent has just taken needs no haste; waiting for it could end in a deadlock of two agents.
WITH waiting AS (
    SELECT batch_id FROM usage_batches
    WHERE state = 'sealed' AND NOT refused AND next_attempt_at > clock_timestamp()
    FOR UPDATE SKIP LOCKED
)
UPDATE usage_batches AS batch SET next_attempt_at = clock_timestamp() FROM waiting WHERE batch.batch_id = waiting.batch_id

-- name: reclaim
-- Batches under way whose sender is gone, or was an earlier run of this agent: nobody knows whether they arrived.
UPDATE usage_batches SET
    state = CASE WHEN %(dedupes)s AND dialect = 'extended' THEN 'sealed' ELSE 'ambiguous' END,
    next_attempt_at = clock_timestamp() + CASE WHEN %(dedupes)s AND dialect = 'extended' THEN interval '0' ELSE %(quiet)s END,
    lease_owner = NULL, lease_until = NULL,
    last_reply = 'the agent that was sending it ended'
WHERE state = 'sending' AND (lease_until <= clock_timestamp() OR lease_owner = %(owner)s)

-- name: lock_delivered
-- For a success, whoever reports it: what the service has, it has.
SELECT root_id, stream, dialect, attempts FROM usage_batches
WHERE batch_id = %(batch_id)s AND state IN ('sending', 'sealed', 'ambiguous')
FOR UPDATE

-- name: lock_leased
-- For a failure: only the one who has the lease may report it.
SELECT root_id, stream, dialect, attempts FROM usage_batches
WHERE batch_id = %(batch_id)s AND state = 'sending' AND fence = %(fence)s
FOR UPDATE

-- name: sync_events
SELECT mark_usage_synced(%(batch_id)s, %(event_ids)s) AS synced

-- name: bury_events
-- %(deaths)s: JSON array of event_id, code, detail.
WITH died AS (
    UPDATE usage_events AS event SET state = 'dead'
    FROM json_to_recordset(%(deaths)s::json) AS death (event_id uuid, code text, detail text)
    WHERE event.batch_id = %(batch_id)s AND event.state = 'sealed' AND event.event_id = death.event_id
    RETURNING event.event_id, event.stream, event.seq, event.batch_id, death.code, death.detail, event.canonical
)
INSERT INTO usage_dead_letters (event_id, stream, seq, batch_id, code, detail, event)
SELECT event_id, stream, seq, batch_id, code, detail, convert_to(canonical, 'UTF8') FROM died

-- name: close_settled
UPDATE usage_batches SET
    state = 'settled', settled_at = clock_timestamp(), body = NULL, lease_owner = NULL, lease_until = NULL,
    refused = false, synced = %(synced)s, dead = %(dead)s, again = %(again)s
WHERE batch_id = %(batch_id)s

-- name: close_split
UPDATE usage_batches SET
    state = 'split', body = NULL, lease_owner = NULL, lease_until = NULL, refused = false,
    last_reply = coalesce(%(detail)s, last_reply)
WHERE batch_id = ANY(%(batch_ids)s)

-- name: put_back
UPDATE usage_batches SET
    state = %(state)s, lease_owner = NULL, lease_until = NULL, next_attempt_at = clock_timestamp() + %(delay)s,
    last_reply = %(detail)s, refused = %(refused)s, partial = %(partial)s,
    nothing_stored = CASE WHEN %(nothing_stored)s THEN nothing_stored + 1 ELSE 0 END,
    nothing_stored_since = CASE WHEN %(nothing_stored)s THEN coalesce(nothing_stored_since, clock_timestamp()) END
WHERE batch_id = %(batch_id)s AND state = 'sending' AND fence = %(fence)s
