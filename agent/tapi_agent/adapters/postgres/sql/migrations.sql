-- The migrator's own bookkeeping. Its table is made here, not by a migration, because it must be there before the first one.

-- name: lock
-- One migrating agent at a time. Held by the session: a killed agent's lock goes with its connection.
SELECT pg_advisory_lock(hashtext('tapi-agent migrations'))

-- name: bootstrap
CREATE TABLE IF NOT EXISTS schema_migrations (
    version       integer     PRIMARY KEY CHECK (version > 0),
    name          text        NOT NULL CHECK (name <> ''),
    sha256        text        NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    applied_at    timestamptz NOT NULL DEFAULT now(),
    duration      interval    NOT NULL CHECK (duration >= interval '0'),
    agent_version text        NOT NULL CHECK (agent_version <> '')
);
COMMENT ON TABLE schema_migrations IS 'Migrations applied to this database, one row each; written by tapi-agent migrate';
COMMENT ON COLUMN schema_migrations.version IS 'Number of the file, 1 for 0001_core.sql; without gaps';
COMMENT ON COLUMN schema_migrations.name IS 'Rest of the file name';
COMMENT ON COLUMN schema_migrations.sha256 IS 'SHA-256 of the file as it was applied, hexadecimal; another one today means an edited file';
COMMENT ON COLUMN schema_migrations.applied_at IS 'Start of the transaction that applied it, database clock';
COMMENT ON COLUMN schema_migrations.duration IS 'How long it took';
COMMENT ON COLUMN schema_migrations.agent_version IS 'Version of the agent that applied it'

-- name: has_record
SELECT to_regclass('schema_migrations') IS NOT NULL AS present

-- name: applied
SELECT version, name, sha256, applied_at, duration, agent_version
FROM schema_migrations
ORDER BY version

-- name: version
SELECT coalesce(max(version), 0) AS version FROM schema_migrations

-- name: record
INSERT INTO schema_migrations (version, name, sha256, duration, agent_version)
VALUES (%(version)s, %(name)s, %(sha256)s, clock_timestamp() - now(), %(agent_version)s)
RETURNING version, name, sha256, applied_at, duration, agent_version
