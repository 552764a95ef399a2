-- Evidence and edges of one device and tenant.

-- name: load_evidence
SELECT sealed
FROM camera_licenses
WHERE device_id = %(device_id)s AND tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s

-- name: load_all_evidence
SELECT camera_id, sealed
FROM camera_licenses
WHERE device_id = %(device_id)s AND tenant_id = %(tenant_id)s
ORDER BY camera_id

-- name: save_evidence
-- Keeps the newest, in the order of domain.evidence.newer. Classic evidence that claims to be from the future was stamped
-- by a clock that has been set back since: anything replaces it. The same word again, now without its reply, does not lose the reply.
INSERT INTO camera_licenses AS known (
    device_id, tenant_id, camera_id, mode, status, verified_at, not_before, valid_until, grace_ends_at, packs,
    cameras_allowed, sequence, signed, source, denied, raw_reply, sealed)
SELECT
    device_id, tenant_id, camera_id, mode, status, verified_at, not_before, valid_until, grace_ends_at, packs,
    cameras_allowed, sequence, signed, CASE WHEN signed THEN 'lease' ELSE 'service' END, denied, raw_reply::json, sealed
FROM json_to_recordset(%(words)s) AS word (
    device_id text, tenant_id text, camera_id text, mode text, status text, verified_at timestamptz,
    not_before timestamptz, valid_until timestamptz, grace_ends_at timestamptz, packs text[], cameras_allowed integer,
    sequence bigint, signed boolean, denied text, raw_reply text, sealed text)
ORDER BY camera_id
ON CONFLICT (device_id, tenant_id, camera_id) DO UPDATE SET
    mode = excluded.mode,
    status = excluded.status,
    verified_at = excluded.verified_at,
    not_before = excluded.not_before,
    valid_until = excluded.valid_until,
    grace_ends_at = excluded.grace_ends_at,
    packs = excluded.packs,
    cameras_allowed = excluded.cameras_allowed,
    sequence = excluded.sequence,
    signed = excluded.signed,
    source = excluded.source,
    denied = excluded.denied,
    raw_reply = CASE
        WHEN excluded.raw_reply IS NULL AND excluded.verified_at = known.verified_at THEN known.raw_reply
        ELSE excluded.raw_reply END,
    sealed = excluded.sealed
WHERE (NOT known.signed AND known.verified_at > %(now)s)
   OR (excluded.signed, CASE WHEN excluded.signed THEN excluded.sequence ELSE 0 END, excluded.verified_at)
   >= (known.signed, CASE WHEN known.signed THEN known.sequence ELSE 0 END, known.verified_at)

-- name: append_edges
-- In the order given; an edge that is known already is left alone.
INSERT INTO license_validation_log (
    edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at)
SELECT edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at
FROM ROWS FROM (json_to_recordset(%(edges)s) AS (
    edge_id uuid, device_id text, tenant_id text, camera_id text, old_state text, new_state text, reason text,
    changed_at timestamptz)) WITH ORDINALITY AS edge (
    edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at, place)
ORDER BY place
ON CONFLICT (edge_id) DO NOTHING

-- name: unpublished_edges
SELECT edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at
FROM license_validation_log
WHERE device_id = %(device_id)s AND tenant_id = %(tenant_id)s AND NOT published
ORDER BY entry_id

-- name: mark_published
UPDATE license_validation_log
SET published = true
WHERE edge_id = ANY(%(edge_ids)s) AND NOT published

-- name: history
SELECT edge_id, device_id, tenant_id, camera_id, old_state, new_state, reason, changed_at
FROM license_validation_log
WHERE device_id = %(device_id)s AND tenant_id = %(tenant_id)s
  AND (%(camera_id)s::text IS NULL OR camera_id = %(camera_id)s)
ORDER BY changed_at DESC, entry_id DESC
LIMIT %(limit)s
