-- Cameras with their components and zones, in the form of domain.camera.setup_from. Called by cameras.py.

-- name: read_cameras
-- One camera, or with NULL all. One statement sees one moment: no zone without its component.
SELECT json_build_object(
    'camera_id', camera_id,
    'device_id', device_id,
    'registered_at', registered_at,
    'name', name,
    'enabled', enabled,
    'metadata', metadata::text,
    'config', config::text,
    'components', (
        SELECT coalesce(json_agg(json_build_object(
            'component_id', component_id, 'role', role, 'type', type, 'settings', settings::text)
            ORDER BY array_position(ARRAY['source', 'processor', 'sink'], role), place, component_id COLLATE "C"), '[]')
        FROM camera_components AS part
        WHERE (part.tenant_id, part.camera_id) = (camera.tenant_id, camera.camera_id)),
    'line_zones', (
        SELECT coalesce(json_agg(json_build_object(
            'zone_id', zone_id, 'component_id', component_id, 'name', name, 'direction', direction,
            'start', json_build_object('x', start_x, 'y', start_y), 'end', json_build_object('x', end_x, 'y', end_y),
            'metadata', metadata::text)
            ORDER BY zone_id COLLATE "C"), '[]')
        FROM line_zones AS part
        WHERE (part.tenant_id, part.camera_id) = (camera.tenant_id, camera.camera_id)),
    'polygon_zones', (
        SELECT coalesce(json_agg(json_build_object(
            'zone_id', zone_id, 'component_id', component_id, 'name', name, 'zone_type', zone_type,
            'corners', corners, 'metadata', metadata::text)
            ORDER BY zone_id COLLATE "C"), '[]')
        FROM polygon_zones AS part
        WHERE (part.tenant_id, part.camera_id) = (camera.tenant_id, camera.camera_id))
) AS setup
FROM cameras AS camera
WHERE tenant_id = %(tenant_id)s AND (%(camera_id)s::text IS NULL OR camera_id = %(camera_id)s)
ORDER BY registered_at, camera_id COLLATE "C"

-- name: save_cameras
-- In order of their key, so that two who save the same cameras cannot wait for each other. What another device serves is
-- left alone, and missing from what is returned.
INSERT INTO cameras AS known (tenant_id, device_id, camera_id, registered_at, name, enabled, metadata, config)
SELECT %(tenant_id)s, %(device_id)s, camera_id, registered_at, name, enabled, metadata::jsonb, config::json
FROM json_to_recordset(%(setups)s) AS given (
    camera_id text, registered_at timestamptz, name text, enabled boolean, metadata text, config text)
ORDER BY camera_id COLLATE "C"
ON CONFLICT (tenant_id, camera_id) DO UPDATE SET
    registered_at = least(known.registered_at, excluded.registered_at),
    name = excluded.name,
    enabled = excluded.enabled,
    metadata = excluded.metadata,
    config = excluded.config
WHERE known.device_id = excluded.device_id
RETURNING camera_id, registered_at

-- name: clear_parts
-- Zones go with their components.
DELETE FROM camera_components WHERE tenant_id = %(tenant_id)s AND camera_id = ANY(%(camera_ids)s)

-- name: save_parts
-- Zones refer to components of the same statement: foreign keys are checked at its end.
WITH given AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(setups)s) AS setup (
        camera_id text, components json, line_zones json, polygon_zones json)
), components AS (
    INSERT INTO camera_components (tenant_id, camera_id, component_id, role, type, place, settings)
    SELECT %(tenant_id)s, camera_id, component_id, role, type,
        row_number() OVER (PARTITION BY camera_id, role ORDER BY position) - 1, settings::json
    FROM given, ROWS FROM (json_to_recordset(given.components) AS (
        component_id text, role text, type text, settings text))
        WITH ORDINALITY AS part (component_id, role, type, settings, position)
), lines AS (
    INSERT INTO line_zones (
        tenant_id, camera_id, zone_id, component_id, name, start_x, start_y, end_x, end_y, direction, metadata)
    SELECT %(tenant_id)s, camera_id, zone_id, component_id, name, (start ->> 'x')::float8, (start ->> 'y')::float8,
        ("end" ->> 'x')::float8, ("end" ->> 'y')::float8, direction, metadata::json
    FROM given, json_to_recordset(given.line_zones) AS part (
        zone_id text, component_id text, name text, start json, "end" json, direction text, metadata text)
)
INSERT INTO polygon_zones (tenant_id, camera_id, zone_id, component_id, name, zone_type, corners, metadata)
SELECT %(tenant_id)s, camera_id, zone_id, component_id, name, zone_type, corners, metadata::json
FROM given, json_to_recordset(given.polygon_zones) AS part (
    zone_id text, component_id text, name text, zone_type text, corners json, metadata text)

-- name: lock_camera
-- Whoever else wants to change it waits.
SELECT 1 AS locked FROM cameras WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s FOR UPDATE

-- name: elsewhere
-- The first of these cameras that another device serves.
SELECT camera_id, device_id
FROM cameras
WHERE tenant_id = %(tenant_id)s AND device_id <> %(device_id)s AND camera_id = ANY(%(camera_ids)s)
ORDER BY camera_id COLLATE "C"
LIMIT 1

-- name: delete_camera
DELETE FROM cameras WHERE tenant_id = %(tenant_id)s AND device_id = %(device_id)s AND camera_id = %(camera_id)s

-- name: registrations
SELECT camera_id, registered_at
FROM cameras
WHERE tenant_id = %(tenant_id)s AND device_id = %(device_id)s
ORDER BY registered_at, camera_id COLLATE "C"

-- name: register
INSERT INTO cameras AS known (tenant_id, device_id, camera_id, registered_at)
SELECT %(tenant_id)s, %(device_id)s, camera_id, registered_at
FROM json_to_recordset(%(registrations)s) AS given (camera_id text, registered_at timestamptz)
ORDER BY camera_id COLLATE "C"
ON CONFLICT (tenant_id, camera_id) DO UPDATE SET registered_at = excluded.registered_at
WHERE known.device_id = excluded.device_id AND known.registered_at > excluded.registered_at
