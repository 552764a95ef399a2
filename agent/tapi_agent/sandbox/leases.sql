-- Version 2 of the ledger (docs/sandbox.md): what signed leases need. Applied once, after schema.sql.
BEGIN;

-- The service's own Ed25519 keys. The one with the highest number signs. Whoever has this file can sign as well.
CREATE TABLE signing_keys (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    kid    TEXT NOT NULL UNIQUE,
    secret BLOB NOT NULL                  -- the private key, 32 bytes
) STRICT;

-- Tenants that get signed leases, and on what terms.
CREATE TABLE lease_terms (
    tenant_id TEXT PRIMARY KEY REFERENCES tenants,
    terms     TEXT NOT NULL               -- JSON object, see terms.py
) STRICT;

-- The marks of each machine, as it last sent them.
CREATE TABLE machines (
    tenant_id  TEXT NOT NULL REFERENCES tenants,
    device_id  TEXT NOT NULL,
    components TEXT NOT NULL,             -- JSON object: name to digest
    PRIMARY KEY (tenant_id, device_id)
) STRICT;

-- Who came before whom is asked with every validate.
CREATE INDEX cameras_by_arrival ON cameras (tenant_id);

PRAGMA user_version = 2;
COMMIT;
