-- Where the rows of an old SQLite file wait within their transaction: tables of the session, shaped like the old ones, JSON
-- as text and with the old row's number. {table}, {columns} and {column} are identifiers; {stored}, {fields} and {measures}
-- are queries of these files, composed by import_intake.py. PostgreSQL prepares none of these.

-- name: config
CREATE TEMP TABLE IF NOT EXISTS old_config (
    row_number bigint, key text, value text, updated_at bigint
) ON COMMIT DELETE ROWS

-- name: camera_config
CREATE TEMP TABLE IF NOT EXISTS old_camera_config (
    row_number bigint, camera_id text, config text, updated_at bigint,
    name text, enabled boolean, components text, lines text, areas text
) ON COMMIT DELETE ROWS

-- name: frames
CREATE TEMP TABLE IF NOT EXISTS old_frames (
    row_number bigint, id bigint, camera_id text, "timestamp" bigint, thumbnail bytea, width bigint, height bigint,
    created_at bigint
) ON COMMIT DELETE ROWS

-- name: telemetry_events
CREATE TEMP TABLE IF NOT EXISTS old_telemetry_events (
    row_number bigint, id bigint, camera_id text, "timestamp" bigint, event_type bigint, source_id text, properties text,
    frame_id bigint, created_at bigint
) ON COMMIT DELETE ROWS

-- name: analytics_summary
CREATE TEMP TABLE IF NOT EXISTS old_analytics_summary (
    row_number bigint, camera_id text, summary_key text, summary_value text, last_updated bigint
) ON COMMIT DELETE ROWS

-- name: time_series_buckets
CREATE TEMP TABLE IF NOT EXISTS old_time_series_buckets (
    row_number bigint, camera_id text, bucket_timestamp bigint, bucket_size bigint, event_type bigint, class_name text,
    event_count bigint, last_updated bigint
) ON COMMIT DELETE ROWS

-- name: class_distribution
CREATE TEMP TABLE IF NOT EXISTS old_class_distribution (
    row_number bigint, camera_id text, class_name text, event_type bigint, total_count bigint, last_updated bigint
) ON COMMIT DELETE ROWS

-- name: dwell_times
CREATE TEMP TABLE IF NOT EXISTS old_dwell_times (
    row_number bigint, camera_id text, track_id text, class_name text, first_seen bigint, last_seen bigint,
    detection_count bigint, dwell_time_ms bigint, last_updated bigint
) ON COMMIT DELETE ROWS

-- name: event_type_counts
CREATE TEMP TABLE IF NOT EXISTS old_event_type_counts (
    row_number bigint, camera_id text, event_type bigint, total_count bigint, recent_count_24h bigint, last_updated bigint,
    last_24h_updated bigint
) ON COMMIT DELETE ROWS

-- name: copy_in
COPY {table} ({columns}) FROM STDIN

-- name: clear
TRUNCATE {table}

-- name: compare
-- What is stored under the keys of the staged rows, in the old form: where it says the same, what that adds up to
-- (domain/importing/tally.py); where it does not, the numbers of the old rows. OFFSET 0 keeps PostgreSQL from working out
-- the stored row, and taking it apart, anew for each sum: that takes three times as long.
SELECT array_agg((old).row_number) FILTER (WHERE NOT same) AS conflicts,
       count(*) FILTER (WHERE same) AS rows,
       sum(('x' || left(encode(sha256(convert_to(stored::text, 'UTF8')), 'hex'), 16))::bit(64)::bigint)
           FILTER (WHERE same) AS checksum,
       {measures}
FROM (
    SELECT old, stored, stored IS NOT DISTINCT FROM old AS same, {fields} FROM ({stored} OFFSET 0) AS pair OFFSET 0
) AS pair

-- name: measure
json_build_array(
    min({column}) FILTER (WHERE same), max({column}) FILTER (WHERE same),
    coalesce(sum({column}) FILTER (WHERE same), 0)) AS {column}

-- name: field
(stored).{column}
