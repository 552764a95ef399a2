-- What people and reports read beside what the agent lives by: devices, licenses, decisions, quotas, synchronization,
-- and what an import could not take over. The agent's own decisions rest on none of these columns.

ALTER TABLE edge_devices
    ADD COLUMN hardware json NOT NULL DEFAULT '{}' CHECK (json_typeof(hardware) = 'object'),
    ADD COLUMN network json NOT NULL DEFAULT '{}' CHECK (json_typeof(network) = 'object'),
    ADD COLUMN heartbeat_interval interval CHECK (heartbeat_interval > interval '0');

COMMENT ON COLUMN edge_devices.hardware IS 'JSON object: machine, cpus, memory_bytes, model and such; empty: not known';
COMMENT ON COLUMN edge_devices.network IS 'JSON object: hostname, addresses and such; empty: not known';
COMMENT ON COLUMN edge_devices.heartbeat_interval IS 'What the billing service last asked for, or the setting; NULL: no heartbeat yet';

ALTER TABLE camera_licenses
    ADD COLUMN source text NOT NULL DEFAULT 'service' CHECK (source IN ('service', 'lease')),
    ADD COLUMN raw_reply json,
    ADD COLUMN grace_ends_at timestamptz,
    ADD COLUMN trial_started_at timestamptz GENERATED ALWAYS AS (CASE WHEN mode = 'trial' THEN not_before END) STORED,
    ADD COLUMN trial_ends_at timestamptz GENERATED ALWAYS AS (CASE WHEN mode = 'trial' THEN valid_until END) STORED,
    ADD COLUMN subscription_started_at timestamptz
        GENERATED ALWAYS AS (CASE WHEN mode IN ('base', 'enterprise') THEN not_before END) STORED,
    ADD COLUMN subscription_ends_at timestamptz
        GENERATED ALWAYS AS (CASE WHEN mode IN ('base', 'enterprise') THEN valid_until END) STORED;

COMMENT ON COLUMN camera_licenses.source IS 'service: an unsigned reply of the billing service; lease: a signed lease';
COMMENT ON COLUMN camera_licenses.raw_reply IS 'The reply as it came, while the agent that heard it still had it; NULL: not kept';
COMMENT ON COLUMN camera_licenses.grace_ends_at IS 'End of the grace after valid_until; NULL: valid_until has no end';
COMMENT ON COLUMN camera_licenses.trial_started_at IS 'not_before of a trial, else NULL';
COMMENT ON COLUMN camera_licenses.trial_ends_at IS 'valid_until of a trial, else NULL';
COMMENT ON COLUMN camera_licenses.subscription_started_at IS 'not_before of a subscription, else NULL';
COMMENT ON COLUMN camera_licenses.subscription_ends_at IS 'valid_until of a subscription, else NULL';

CREATE TABLE feature_entitlements (
    device_id       text        NOT NULL CHECK (device_id <> ''),
    tenant_id       text        NOT NULL CHECK (tenant_id <> ''),
    camera_id       text        NOT NULL,
    feature_key     text        NOT NULL CHECK (feature_key ~ '^[a-z0-9_]+\.[a-z0-9_]+$'),
    allowed         boolean     NOT NULL,
    reason          text        NOT NULL CHECK (reason <> ''),
    license_state   text        NOT NULL CHECK (license_state IN ('valid', 'offline', 'grace', 'expired')),
    license_reason  text        NOT NULL CHECK (license_reason <> ''),
    source_pack     text,
    would_allow     text[]      NOT NULL DEFAULT '{}',
    quota_limit     numeric     CHECK (quota_limit >= -1),
    quota_used      numeric,
    quota_period    text        CHECK (quota_period IN ('day', 'month')),
    quota_resets_at timestamptz,
    decided_at      timestamptz NOT NULL,
    holds_until     timestamptz,
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, tenant_id, camera_id, feature_key),
    CONSTRAINT quota_in_full CHECK (num_nulls(quota_limit, quota_used, quota_period, quota_resets_at) IN (0, 4)),
    CONSTRAINT only_a_denial_names_what_would_allow CHECK (NOT allowed OR would_allow = '{}')
) WITH (fillfactor = 70);
CREATE INDEX feature_entitlements_by_camera ON feature_entitlements (tenant_id, camera_id, feature_key);
CREATE TRIGGER touch BEFORE UPDATE ON feature_entitlements FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE feature_entitlements IS 'Who may use what, as each agent last decided it: written whenever a decision changes, for SQL and reports; the agent never reads it';
COMMENT ON COLUMN feature_entitlements.device_id IS 'Device whose agent decided';
COMMENT ON COLUMN feature_entitlements.tenant_id IS 'Holder of the license; opaque';
COMMENT ON COLUMN feature_entitlements.camera_id IS 'Camera; empty: the tenant itself';
COMMENT ON COLUMN feature_entitlements.feature_key IS 'category.name';
COMMENT ON COLUMN feature_entitlements.allowed IS 'The decision';
COMMENT ON COLUMN feature_entitlements.reason IS 'Why: LICENSED, TRIAL, GRACE, KEPT, NOT_ENTITLED, EXPIRED, PACK_REQUIRED and so on (docs/api.md)';
COMMENT ON COLUMN feature_entitlements.license_state IS 'State of the license then';
COMMENT ON COLUMN feature_entitlements.license_reason IS 'Why it was in that state (docs/license-states.md)';
COMMENT ON COLUMN feature_entitlements.source_pack IS 'Pack that it is allowed by; NULL: denied, kept without a license, or no pack sells it';
COMMENT ON COLUMN feature_entitlements.would_allow IS 'Packs any one of which would turn a denial';
COMMENT ON COLUMN feature_entitlements.quota_limit IS 'In the unit of the meter; -1: unlimited, 0: disabled, NULL: no quota';
COMMENT ON COLUMN feature_entitlements.quota_used IS 'Used in the period, same unit';
COMMENT ON COLUMN feature_entitlements.quota_period IS 'day or month, UTC';
COMMENT ON COLUMN feature_entitlements.quota_resets_at IS 'End of the period';
COMMENT ON COLUMN feature_entitlements.decided_at IS 'Trusted time of the decision';
COMMENT ON COLUMN feature_entitlements.holds_until IS 'Until when it holds without a new word, trusted time: after that a dead agent''s decision is stale; NULL: no end';
COMMENT ON COLUMN feature_entitlements.updated_at IS 'Row last changed, database clock';
COMMENT ON INDEX feature_entitlements_by_camera IS 'The decision on a feature of a camera, whichever device serves it';

CREATE TABLE quota_counters (
    tenant_id         text        NOT NULL CHECK (tenant_id <> ''),
    meter             text        NOT NULL CHECK (meter <> ''),
    period            text        NOT NULL CHECK (period IN ('day', 'month')),
    period_start      timestamptz NOT NULL,
    period_end        timestamptz NOT NULL,
    quota_limit       numeric     NOT NULL CHECK (quota_limit >= -1),
    soft              boolean     NOT NULL,
    used              numeric     NOT NULL DEFAULT 0 CHECK (used >= 0),
    granted           numeric     NOT NULL DEFAULT 0 CHECK (granted >= 0),
    service_remaining numeric,
    service_said_at   timestamptz,
    source_pack       text,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, meter, period, period_start),
    CONSTRAINT period_has_a_length CHECK (period_end > period_start),
    CONSTRAINT word_of_the_service_has_a_time CHECK ((service_remaining IS NULL) = (service_said_at IS NULL))
);
CREATE TRIGGER touch BEFORE UPDATE ON quota_counters FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE quota_counters IS 'How much of a quota is used up in its period, over all devices of the tenant: the truth that grants are drawn from';
COMMENT ON COLUMN quota_counters.tenant_id IS 'Holder of the quota; opaque';
COMMENT ON COLUMN quota_counters.meter IS 'What is counted, such as api_call';
COMMENT ON COLUMN quota_counters.period IS 'day or month, UTC';
COMMENT ON COLUMN quota_counters.period_start IS 'Start of the period';
COMMENT ON COLUMN quota_counters.period_end IS 'End of the period: the reset';
COMMENT ON COLUMN quota_counters.quota_limit IS 'In the unit of the meter; -1: unlimited, 0: disabled';
COMMENT ON COLUMN quota_counters.soft IS 'Beyond the limit is allowed and billed as overage';
COMMENT ON COLUMN quota_counters.used IS 'Used for certain, same unit';
COMMENT ON COLUMN quota_counters.granted IS 'Handed out to agents in blocks, used or not, same unit';
COMMENT ON COLUMN quota_counters.service_remaining IS 'What the billing service last said is left; -1: unlimited, NULL: it has not said';
COMMENT ON COLUMN quota_counters.service_said_at IS 'When that was asked, trusted time';
COMMENT ON COLUMN quota_counters.source_pack IS 'Pack or mode the limit comes from; NULL: the service''s word';
COMMENT ON COLUMN quota_counters.updated_at IS 'Row last changed, database clock';

ALTER TABLE billing_sync_status
    ADD COLUMN attempts bigint NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    ADD COLUMN errors bigint NOT NULL DEFAULT 0 CHECK (errors BETWEEN 0 AND attempts),
    ADD COLUMN events_synced bigint NOT NULL DEFAULT 0 CHECK (events_synced >= 0),
    ADD COLUMN last_attempt_at timestamptz,
    ADD COLUMN last_success_at timestamptz,
    ADD COLUMN last_duration interval,
    ADD COLUMN total_duration interval NOT NULL DEFAULT interval '0',
    ADD COLUMN last_error text NOT NULL DEFAULT '';

COMMENT ON COLUMN billing_sync_status.attempts IS 'Rounds of sending so far, over all agents of this database';
COMMENT ON COLUMN billing_sync_status.errors IS 'Rounds that ended early';
COMMENT ON COLUMN billing_sync_status.events_synced IS 'Events delivered so far';
COMMENT ON COLUMN billing_sync_status.last_attempt_at IS 'End of the last round, database clock; NULL: none yet';
COMMENT ON COLUMN billing_sync_status.last_success_at IS 'End of the last round without trouble, database clock; NULL: none yet';
COMMENT ON COLUMN billing_sync_status.last_duration IS 'How long the last round took; NULL: none yet';
COMMENT ON COLUMN billing_sync_status.total_duration IS 'How long all rounds took together';
COMMENT ON COLUMN billing_sync_status.last_error IS 'What ended the last round that ended early; empty: the last one did not';

CREATE TABLE import_files (
    tenant_id     text        NOT NULL CHECK (tenant_id <> ''),
    device_id     text        NOT NULL CHECK (device_id <> ''),
    file_name     text        NOT NULL CHECK (file_name <> ''),
    sha256        bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    bytes         bigint      NOT NULL CHECK (bytes >= 0),
    tables        json        NOT NULL CHECK (json_typeof(tables) = 'object'),
    agent_version text        NOT NULL,
    duration      interval    NOT NULL,
    imported_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, device_id, file_name, sha256)
);

COMMENT ON TABLE import_files IS 'Old SQLite files taken over, each written in the transaction of its rows: the same file is not taken twice';
COMMENT ON COLUMN import_files.tenant_id IS 'Owner that the rows were imported for; opaque';
COMMENT ON COLUMN import_files.device_id IS 'Box that they were imported for';
COMMENT ON COLUMN import_files.file_name IS 'Name without its folder';
COMMENT ON COLUMN import_files.sha256 IS 'SHA-256 of the file''s bytes, and of those of its journal where one was beside it';
COMMENT ON COLUMN import_files.bytes IS 'Size of the file';
COMMENT ON COLUMN import_files.tables IS 'JSON object: for each old table its rows read, imported, known before and quarantined, and the checksum of what is stored, in hex';
COMMENT ON COLUMN import_files.agent_version IS 'Version that imported it';
COMMENT ON COLUMN import_files.duration IS 'How long it took';
COMMENT ON COLUMN import_files.imported_at IS 'Database clock';

CREATE TABLE import_quarantine (
    quarantine_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id     text        NOT NULL CHECK (tenant_id <> ''),
    device_id     text        NOT NULL CHECK (device_id <> ''),
    file_name     text        NOT NULL CHECK (file_name <> ''),
    table_name    text        NOT NULL,
    row_number    bigint,
    code          text        NOT NULL CHECK (code <> ''),
    detail        text        NOT NULL,
    content       bytea       NOT NULL,
    set_aside_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX import_quarantine_once ON import_quarantine (
    tenant_id, device_id, file_name, table_name, row_number, sha256(content)) NULLS NOT DISTINCT;

COMMENT ON TABLE import_quarantine IS 'What an import could not take over: each row whole and with the reason, until a person decides';
COMMENT ON COLUMN import_quarantine.quarantine_id IS 'Its own number';
COMMENT ON COLUMN import_quarantine.tenant_id IS 'Owner that it was imported for; opaque';
COMMENT ON COLUMN import_quarantine.device_id IS 'Box that it was imported for';
COMMENT ON COLUMN import_quarantine.file_name IS 'Old SQLite file';
COMMENT ON COLUMN import_quarantine.table_name IS 'Old table; empty: the file itself could not be read';
COMMENT ON COLUMN import_quarantine.row_number IS 'rowid in the old table; NULL: the table, or the file, as a whole';
COMMENT ON COLUMN import_quarantine.code IS 'Reason, such as INVALID_JSON or TIME_OUT_OF_RANGE (docs/import-sqlite.md)';
COMMENT ON COLUMN import_quarantine.detail IS 'In words';
COMMENT ON COLUMN import_quarantine.content IS 'The row as JSON in UTF-8: an array of [column, SQLite type, value], blobs and text that is no UTF-8 in base64';
COMMENT ON COLUMN import_quarantine.set_aside_at IS 'Database clock';
COMMENT ON INDEX import_quarantine_once IS 'A second import sets nothing aside twice';
