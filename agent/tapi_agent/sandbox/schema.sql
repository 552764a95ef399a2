-- The ledger of the sandbox billing service (docs/sandbox.md). Applied once, to an empty file.
BEGIN;

-- Who may be billed. `sequence` rises with every change of the tenant's licenses.
CREATE TABLE tenants (
    tenant_id TEXT PRIMARY KEY,
    sequence  INTEGER NOT NULL DEFAULT 1
) STRICT;

-- API keys are kept as digests: who reads this file cannot call in a tenant's name.
CREATE TABLE api_keys (
    key_sha256 TEXT PRIMARY KEY,
    tenant_id  TEXT NOT NULL REFERENCES tenants
) STRICT;

-- What was bought, for one camera or, with camera_id '', for the tenant.
CREATE TABLE subscriptions (
    tenant_id       TEXT NOT NULL REFERENCES tenants,
    camera_id       TEXT NOT NULL,
    mode            TEXT NOT NULL,
    status          TEXT NOT NULL,
    valid_until     TEXT,                 -- RFC 3339, kept and given out exactly as it was entered; NULL: no end
    cameras_allowed INTEGER,              -- NULL: unlimited
    packs           TEXT NOT NULL,        -- JSON array of names
    PRIMARY KEY (tenant_id, camera_id)
) STRICT;

-- Cameras that hold a place of their tenant's subscription.
CREATE TABLE cameras (
    tenant_id TEXT NOT NULL REFERENCES tenants,
    camera_id TEXT NOT NULL,
    PRIMARY KEY (tenant_id, camera_id)
) STRICT;

-- Per-feature words that overrule the packs.
CREATE TABLE feature_overrides (
    tenant_id  TEXT NOT NULL REFERENCES tenants,
    feature    TEXT NOT NULL,             -- category.name
    is_enabled INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, feature)
) STRICT;

-- How much of a meter a feature may use in a calendar month (UTC).
CREATE TABLE quotas (
    tenant_id     TEXT NOT NULL REFERENCES tenants,
    feature       TEXT NOT NULL,          -- category.name
    meter         TEXT NOT NULL,          -- an event_type
    monthly_limit INTEGER NOT NULL,       -- -1: unlimited
    PRIMARY KEY (tenant_id, feature)
) STRICT;

-- Every batch of the extended dialect that was stored. `account` is the tenant whose API key delivered it.
CREATE TABLE batches (
    account     TEXT NOT NULL REFERENCES tenants,
    batch_id    TEXT NOT NULL,            -- the idempotency key
    body_sha256 TEXT NOT NULL,            -- of the whole request: the same key must come with the same bytes
    device_id   TEXT NOT NULL,
    stream      TEXT NOT NULL,
    first_seq   INTEGER NOT NULL,
    last_seq    INTEGER NOT NULL,
    sha256      TEXT NOT NULL,            -- of the events array
    prev_sha256 TEXT,                     -- of the batch sealed before it in the stream, as its sender says
    received_at TEXT NOT NULL,
    results     TEXT NOT NULL,            -- JSON array: the reply, given again to the same request
    PRIMARY KEY (account, batch_id)
) STRICT;
CREATE INDEX batches_by_chain ON batches (account, stream, sha256);

-- One line for every time something was billed: an event billed twice stands here twice.
CREATE TABLE billed (
    line          INTEGER PRIMARY KEY,
    account       TEXT NOT NULL REFERENCES tenants,
    tenant_id     TEXT NOT NULL,
    event_id      TEXT,                   -- NULL: a classic client without ids
    event_type    TEXT NOT NULL,
    unit          TEXT NOT NULL,
    quantity      TEXT NOT NULL,          -- decimal literal: SQLite's numbers would round it
    day           TEXT NOT NULL,          -- of event_time, UTC
    event_time_us INTEGER NOT NULL,       -- microseconds since 1970
    batch_id      TEXT,                   -- NULL: billed by the classic dialect, which does not dedupe
    event         TEXT NOT NULL           -- the event, byte for byte as it came
) STRICT;
CREATE INDEX billed_by_time ON billed (account, tenant_id, event_time_us);

-- Promise 2 as a constraint: whatever the code does, the extended dialect bills an event once.
CREATE UNIQUE INDEX billed_once ON billed (account, event_id) WHERE batch_id IS NOT NULL;

PRAGMA user_version = 1;
COMMIT;
