-- The same answer in SQL as from the agent also for a camera that nobody has registered: agents record under the
-- camera '*' what they answer about those.

CREATE OR REPLACE FUNCTION feature_check(tenant text, camera text, feature text)
RETURNS TABLE (
    allowed boolean, reason text, license_state text, source_pack text, device_id text, decided_at timestamptz,
    holds_until timestamptz, stale boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT
        coalesce(newest.allowed, false), coalesce(newest.reason, 'FEATURE_UNKNOWN'),
        newest.license_state, newest.source_pack, newest.device_id, newest.decided_at, newest.holds_until,
        coalesce(newest.holds_until <= now(), false)
    FROM (VALUES (true)) AS always (present)
    LEFT JOIN LATERAL (
        SELECT decision.* FROM feature_entitlements AS decision
        WHERE decision.tenant_id = tenant AND decision.camera_id IN (camera, '*') AND decision.feature_key = feature
        ORDER BY decision.camera_id = '*', decision.decided_at DESC, decision.device_id
        LIMIT 1
    ) AS newest ON true;
END;
COMMENT ON FUNCTION feature_check(text, text, text) IS 'One row: may the camera (empty: the tenant itself) use the feature, as the agent last decided it; of several devices the newest decision. For a camera that no agent knows: what they answer about any such. What no agent has decided on is denied as FEATURE_UNKNOWN; stale: holds_until has passed and no agent has decided anew';
COMMENT ON COLUMN feature_entitlements.camera_id IS 'Camera; empty: the tenant itself; *: any camera that is not registered';
