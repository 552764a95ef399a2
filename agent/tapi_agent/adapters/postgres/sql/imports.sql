-- Rows of old SQLite files on their way from staging (import_staging.sql) into the tables of this schema, and back.
-- insert_TABLE stores what is staged and skips what is there already; its row count is what was stored.
-- stored_TABLE gives, for each staged row, what is now stored under its key, turned back into the old form. LATERAL with a
-- LIMIT is a lookup by key whatever PostgreSQL thinks of tables that it has not analyzed yet: a join may scan them whole.

-- name: one_at_a_time
-- Imports of one device in a row: side by side, each would wait for rows of the other. Waits for lock_timeout: so long may
-- the session of an import that was killed live on.
SELECT pg_advisory_xact_lock(hashtext('tapi-agent import'), hashtext(%(tenant_id)s::text || '/' || %(device_id)s::text))

-- name: take_time
-- Between two statements a large file is read and hashed once more. Should the import die, its connection ends with it.
SELECT set_config('idle_in_transaction_session_timeout', '0', true)

-- name: insert_config
INSERT INTO config (tenant_id, device_id, key, value, updated_at)
SELECT %(tenant_id)s, %(device_id)s, key, value::json, 'epoch'::timestamptz + updated_at * interval '1 second'
FROM old_config
ON CONFLICT DO NOTHING

-- name: stored_config
-- The same value, set again since, is no other value.
SELECT old, (old.row_number, now.key, now.value::text, least(
           old.updated_at, (extract(epoch FROM now.updated_at))::bigint))::old_config AS stored
FROM old_config AS old, LATERAL (
    SELECT * FROM config AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.device_id = %(device_id)s
    AND now.key = old.key
    LIMIT 1
) AS now

-- name: insert_camera_config
-- A camera that is only registered so far is completed; one that says something already is left alone.
WITH written AS (
    INSERT INTO cameras AS known (tenant_id, camera_id, device_id, registered_at, name, enabled, config)
    SELECT %(tenant_id)s, camera_id, %(device_id)s, 'epoch'::timestamptz + updated_at * interval '1 second', name, enabled,
           config::json
    FROM old_camera_config
    ON CONFLICT (tenant_id, camera_id) DO UPDATE
    SET registered_at = least(known.registered_at, EXCLUDED.registered_at), name = EXCLUDED.name,
        enabled = EXCLUDED.enabled, config = EXCLUDED.config
    WHERE known.device_id = EXCLUDED.device_id AND known.name IN ('', EXCLUDED.name) AND known.config::text = '{}'
    AND NOT EXISTS (
        SELECT FROM camera_components AS part
        WHERE part.tenant_id = known.tenant_id AND part.camera_id = known.camera_id)
    RETURNING camera_id
), old AS (
    SELECT old.* FROM old_camera_config AS old JOIN written USING (camera_id)
), components AS (
    INSERT INTO camera_components (tenant_id, camera_id, component_id, role, type, place, settings)
    SELECT %(tenant_id)s, camera_id, part->>0, part->>1, part->>2, (part->>3)::integer, (part->>4)::json
    FROM old, json_array_elements(components::json) AS part
), lines AS (
    INSERT INTO line_zones (
        tenant_id, camera_id, zone_id, component_id, name, start_x, start_y, end_x, end_y, direction, metadata)
    SELECT %(tenant_id)s, camera_id, part->>0, part->>1, part->>2, (part->>3)::float8, (part->>4)::float8,
           (part->>5)::float8, (part->>6)::float8, part->>7, (part->>8)::json
    FROM old, json_array_elements(lines::json) AS part
), areas AS (
    INSERT INTO polygon_zones (tenant_id, camera_id, zone_id, component_id, name, zone_type, corners, metadata)
    SELECT %(tenant_id)s, camera_id, part->>0, part->>1, part->>2, part->>3, (part->>4)::json, (part->>5)::json
    FROM old, json_array_elements(areas::json) AS part
)
SELECT camera_id FROM written

-- name: stored_camera_config
-- Registered earlier than the old data says is no other camera.
SELECT old, (old.row_number, now.camera_id, now.config::text,
             greatest(old.updated_at, ceil(extract(epoch FROM now.registered_at))::bigint), now.name, now.enabled,
             components.parts, lines.parts, areas.parts)::old_camera_config AS stored
FROM old_camera_config AS old, LATERAL (
    SELECT * FROM cameras AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.device_id = %(device_id)s
    LIMIT 1
) AS now,
LATERAL (
    SELECT '[' || coalesce(string_agg(json_build_array(
               component_id, role, type, place, settings::text)::text, ', ' ORDER BY component_id COLLATE "C"), '') || ']'
    FROM camera_components AS part WHERE part.tenant_id = now.tenant_id AND part.camera_id = now.camera_id
) AS components (parts),
LATERAL (
    SELECT '[' || coalesce(string_agg(json_build_array(
               zone_id, component_id, name, start_x::text, start_y::text, end_x::text, end_y::text, direction,
               metadata::text)::text, ', ' ORDER BY zone_id COLLATE "C"), '') || ']'
    FROM line_zones AS part WHERE part.tenant_id = now.tenant_id AND part.camera_id = now.camera_id
) AS lines (parts),
LATERAL (
    SELECT '[' || coalesce(string_agg(json_build_array(
               zone_id, component_id, name, zone_type, corners::text, metadata::text)::text,
               ', ' ORDER BY zone_id COLLATE "C"), '') || ']'
    FROM polygon_zones AS part WHERE part.tenant_id = now.tenant_id AND part.camera_id = now.camera_id
) AS areas (parts)

-- name: insert_frames
INSERT INTO frames (tenant_id, camera_id, frame_id, captured_at, thumbnail, width, height, created_at)
SELECT %(tenant_id)s, camera_id, id, 'epoch'::timestamptz + "timestamp" * interval '1 millisecond', thumbnail, width,
       height, 'epoch'::timestamptz + created_at * interval '1 millisecond'
FROM old_frames
ON CONFLICT DO NOTHING

-- name: stored_frames
-- The order is that of the primary key: without it, frames_by_time would look as good, and read all frames of the camera.
SELECT old, (old.row_number, now.frame_id, now.camera_id, extract(epoch FROM now.captured_at) * 1000, now.thumbnail,
             now.width, now.height, extract(epoch FROM now.created_at) * 1000)::old_frames AS stored
FROM old_frames AS old, LATERAL (
    SELECT * FROM frames AS now
    WHERE now.tenant_id = %(tenant_id)s AND now.camera_id = old.camera_id AND now.frame_id >= old.id
    ORDER BY now.frame_id
    LIMIT 1
) AS now
WHERE now.frame_id = old.id

-- name: insert_telemetry_events
INSERT INTO telemetry_events (
    tenant_id, camera_id, occurred_at, event_id, event_type, source_id, frame_id, properties, created_at)
SELECT %(tenant_id)s, camera_id, 'epoch'::timestamptz + "timestamp" * interval '1 millisecond', id,
       (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[event_type + 1], source_id, frame_id,
       properties::json, 'epoch'::timestamptz + created_at * interval '1 millisecond'
FROM old_telemetry_events
ON CONFLICT DO NOTHING

-- name: stored_telemetry_events
SELECT old, (old.row_number, now.event_id, now.camera_id, extract(epoch FROM now.occurred_at) * 1000,
             array_position(ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'], now.event_type) - 1,
             now.source_id, now.properties::text, now.frame_id,
             extract(epoch FROM now.created_at) * 1000)::old_telemetry_events AS stored
FROM old_telemetry_events AS old, LATERAL (
    SELECT * FROM telemetry_events AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.event_id = old.id
    AND now.occurred_at = 'epoch'::timestamptz + old."timestamp" * interval '1 millisecond'
    LIMIT 1
) AS now

-- name: insert_analytics_summary
-- Of two summaries, and of all that is counted, the later word of the application counts: they replace each other there.
INSERT INTO telemetry_aggregates AS known (tenant_id, camera_id, kind, summary_key, value, counted_at)
SELECT %(tenant_id)s, camera_id, 'summary', summary_key, summary_value::json,
       'epoch'::timestamptz + last_updated * interval '1 millisecond'
FROM old_analytics_summary
ON CONFLICT (tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name) DO UPDATE
SET value = EXCLUDED.value, counted_at = EXCLUDED.counted_at
WHERE known.counted_at < EXCLUDED.counted_at

-- name: stored_analytics_summary
SELECT old, (old.row_number, now.camera_id, now.summary_key, now.value::text,
             extract(epoch FROM now.counted_at) * 1000)::old_analytics_summary AS stored
FROM old_analytics_summary AS old, LATERAL (
    SELECT * FROM telemetry_aggregates AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.kind = 'summary'
    AND now.summary_key = old.summary_key
    LIMIT 1
) AS now

-- name: insert_time_series_buckets
-- The old key let a bucket of all classes, class_name NULL, occur twice.
INSERT INTO telemetry_aggregates AS known (
    tenant_id, camera_id, kind, bucket_start, bucket, event_type, class_name, events, counted_at)
SELECT DISTINCT ON (camera_id, bucket_timestamp, bucket_size, event_type, class_name)
       %(tenant_id)s, camera_id, 'series', 'epoch'::timestamptz + bucket_timestamp * interval '1 millisecond',
       bucket_size * interval '1 millisecond',
       (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[event_type + 1], class_name, event_count,
       'epoch'::timestamptz + last_updated * interval '1 millisecond'
FROM old_time_series_buckets
ORDER BY camera_id, bucket_timestamp, bucket_size, event_type, class_name, last_updated DESC NULLS LAST
ON CONFLICT (tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name) DO UPDATE
SET events = EXCLUDED.events, counted_at = EXCLUDED.counted_at
WHERE known.counted_at < EXCLUDED.counted_at

-- name: stored_time_series_buckets
SELECT old, (old.row_number, now.camera_id, extract(epoch FROM now.bucket_start) * 1000,
             extract(epoch FROM now.bucket) * 1000,
             array_position(ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'], now.event_type) - 1,
             now.class_name, now.events, extract(epoch FROM now.counted_at) * 1000)::old_time_series_buckets AS stored
FROM old_time_series_buckets AS old, LATERAL (
    SELECT * FROM telemetry_aggregates AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.kind = 'series'
    AND now.summary_key IS NULL
    AND now.bucket_start = 'epoch'::timestamptz + old.bucket_timestamp * interval '1 millisecond'
    AND now.bucket = old.bucket_size * interval '1 millisecond'
    AND now.event_type = (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[old.event_type + 1]
    AND now.class_name IS NOT DISTINCT FROM old.class_name
    LIMIT 1
) AS now

-- name: insert_class_distribution
INSERT INTO telemetry_aggregates AS known (tenant_id, camera_id, kind, event_type, class_name, events, counted_at)
SELECT %(tenant_id)s, camera_id, 'class',
       (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[event_type + 1], class_name, total_count,
       'epoch'::timestamptz + last_updated * interval '1 millisecond'
FROM old_class_distribution
ON CONFLICT (tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name) DO UPDATE
SET events = EXCLUDED.events, counted_at = EXCLUDED.counted_at
WHERE known.counted_at < EXCLUDED.counted_at

-- name: stored_class_distribution
SELECT old, (old.row_number, now.camera_id, now.class_name,
             array_position(ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'], now.event_type) - 1,
             now.events, extract(epoch FROM now.counted_at) * 1000)::old_class_distribution AS stored
FROM old_class_distribution AS old, LATERAL (
    SELECT * FROM telemetry_aggregates AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.kind = 'class'
    AND now.summary_key IS NULL
    AND now.bucket_start IS NULL
    AND now.bucket IS NULL
    AND now.event_type = (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[old.event_type + 1]
    AND now.class_name = old.class_name
    LIMIT 1
) AS now

-- name: insert_dwell_times
-- A track goes on while it is seen: the later count of it replaces the earlier one.
INSERT INTO dwell_times AS known (
    tenant_id, camera_id, track_id, class_name, first_seen, last_seen, detections, counted_at)
SELECT %(tenant_id)s, camera_id, track_id, class_name, 'epoch'::timestamptz + first_seen * interval '1 millisecond',
       'epoch'::timestamptz + last_seen * interval '1 millisecond', detection_count,
       'epoch'::timestamptz + last_updated * interval '1 millisecond'
FROM old_dwell_times
ON CONFLICT (tenant_id, camera_id, track_id, class_name) DO UPDATE
SET first_seen = EXCLUDED.first_seen, last_seen = EXCLUDED.last_seen, detections = EXCLUDED.detections,
    counted_at = EXCLUDED.counted_at
WHERE known.counted_at < EXCLUDED.counted_at

-- name: stored_dwell_times
SELECT old, (old.row_number, now.camera_id, now.track_id, now.class_name, extract(epoch FROM now.first_seen) * 1000,
             extract(epoch FROM now.last_seen) * 1000, now.detections, extract(epoch FROM now.dwell) * 1000,
             extract(epoch FROM now.counted_at) * 1000)::old_dwell_times AS stored
FROM old_dwell_times AS old, LATERAL (
    SELECT * FROM dwell_times AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.track_id = old.track_id
    AND now.class_name = old.class_name
    LIMIT 1
) AS now

-- name: insert_event_type_counts
INSERT INTO telemetry_aggregates AS known (
    tenant_id, camera_id, kind, event_type, events, recent_events, counted_at, recent_counted_at)
SELECT %(tenant_id)s, camera_id, 'type',
       (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[event_type + 1], total_count,
       recent_count_24h, 'epoch'::timestamptz + last_updated * interval '1 millisecond',
       'epoch'::timestamptz + last_24h_updated * interval '1 millisecond'
FROM old_event_type_counts
ON CONFLICT (tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name) DO UPDATE
SET events = EXCLUDED.events, recent_events = EXCLUDED.recent_events, counted_at = EXCLUDED.counted_at,
    recent_counted_at = EXCLUDED.recent_counted_at
WHERE known.counted_at < EXCLUDED.counted_at

-- name: stored_event_type_counts
SELECT old, (old.row_number, now.camera_id,
             array_position(ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'], now.event_type) - 1,
             now.events, now.recent_events, extract(epoch FROM now.counted_at) * 1000,
             extract(epoch FROM now.recent_counted_at) * 1000)::old_event_type_counts AS stored
FROM old_event_type_counts AS old, LATERAL (
    SELECT * FROM telemetry_aggregates AS now
    WHERE now.tenant_id = %(tenant_id)s
    AND now.camera_id = old.camera_id
    AND now.kind = 'type'
    AND now.summary_key IS NULL
    AND now.bucket_start IS NULL
    AND now.bucket IS NULL
    AND now.event_type = (ARRAY['detection', 'tracking', 'crossing', 'classification', 'custom'])[old.event_type + 1]
    AND now.class_name IS NULL
    LIMIT 1
) AS now

-- name: cameras_of_others
-- Of the tenant's cameras, those that another device serves.
SELECT camera_id FROM cameras WHERE tenant_id = %(tenant_id)s AND device_id <> %(device_id)s

-- name: known_file
SELECT tables
FROM import_files
WHERE tenant_id = %(tenant_id)s AND device_id = %(device_id)s AND file_name = %(file_name)s AND sha256 = %(sha256)s

-- name: record_file
INSERT INTO import_files (tenant_id, device_id, file_name, sha256, bytes, tables, agent_version, duration)
VALUES (%(tenant_id)s, %(device_id)s, %(file_name)s, %(sha256)s, %(bytes)s, %(tables)s::json, %(agent_version)s,
        %(duration)s)

-- name: set_aside
INSERT INTO import_quarantine (tenant_id, device_id, file_name, table_name, row_number, code, detail, content)
SELECT %(tenant_id)s, %(device_id)s, %(file_name)s, table_name, row_number, code, detail, decode(content, 'base64')
FROM json_to_recordset(%(rows)s) AS bad (table_name text, row_number bigint, code text, detail text, content text)
ON CONFLICT DO NOTHING

-- name: held
-- How much of a file is in quarantine, over all imports of it.
SELECT count(*) AS held
FROM import_quarantine
WHERE tenant_id = %(tenant_id)s AND device_id = %(device_id)s AND file_name = %(file_name)s
