-- The cursors of plugins' sinks, and the events that follow them. Called by sinks.py.

-- name: follow
-- A sink that was never seen on this device starts at the present, which is in the streams as far as they are drained. For
-- one that was, a stream without a cursor is a new spool file: everything in it is news.
INSERT INTO usage_sink_cursors (sink, stream, seq)
SELECT %(sink)s, known.stream,
    CASE WHEN %(since_beginning)s OR EXISTS (
        SELECT FROM usage_sink_cursors AS cursor JOIN agent_streams USING (stream)
        WHERE sink = %(sink)s AND device_id = %(device_id)s
    ) THEN 0 ELSE known.drained_seq END
FROM (
    SELECT stream, drained_seq FROM agent_streams WHERE device_id = %(device_id)s
    UNION ALL
    SELECT %(stream)s::uuid, 0
    WHERE %(stream)s::uuid IS NOT NULL AND NOT EXISTS (SELECT FROM agent_streams WHERE stream = %(stream)s)
) AS known
ON CONFLICT DO NOTHING

-- name: place
-- The oldest stream with something left, and how many seqs there are in all.
SELECT stream, cursor.seq, drained_seq,
    (sum(drained_seq - cursor.seq) OVER ())::bigint AS behind
FROM usage_sink_cursors AS cursor
JOIN agent_streams USING (stream)
WHERE sink = %(sink)s AND device_id = %(device_id)s AND drained_seq > cursor.seq
ORDER BY first_seen_at, stream
LIMIT 1

-- name: events
-- A range of seqs, not a number of rows: so the index finds its few blocks, and nothing is sorted but what is taken.
SELECT event_id, tenant_id, device_id, camera_id, event_type, resource_id, resource_type, quantity, unit, billable,
    event_time, recorded_at, corrects, canonical
FROM usage_events
WHERE stream = %(stream)s AND seq > %(after)s AND seq <= %(through)s
ORDER BY seq

-- name: resume
-- Where events go on behind a hole, such as what retention has removed.
SELECT min(seq) AS seq FROM usage_events WHERE stream = %(stream)s AND seq > %(after)s AND seq <= %(drained_seq)s

-- name: advance
UPDATE usage_sink_cursors SET seq = %(through)s
WHERE sink = %(sink)s AND stream = %(stream)s AND seq < %(through)s
