-- What was decided about every feature, for SQL and reports.

-- name: record
-- Every feature for every camera given. A row that says so already is neither written nor locked: most do.
WITH camera AS (
    SELECT camera_id, holds_until
    FROM json_to_recordset(%(cameras)s) AS camera (camera_id text, holds_until timestamptz)
),
feature AS (
    SELECT feature_key, allowed, reason, license_state, license_reason, source_pack, would_allow, quota_limit,
        quota_used, quota_period, quota_resets_at
    FROM json_to_recordset(%(features)s) AS feature (
        feature_key text, allowed boolean, reason text, license_state text, license_reason text, source_pack text,
        would_allow text[], quota_limit numeric, quota_used numeric, quota_period text, quota_resets_at timestamptz)
),
gone AS (
    DELETE FROM feature_entitlements
    WHERE device_id = %(device_id)s AND tenant_id = %(tenant_id)s
      AND camera_id IN (SELECT camera_id FROM camera) AND feature_key NOT IN (SELECT feature_key FROM feature)
)
INSERT INTO feature_entitlements (
    device_id, tenant_id, camera_id, feature_key, allowed, reason, license_state, license_reason, source_pack,
    would_allow, quota_limit, quota_used, quota_period, quota_resets_at, decided_at, holds_until)
SELECT
    %(device_id)s, %(tenant_id)s, camera.camera_id, feature.feature_key, feature.allowed, feature.reason,
    feature.license_state, feature.license_reason, feature.source_pack, feature.would_allow,
    feature.quota_limit, feature.quota_used, feature.quota_period, feature.quota_resets_at, %(decided_at)s,
    camera.holds_until
FROM camera CROSS JOIN feature
LEFT JOIN feature_entitlements AS known
    ON known.device_id = %(device_id)s AND known.tenant_id = %(tenant_id)s
    AND known.camera_id = camera.camera_id AND known.feature_key = feature.feature_key
WHERE (known.allowed, known.reason, known.license_state, known.license_reason, known.source_pack, known.would_allow,
       known.quota_limit, known.quota_used, known.quota_period, known.quota_resets_at, known.holds_until)
    IS DISTINCT FROM
      (feature.allowed, feature.reason, feature.license_state, feature.license_reason, feature.source_pack,
       feature.would_allow, feature.quota_limit, feature.quota_used, feature.quota_period, feature.quota_resets_at,
       camera.holds_until)
ORDER BY camera.camera_id, feature.feature_key
ON CONFLICT (device_id, tenant_id, camera_id, feature_key) DO UPDATE SET
    allowed = excluded.allowed,
    reason = excluded.reason,
    license_state = excluded.license_state,
    license_reason = excluded.license_reason,
    source_pack = excluded.source_pack,
    would_allow = excluded.would_allow,
    quota_limit = excluded.quota_limit,
    quota_used = excluded.quota_used,
    quota_period = excluded.quota_period,
    quota_resets_at = excluded.quota_resets_at,
    decided_at = excluded.decided_at,
    holds_until = excluded.holds_until

-- name: retain
DELETE FROM feature_entitlements
WHERE device_id = %(device_id)s AND tenant_id = %(tenant_id)s AND camera_id <> ALL(%(cameras)s)

-- name: decisions
SELECT device_id, feature_key, allowed, reason, license_state, license_reason, source_pack, would_allow, decided_at,
    holds_until
FROM feature_entitlements
WHERE tenant_id = %(tenant_id)s AND camera_id = %(camera_id)s
ORDER BY feature_key, device_id
