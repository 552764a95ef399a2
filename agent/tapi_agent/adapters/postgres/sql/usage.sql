-- From the spool into the database: events, totals, repeats, dead letters. Called by usage.py.

-- name: copy_events
COPY usage_events (
    event_id, recorded_at, stream, seq, tenant_id, device_id, camera_id, event_type, resource_id, resource_type,
    quantity, unit, billable, event_time, corrects, canonical, state)
FROM STDIN

-- name: count_events
-- %(totals)s: JSON array of what events that are all new add up to, by tenant, meter, unit and day. In order of their key, so
-- that two agents cannot wait for each other.
WITH given AS (
    SELECT * FROM json_to_recordset(%(totals)s::json) AS given (
        tenant_id text, meter text, unit text, day date,
        events bigint, quantity numeric, local_events bigint, local_quantity numeric)
    ORDER BY tenant_id, meter, unit, day
), counted AS (
    INSERT INTO usage_totals AS total (tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
    SELECT * FROM given
    ON CONFLICT (tenant_id, meter, unit, day) DO UPDATE SET
        events = total.events + excluded.events,
        quantity = total.quantity + excluded.quantity,
        local_events = total.local_events + excluded.local_events,
        local_quantity = total.local_quantity + excluded.local_quantity
)
INSERT INTO usage_arrivals AS known (stream, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
SELECT %(stream)s, * FROM given
ON CONFLICT (stream, tenant_id, meter, unit, day) DO UPDATE SET
    events = known.events + excluded.events,
    quantity = known.quantity + excluded.quantity,
    local_events = known.local_events + excluded.local_events,
    local_quantity = known.local_quantity + excluded.local_quantity

-- name: insert_events
-- %(events)s is a JSON array of canonical texts, %(seqs)s their places. json_array_elements gives each element back byte for
-- byte, so the text that is kept is the text that was recorded. Totals change only by rows that the insert returns, in order
-- of their key, so that two agents cannot wait for each other. Arrivals change by every place behind %(drained)s, up to which
-- all of the stream had arrived before, whatever becomes of what stands there.
WITH given AS (
    SELECT event.*, element.document::text AS canonical, element.seq
    FROM ROWS FROM (json_array_elements(%(events)s::json), unnest(%(seqs)s::bigint[])) AS element (document, seq),
        json_to_record(element.document) AS event (
            event_id uuid, tenant_id text, device_id text, camera_id text, event_type text, resource_id text,
            resource_type text, quantity numeric, unit text, billable boolean, event_time timestamptz, corrects uuid)
), kept AS (
    INSERT INTO usage_events (
        event_id, recorded_at, stream, seq, tenant_id, device_id, camera_id, event_type, resource_id, resource_type,
        quantity, unit, billable, event_time, corrects, canonical, state)
    SELECT event_id, usage_id_time(event_id), %(stream)s, seq, tenant_id, device_id, camera_id, event_type, resource_id,
        coalesce(resource_type, ''), quantity, unit, coalesce(billable, true), event_time, corrects, canonical,
        CASE WHEN coalesce(billable, true) THEN 'pending' ELSE 'local' END
    FROM given
    ON CONFLICT DO NOTHING
    RETURNING seq, tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date AS day, quantity, billable
), counted AS (
    INSERT INTO usage_totals AS total (tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
    SELECT tenant_id, event_type, unit, day,
        count(*) FILTER (WHERE billable), coalesce(sum(quantity) FILTER (WHERE billable), 0),
        count(*) FILTER (WHERE NOT billable), coalesce(sum(quantity) FILTER (WHERE NOT billable), 0)
    FROM kept
    GROUP BY tenant_id, event_type, unit, day
    ORDER BY tenant_id, event_type, unit, day
    ON CONFLICT (tenant_id, meter, unit, day) DO UPDATE SET
        events = total.events + excluded.events,
        quantity = total.quantity + excluded.quantity,
        local_events = total.local_events + excluded.local_events,
        local_quantity = total.local_quantity + excluded.local_quantity
), arrived AS (
    INSERT INTO usage_arrivals AS known (stream, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
    SELECT %(stream)s, tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date AS day,
        count(*) FILTER (WHERE billable IS NOT FALSE), coalesce(sum(quantity) FILTER (WHERE billable IS NOT FALSE), 0),
        count(*) FILTER (WHERE billable IS FALSE), coalesce(sum(quantity) FILTER (WHERE billable IS FALSE), 0)
    FROM given
    WHERE seq > %(drained)s
    GROUP BY tenant_id, event_type, unit, day
    ORDER BY tenant_id, event_type, unit, day
    ON CONFLICT (stream, tenant_id, meter, unit, day) DO UPDATE SET
        events = known.events + excluded.events,
        quantity = known.quantity + excluded.quantity,
        local_events = known.local_events + excluded.local_events,
        local_quantity = known.local_quantity + excluded.local_quantity
)
SELECT coalesce(array_agg(seq), '{}') AS seqs FROM kept

-- name: note_repeats
-- Events that an insert did not return, beside the rows that were there: in the same place they were drained before, with
-- the same text they are repeats, with another one they are conflicts and die.
WITH repeated AS (
    SELECT element.seq, kept.event_id, element.document::text AS canonical,
        kept.stream = %(stream)s AND kept.seq = element.seq AS same_place,
        kept.canonical = element.document::text AS same_text
    FROM ROWS FROM (json_array_elements(%(events)s::json), unnest(%(seqs)s::bigint[])) AS element (document, seq)
    JOIN usage_events AS kept
        ON kept.event_id = (element.document ->> 'event_id')::uuid
        AND kept.recorded_at = usage_id_time((element.document ->> 'event_id')::uuid)
), duplicates AS (
    INSERT INTO usage_duplicates (stream, seq, event_id)
    SELECT %(stream)s, seq, event_id FROM repeated WHERE same_text AND NOT same_place
    ON CONFLICT DO NOTHING
    RETURNING seq
), conflicts AS (
    INSERT INTO usage_dead_letters (event_id, stream, seq, code, detail, event)
    SELECT event_id, %(stream)s, seq, %(code)s, %(detail)s, convert_to(canonical, 'UTF8')
    FROM repeated WHERE NOT same_text AND NOT same_place
    ON CONFLICT DO NOTHING
    RETURNING seq
)
SELECT
    (SELECT count(*) FROM repeated) AS found,
    (SELECT count(*) FROM duplicates) AS duplicates,
    (SELECT count(*) FROM conflicts) AS conflicts

-- name: take_turn
-- One at a time for each stream, until the transaction ends: a call whose answer was lost may still be at it. Not the lock on
-- the stream's row: sealing passes by a stream that is locked.
SELECT pg_advisory_xact_lock(hashtext('tapi-agent stream'), hashtext(%(stream)s::text))

-- name: drained_seq
-- After take_turn, as a statement of its own: it sees what was committed meanwhile.
SELECT coalesce((SELECT drained_seq FROM agent_streams WHERE stream = %(stream)s), 0) AS drained_seq

-- name: advance_stream
INSERT INTO agent_streams AS known (stream, device_id, drained_seq) VALUES (%(stream)s, %(device_id)s, %(seq)s)
ON CONFLICT (stream) DO UPDATE SET drained_seq = greatest(known.drained_seq, excluded.drained_seq)

-- name: bury
INSERT INTO usage_dead_letters (event_id, stream, seq, code, detail, event)
VALUES (%(event_id)s, %(stream)s, %(seq)s, %(code)s, %(detail)s, %(event)s)
ON CONFLICT DO NOTHING
RETURNING seq

-- name: totals
-- With what the stream had drained at the same instant; the row that carries it is there without totals too.
SELECT coalesce((SELECT drained_seq FROM agent_streams WHERE stream = %(stream)s), 0) AS drained_seq, total.*
FROM (SELECT) AS always
LEFT JOIN usage_totals AS total
    ON (%(tenant_id)s::text IS NULL OR tenant_id = %(tenant_id)s)
    AND (%(since)s::date IS NULL OR day >= %(since)s)
    AND (%(until)s::date IS NULL OR day <= %(until)s)
ORDER BY tenant_id, meter, unit, day

-- name: backlog
-- Of one device: what is in no batch, in a batch, in doubt, set aside and dead, in events.
WITH own AS (
    SELECT stream FROM agent_streams WHERE device_id = %(device_id)s
), pending AS (
    SELECT count(*) AS events, min(recorded_at) AS oldest FROM usage_events JOIN own USING (stream) WHERE state = 'pending'
), batched AS (
    SELECT
        coalesce(sum(events) FILTER (WHERE state <> 'ambiguous' AND NOT held), 0)::bigint AS sealed,
        coalesce(sum(events) FILTER (WHERE state = 'ambiguous'), 0)::bigint AS ambiguous,
        coalesce(sum(events) FILTER (WHERE state <> 'ambiguous' AND held), 0)::bigint AS held
    FROM usage_batches JOIN own USING (stream)
    WHERE state IN ('sealed', 'sending', 'ambiguous')
)
SELECT pending.events AS pending, pending.oldest AS oldest_pending_at, batched.sealed, batched.ambiguous, batched.held,
    (SELECT count(*) FROM usage_dead_letters JOIN own USING (stream)) AS dead
FROM pending, batched

-- name: bury_arrives
-- A row that PostgreSQL refuses has arrived all the same; its sums were read by us.
INSERT INTO usage_arrivals AS known (stream, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
VALUES (
    %(stream)s, %(tenant_id)s, %(meter)s, %(unit)s, %(day)s, %(events)s, %(quantity)s, %(local_events)s, %(local_quantity)s)
ON CONFLICT (stream, tenant_id, meter, unit, day) DO UPDATE SET
    events = known.events + excluded.events,
    quantity = known.quantity + excluded.quantity,
    local_events = known.local_events + excluded.local_events,
    local_quantity = known.local_quantity + excluded.local_quantity

-- name: know_stream
INSERT INTO agent_streams (stream, device_id, drained_seq) VALUES (%(stream)s, %(device_id)s, 0)
ON CONFLICT (stream) DO NOTHING

-- name: lose
-- %(drained)s: JSON array of what the spool has handed over by now, by tenant, meter, unit and day. Whatever of it has not
-- arrived was here once and is lost.
WITH handed AS (
    SELECT * FROM json_to_recordset(%(drained)s::json) AS handed (
        tenant_id text, meter text, unit text, day date,
        events bigint, quantity numeric, local_events bigint, local_quantity numeric)
), gone AS (
    SELECT tenant_id, meter, unit, day,
        handed.events - coalesce(known.events, 0) AS events,
        handed.quantity - coalesce(known.quantity, 0) AS quantity,
        handed.local_events - coalesce(known.local_events, 0) AS local_events,
        handed.local_quantity - coalesce(known.local_quantity, 0) AS local_quantity
    FROM handed
    LEFT JOIN (SELECT * FROM usage_arrivals WHERE stream = %(stream)s) AS known USING (tenant_id, meter, unit, day)
), noted AS (
    INSERT INTO usage_arrivals AS known (
        stream, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity, lost_events, lost_quantity)
    SELECT %(stream)s, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity,
        events + local_events, quantity + local_quantity
    FROM gone WHERE events + local_events > 0
    ON CONFLICT (stream, tenant_id, meter, unit, day) DO UPDATE SET
        events = known.events + excluded.events,
        quantity = known.quantity + excluded.quantity,
        local_events = known.local_events + excluded.local_events,
        local_quantity = known.local_quantity + excluded.local_quantity,
        lost_events = known.lost_events + excluded.lost_events,
        lost_quantity = known.lost_quantity + excluded.lost_quantity
)
SELECT * FROM gone WHERE events + local_events > 0 ORDER BY tenant_id, meter, unit, day

-- name: lock_streams
-- In one order, so that two agents that find the same out cannot wait for each other.
SELECT FROM agent_streams ORDER BY stream FOR UPDATE

-- name: suspect
-- What was here before the gap may have been sent in the life that is gone; and what one stream tells of the database is
-- true of all, because any agent sends what any other has sealed.
UPDATE agent_streams SET
    drained_seq = CASE WHEN stream = %(stream)s THEN %(seq)s ELSE drained_seq END,
    suspect_seq = greatest(suspect_seq, drained_seq)

-- name: suspect_copies
-- Once for a copy: what it brings along is suspect, and so is all that the former stream has brought here before. Returns no
-- row when that was done.
WITH ours AS (
    UPDATE agent_streams SET suspect_seq = %(seq)s, copied = true
    WHERE stream = %(stream)s AND suspect_seq < %(seq)s
    RETURNING stream
)
UPDATE agent_streams SET suspect_seq = drained_seq, copied = true
WHERE stream = %(former)s AND EXISTS (SELECT FROM ours)

-- name: doubt_suspects
-- Its batches have been sealed before: nobody knows whether they were sent. Those of a service that dedupes go out again.
UPDATE usage_batches SET
    state = 'ambiguous', lease_owner = NULL, lease_until = NULL, refused = false, next_attempt_at = clock_timestamp(),
    copied = copied OR %(copied)s, last_reply = 'the database was set back or copied: it may have been sent before'
WHERE (%(stream)s::uuid IS NULL OR stream = %(stream)s) AND state IN ('sealed', 'sending')
