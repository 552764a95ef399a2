-- What SQL may ask: functions that look decisions and licenses up, views that add things up, and how the database is.
-- No rule stands here: decisions are the agent's, as it last wrote them. Bodies are parsed now (BEGIN ATOMIC), so that no
-- search_path can give their names another meaning, as it would while PostgreSQL 17 and later refresh a view.

CREATE INDEX license_validation_log_by_order ON license_validation_log (tenant_id, camera_id, entry_id);
COMMENT ON INDEX license_validation_log_by_order IS 'The last edge of a camera, whichever device noticed it';

CREATE INDEX camera_licenses_by_camera ON camera_licenses (tenant_id, camera_id);
COMMENT ON INDEX camera_licenses_by_camera IS 'The license of a camera, whichever device holds it';

CREATE FUNCTION feature_check(tenant text, camera text, feature text)
RETURNS TABLE (
    allowed boolean, reason text, license_state text, source_pack text, device_id text, decided_at timestamptz,
    holds_until timestamptz, stale boolean)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT
        coalesce(newest.allowed, false),
        coalesce(newest.reason, CASE
            WHEN EXISTS (SELECT FROM feature_entitlements AS known
                WHERE known.tenant_id = tenant AND known.camera_id = '' AND known.feature_key = feature)
            THEN 'CAMERA_UNKNOWN' ELSE 'FEATURE_UNKNOWN' END),
        newest.license_state, newest.source_pack, newest.device_id, newest.decided_at, newest.holds_until,
        coalesce(newest.holds_until <= now(), false)
    FROM (VALUES (true)) AS always (present)
    LEFT JOIN LATERAL (
        SELECT decision.* FROM feature_entitlements AS decision
        WHERE decision.tenant_id = tenant AND decision.camera_id = camera AND decision.feature_key = feature
        ORDER BY decision.decided_at DESC, decision.device_id
        LIMIT 1
    ) AS newest ON true;
END;
COMMENT ON FUNCTION feature_check(text, text, text) IS 'One row: may the camera (empty: the tenant itself) use the feature, as the agent last decided it; of several devices the newest decision. What no agent has decided on is denied as FEATURE_UNKNOWN, or as CAMERA_UNKNOWN where the tenant itself has a decision on it; stale: holds_until has passed and no agent has decided anew';

CREATE FUNCTION camera_license_status(tenant text, camera text)
RETURNS TABLE (
    state text, reason text, since timestamptz, mode text, status text, packs text[], valid_until timestamptz,
    grace_ends_at timestamptz, verified_at timestamptz)
LANGUAGE sql STABLE PARALLEL SAFE ROWS 1
BEGIN ATOMIC
    SELECT
        coalesce(edge.new_state, 'expired'), coalesce(edge.reason, 'NO_LICENSE'),
        coalesce(edge.changed_at, (SELECT registered_at FROM cameras WHERE tenant_id = tenant AND camera_id = camera)),
        word.mode, word.status, word.packs, word.valid_until, word.grace_ends_at, word.verified_at
    FROM (VALUES (true)) AS always (present)
    LEFT JOIN LATERAL (
        SELECT entry.new_state, entry.reason, entry.changed_at FROM license_validation_log AS entry
        WHERE entry.tenant_id = tenant AND entry.camera_id = camera
        ORDER BY entry.entry_id DESC
        LIMIT 1
    ) AS edge ON true
    LEFT JOIN LATERAL (
        SELECT license.* FROM camera_licenses AS license
        WHERE license.tenant_id = tenant AND license.camera_id = camera
        ORDER BY license.verified_at DESC, license.device_id
        LIMIT 1
    ) AS word ON true;
END;
COMMENT ON FUNCTION camera_license_status(text, text) IS 'One row: state, reason and since by the last edge of the camera (empty: the tenant itself), expired and NO_LICENSE before the first; beside them the newest word on the camera itself, NULL where there is none: the tenant''s may hold for it';

CREATE FUNCTION mark_usage_synced(batch uuid, synced uuid[]) RETURNS bigint
LANGUAGE sql VOLATILE STRICT
BEGIN ATOMIC
    WITH told AS (
        UPDATE usage_events AS event SET state = 'synced'
        WHERE event.batch_id = batch AND event.state = 'sealed' AND event.event_id = ANY(synced)
        RETURNING true
    )
    SELECT count(*) FROM told;
END;
COMMENT ON FUNCTION mark_usage_synced(uuid, uuid[]) IS 'The billing service has these events of the batch; returns how many of them were still under way. The batch itself is settled by the agent';

CREATE MATERIALIZED VIEW camera_status_24h AS
SELECT
    camera.tenant_id, camera.camera_id, camera.enabled, camera.device_id,
    (SELECT max(occurred_at) FROM telemetry_events AS event
        WHERE event.tenant_id = camera.tenant_id AND event.camera_id = camera.camera_id) AS last_event_at,
    seen.events, seen.detections, seen.trackings, seen.crossings, seen.classifications, seen.custom_events,
    taken.frames,
    (SELECT max(captured_at) FROM frames AS frame
        WHERE frame.tenant_id = camera.tenant_id AND frame.camera_id = camera.camera_id) AS last_frame_at,
    now() AS refreshed_at
FROM cameras AS camera
CROSS JOIN LATERAL (
    SELECT
        count(*) AS events,
        count(*) FILTER (WHERE event_type = 'detection') AS detections,
        count(*) FILTER (WHERE event_type = 'tracking') AS trackings,
        count(*) FILTER (WHERE event_type = 'crossing') AS crossings,
        count(*) FILTER (WHERE event_type = 'classification') AS classifications,
        count(*) FILTER (WHERE event_type = 'custom') AS custom_events
    FROM telemetry_events AS event
    WHERE event.tenant_id = camera.tenant_id AND event.camera_id = camera.camera_id
        AND event.occurred_at > now() - interval '24 hours'
) AS seen
CROSS JOIN LATERAL (
    SELECT count(*) AS frames FROM frames AS frame
    WHERE frame.tenant_id = camera.tenant_id AND frame.camera_id = camera.camera_id
        AND frame.captured_at > now() - interval '24 hours'
) AS taken;
CREATE UNIQUE INDEX camera_status_24h_key ON camera_status_24h (tenant_id, camera_id);

COMMENT ON MATERIALIZED VIEW camera_status_24h IS 'What each camera has seen in the 24 hours before refreshed_at; cameras that saw nothing included';
COMMENT ON COLUMN camera_status_24h.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN camera_status_24h.camera_id IS 'Camera';
COMMENT ON COLUMN camera_status_24h.enabled IS 'Whether the application is meant to run it';
COMMENT ON COLUMN camera_status_24h.device_id IS 'Device that serves it';
COMMENT ON COLUMN camera_status_24h.last_event_at IS 'Latest telemetry event, however long ago; NULL: none is kept';
COMMENT ON COLUMN camera_status_24h.events IS 'Telemetry events of the 24 hours';
COMMENT ON COLUMN camera_status_24h.detections IS 'Those of type detection';
COMMENT ON COLUMN camera_status_24h.trackings IS 'Those of type tracking';
COMMENT ON COLUMN camera_status_24h.crossings IS 'Those of type crossing';
COMMENT ON COLUMN camera_status_24h.classifications IS 'Those of type classification';
COMMENT ON COLUMN camera_status_24h.custom_events IS 'Those of type custom';
COMMENT ON COLUMN camera_status_24h.frames IS 'Frames captured in the 24 hours';
COMMENT ON COLUMN camera_status_24h.last_frame_at IS 'Latest frame, however long ago; NULL: none is kept';
COMMENT ON COLUMN camera_status_24h.refreshed_at IS 'As of when, database clock';
COMMENT ON INDEX camera_status_24h_key IS 'What a refresh, while the view is being read, compares rows by';

-- What was delivered is what is neither waiting nor dead: so it is right for events, too, whose rows have gone, and no
-- refresh reads the rows of all that was delivered. A dead letter without a batch was never counted in usage_totals.
CREATE MATERIALIZED VIEW tenant_usage_daily AS
WITH waiting AS (
    SELECT tenant_id, meter, unit, day, count(*) AS events, sum(quantity) AS quantity
    FROM (
        SELECT tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date, quantity
        FROM usage_events WHERE state = 'pending'
        UNION ALL
        SELECT tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date, quantity
        FROM usage_events WHERE state = 'sealed'
    ) AS event (tenant_id, meter, unit, day, quantity)
    GROUP BY tenant_id, meter, unit, day
), dead AS (
    SELECT event.tenant_id, event.event_type AS meter, event.unit,
        (event.event_time AT TIME ZONE 'UTC')::date AS day, count(*) AS events, sum(event.quantity) AS quantity
    FROM usage_dead_letters AS letter,
        json_to_record(CASE WHEN letter.batch_id IS NOT NULL THEN convert_from(letter.event, 'UTF8')::json END) AS event (
            tenant_id text, event_type text, unit text, event_time timestamptz, quantity numeric)
    WHERE letter.batch_id IS NOT NULL
    GROUP BY event.tenant_id, event.event_type, event.unit, day
)
SELECT
    total.tenant_id, total.day, total.meter, total.unit, total.events, total.quantity,
    total.events - coalesce(waiting.events, 0) - coalesce(dead.events, 0) AS delivered_events,
    total.quantity - coalesce(waiting.quantity, 0) - coalesce(dead.quantity, 0) AS delivered_quantity,
    coalesce(waiting.events, 0) AS waiting_events, coalesce(waiting.quantity, 0) AS waiting_quantity,
    coalesce(dead.events, 0) AS dead_events, coalesce(dead.quantity, 0) AS dead_quantity,
    total.local_events, total.local_quantity, now() AS refreshed_at
FROM usage_totals AS total
LEFT JOIN waiting USING (tenant_id, meter, unit, day)
LEFT JOIN dead USING (tenant_id, meter, unit, day);
CREATE UNIQUE INDEX tenant_usage_daily_key ON tenant_usage_daily (tenant_id, day, meter, unit);

COMMENT ON MATERIALIZED VIEW tenant_usage_daily IS 'Usage by tenant, UTC day of event_time and meter, and how far it has come; what is still spooled is not in it';
COMMENT ON COLUMN tenant_usage_daily.tenant_id IS 'Who is billed; opaque';
COMMENT ON COLUMN tenant_usage_daily.day IS 'UTC day of event_time';
COMMENT ON COLUMN tenant_usage_daily.meter IS 'What was counted, such as api_call';
COMMENT ON COLUMN tenant_usage_daily.unit IS 'Unit of the quantities';
COMMENT ON COLUMN tenant_usage_daily.events IS 'Number of billable events';
COMMENT ON COLUMN tenant_usage_daily.quantity IS 'Sum of their quantities, corrections included';
COMMENT ON COLUMN tenant_usage_daily.delivered_events IS 'Of these: the billing service has them';
COMMENT ON COLUMN tenant_usage_daily.delivered_quantity IS 'Sum of their quantities';
COMMENT ON COLUMN tenant_usage_daily.waiting_events IS 'Of these: in no batch yet, in one under way or in an ambiguous one';
COMMENT ON COLUMN tenant_usage_daily.waiting_quantity IS 'Sum of their quantities';
COMMENT ON COLUMN tenant_usage_daily.dead_events IS 'Of these: dead letters';
COMMENT ON COLUMN tenant_usage_daily.dead_quantity IS 'Sum of their quantities';
COMMENT ON COLUMN tenant_usage_daily.local_events IS 'Number of events beside these that are not billable';
COMMENT ON COLUMN tenant_usage_daily.local_quantity IS 'Sum of their quantities';
COMMENT ON COLUMN tenant_usage_daily.refreshed_at IS 'As of when, database clock';
COMMENT ON INDEX tenant_usage_daily_key IS 'What a refresh, while the view is being read, compares rows by';

CREATE MATERIALIZED VIEW tenant_license_summary AS
SELECT
    known.tenant_id,
    count(*) AS cameras,
    count(*) FILTER (WHERE license.state = 'valid') AS valid,
    count(*) FILTER (WHERE license.state = 'offline') AS offline,
    count(*) FILTER (WHERE license.state = 'grace') AS grace,
    count(*) FILTER (WHERE license.state = 'expired') AS expired,
    count(*) FILTER (WHERE license.mode = 'trial') AS trial,
    count(*) FILTER (WHERE license.mode = 'base') AS base,
    count(*) FILTER (WHERE license.mode = 'enterprise') AS enterprise,
    count(*) FILTER (WHERE coalesce(license.mode, 'unlicensed') IN ('unlicensed', 'expired')) AS unlicensed,
    min(license.valid_until) FILTER (WHERE license.valid_until > now()) AS next_end_at,
    min(license.verified_at) AS oldest_word_at,
    now() AS refreshed_at
FROM (
    SELECT tenant_id, camera_id FROM cameras
    UNION
    SELECT tenant_id, camera_id FROM camera_licenses WHERE camera_id <> ''
) AS known
CROSS JOIN LATERAL camera_license_status(known.tenant_id, known.camera_id) AS license
GROUP BY known.tenant_id;
CREATE UNIQUE INDEX tenant_license_summary_key ON tenant_license_summary (tenant_id);

COMMENT ON MATERIALIZED VIEW tenant_license_summary IS 'How the cameras of each tenant are licensed; the tenant''s own license is not counted';
COMMENT ON COLUMN tenant_license_summary.tenant_id IS 'Holder of the licenses; opaque';
COMMENT ON COLUMN tenant_license_summary.cameras IS 'Cameras that are registered or have a license';
COMMENT ON COLUMN tenant_license_summary.valid IS 'Of these: in state valid';
COMMENT ON COLUMN tenant_license_summary.offline IS 'Of these: in state offline';
COMMENT ON COLUMN tenant_license_summary.grace IS 'Of these: in state grace';
COMMENT ON COLUMN tenant_license_summary.expired IS 'Of these: in state expired, which is where a new camera begins';
COMMENT ON COLUMN tenant_license_summary.trial IS 'Of these: on trial';
COMMENT ON COLUMN tenant_license_summary.base IS 'Of these: with a base license';
COMMENT ON COLUMN tenant_license_summary.enterprise IS 'Of these: with an enterprise license';
COMMENT ON COLUMN tenant_license_summary.unlicensed IS 'Of these: without a license of their own, or with one that has ended';
COMMENT ON COLUMN tenant_license_summary.next_end_at IS 'Next valid_until of a camera; NULL: none has an end ahead';
COMMENT ON COLUMN tenant_license_summary.oldest_word_at IS 'Oldest word of the billing service that a camera lives by, trusted time; NULL: there is none';
COMMENT ON COLUMN tenant_license_summary.refreshed_at IS 'As of when, database clock';
COMMENT ON INDEX tenant_license_summary_key IS 'What a refresh, while the view is being read, compares rows by';

CREATE FUNCTION months_ahead(parent text) RETURNS integer
LANGUAGE sql STABLE PARALLEL SAFE STRICT
BEGIN ATOMIC
    SELECT coalesce(min(month.number), 13) - 1
    FROM generate_series(0, 12) AS month (number)
    WHERE NOT EXISTS (
        SELECT FROM pg_catalog.pg_inherits AS link
        JOIN pg_catalog.pg_class AS partition ON partition.oid = link.inhrelid
        WHERE link.inhparent = to_regclass(quote_ident(parent)) AND NOT link.inhdetachpending
            AND partition.relname
                = parent || to_char(now() AT TIME ZONE 'UTC' + make_interval(months => month.number), '_YYYY_MM'));
END;
COMMENT ON FUNCTION months_ahead(text) IS 'How many months a partitioned table has beyond the present one, without a gap, up to 12; -1: not even that one';

CREATE VIEW database_health AS
SELECT
    (SELECT max(version) FROM schema_migrations) AS schema_version,
    pg_database_size(current_database()) AS database_bytes,
    pending.events AS pending_events, pending.oldest AS oldest_pending_at,
    (SELECT count(*) FROM usage_events WHERE state = 'sealed') AS sealed_events,
    (SELECT count(*) FROM usage_batches WHERE state = 'sealed') AS waiting_batches,
    (SELECT count(*) FROM usage_batches WHERE state = 'sending') AS sending_batches,
    (SELECT count(*) FROM usage_batches WHERE state = 'ambiguous') AS ambiguous_batches,
    (SELECT count(*) FROM usage_dead_letters) AS dead_letters,
    months_ahead('usage_events') AS usage_months_ahead,
    months_ahead('telemetry_events') AS telemetry_months_ahead,
    (SELECT count(*) FROM import_quarantine) AS quarantined_rows,
    now() - (SELECT min(refreshed_at) FROM camera_status_24h) AS camera_status_age,
    now() - (SELECT min(refreshed_at) FROM tenant_usage_daily) AS tenant_usage_age,
    now() - (SELECT min(refreshed_at) FROM tenant_license_summary) AS tenant_license_age
FROM (SELECT count(*), min(recorded_at) FROM usage_events WHERE state = 'pending') AS pending (events, oldest);

COMMENT ON VIEW database_health IS 'One row for operators: how the database is; counts come from small partial indexes';
COMMENT ON COLUMN database_health.schema_version IS 'Newest migration applied';
COMMENT ON COLUMN database_health.database_bytes IS 'Size of the whole database on disk, bytes';
COMMENT ON COLUMN database_health.pending_events IS 'Usage events in no batch yet, of all devices';
COMMENT ON COLUMN database_health.oldest_pending_at IS 'recorded_at of the oldest of them; NULL: there are none';
COMMENT ON COLUMN database_health.sealed_events IS 'Usage events in a batch under way or ambiguous';
COMMENT ON COLUMN database_health.waiting_batches IS 'Batches that wait for their next try';
COMMENT ON COLUMN database_health.sending_batches IS 'Batches that an agent is sending, or was when it ended';
COMMENT ON COLUMN database_health.ambiguous_batches IS 'Batches of which nobody can say whether the service stored them';
COMMENT ON COLUMN database_health.dead_letters IS 'Usage events that will not be billed and wait for a person';
COMMENT ON COLUMN database_health.usage_months_ahead IS 'Months of usage_events beyond the present one; -1: not even that one';
COMMENT ON COLUMN database_health.telemetry_months_ahead IS 'Months of telemetry_events beyond the present one; -1: not even that one';
COMMENT ON COLUMN database_health.quarantined_rows IS 'Rows that an import could not take over and that wait for a person';
COMMENT ON COLUMN database_health.camera_status_age IS 'Time since camera_status_24h was refreshed; NULL: it is empty';
COMMENT ON COLUMN database_health.tenant_usage_age IS 'Time since tenant_usage_daily was refreshed; NULL: it is empty';
COMMENT ON COLUMN database_health.tenant_license_age IS 'Time since tenant_license_summary was refreshed; NULL: it is empty';
