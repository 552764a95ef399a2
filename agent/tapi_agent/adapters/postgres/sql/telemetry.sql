-- What cameras have seen, of one tenant. Called by telemetry.py.

-- name: record_events
-- Numbers are drawn before the insert, so that they can be told in the order of the events.
WITH given AS MATERIALIZED (
    SELECT nextval('telemetry_ids') AS event_id, event.*
    FROM ROWS FROM (json_to_recordset(%(events)s) AS (
        camera_id text, occurred_at timestamptz, event_type text, source_id text, frame_id bigint, properties text))
        WITH ORDINALITY AS event (camera_id, occurred_at, event_type, source_id, frame_id, properties, position)
), kept AS (
    INSERT INTO telemetry_events (
        tenant_id, camera_id, occurred_at, event_id, event_type, source_id, frame_id, properties)
    SELECT %(tenant_id)s, camera_id, occurred_at, event_id, event_type, source_id, frame_id, properties::json
    FROM given
)
SELECT event_id FROM given ORDER BY position

-- name: events
-- The comparison of rows decides, but only the plain one in front of it spares months.
SELECT camera_id, occurred_at, event_id, event_type, source_id, frame_id, properties::text AS properties
FROM telemetry_events
WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s
    AND occurred_at >= %(start)s AND occurred_at <= %(at)s
    AND (occurred_at, event_id) < (%(at)s, %(number)s)
ORDER BY occurred_at DESC, event_id DESC
LIMIT %(limit)s

-- name: save_frame
INSERT INTO frames (tenant_id, camera_id, captured_at, thumbnail, width, height)
VALUES (%(tenant_id)s, %(camera_id)s, %(captured_at)s, %(thumbnail)s, %(width)s, %(height)s)
RETURNING frame_id

-- name: frame
SELECT camera_id, frame_id, captured_at, thumbnail, width, height
FROM frames
WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s AND frame_id = %(frame_id)s

-- name: frames
SELECT camera_id, frame_id, captured_at, width, height
FROM frames
WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s
    AND captured_at >= %(start)s AND captured_at <= %(at)s
    AND (captured_at, frame_id) < (%(at)s, %(number)s)
ORDER BY captured_at DESC, frame_id DESC
LIMIT %(limit)s

-- name: save_aggregates
-- In order of the key, so that two who count the same camera cannot wait for each other.
INSERT INTO telemetry_aggregates (
    tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name, events, recent_events, value,
    counted_at, recent_counted_at)
SELECT %(tenant_id)s, camera_id, kind, summary_key, bucket_start, make_interval(secs => bucket_s), event_type, class_name,
    events, recent_events, value::json, counted_at, recent_counted_at
FROM json_to_recordset(%(aggregates)s) AS aggregate (
    camera_id text, kind text, summary_key text, bucket_start timestamptz, bucket_s double precision, event_type text,
    class_name text, events bigint, recent_events bigint, value text, counted_at timestamptz,
    recent_counted_at timestamptz)
ORDER BY camera_id, kind, summary_key, bucket_start, bucket_s, event_type, class_name
ON CONFLICT (tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name) DO UPDATE SET
    events = excluded.events,
    recent_events = excluded.recent_events,
    value = excluded.value,
    counted_at = excluded.counted_at,
    recent_counted_at = excluded.recent_counted_at

-- name: aggregates
SELECT camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name, events, recent_events,
    value::text AS value, counted_at, recent_counted_at
FROM telemetry_aggregates
WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s
    AND (kind <> 'series' OR (bucket_start >= %(start)s AND bucket_start < %(end)s))

-- name: save_dwell_times
INSERT INTO dwell_times (
    tenant_id, camera_id, track_id, class_name, first_seen, last_seen, detections, counted_at)
SELECT %(tenant_id)s, camera_id, track_id, class_name, first_seen, last_seen, detections, counted_at
FROM json_to_recordset(%(dwell_times)s) AS dwell_time (
    camera_id text, track_id text, class_name text, first_seen timestamptz, last_seen timestamptz, detections bigint,
    counted_at timestamptz)
ORDER BY camera_id, track_id, class_name
ON CONFLICT (tenant_id, camera_id, track_id, class_name) DO UPDATE SET
    first_seen = excluded.first_seen,
    last_seen = excluded.last_seen,
    detections = excluded.detections,
    counted_at = excluded.counted_at

-- name: dwell_times
SELECT camera_id, track_id, class_name, first_seen, last_seen, detections, counted_at
FROM dwell_times
WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s AND last_seen >= %(start)s AND last_seen < %(end)s
ORDER BY last_seen, track_id COLLATE "C", class_name COLLATE "C"
