-- What the billing service has said about each camera, and how each camera's license went from state to state.
-- No foreign keys to cameras: a license is known, and its edges are told, before or after the camera's row is there.

CREATE TABLE camera_licenses (
    device_id       text        NOT NULL CHECK (device_id <> ''),
    tenant_id       text        NOT NULL CHECK (tenant_id <> ''),
    camera_id       text        NOT NULL,
    mode            text        NOT NULL CHECK (mode IN ('trial', 'base', 'enterprise', 'unlicensed', 'expired')),
    status          text        NOT NULL CHECK (status IN (
                        'active', 'grace_period', 'past_due', 'suspended', 'revoked', 'expired')),
    verified_at     timestamptz NOT NULL,
    not_before      timestamptz,
    valid_until     timestamptz,
    packs           text[]      NOT NULL DEFAULT '{}',
    cameras_allowed integer,
    sequence        bigint      NOT NULL DEFAULT 0,
    signed          boolean     NOT NULL DEFAULT false,
    denied          text        CHECK (denied <> ''),
    sealed          text        NOT NULL CHECK (sealed <> ''),
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (device_id, tenant_id, camera_id)
);
CREATE TRIGGER touch BEFORE UPDATE ON camera_licenses FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE camera_licenses IS 'Newest evidence on each camera of each device; only sealed counts for the agent, the other columns are for people';
COMMENT ON COLUMN camera_licenses.device_id IS 'Device whose key has sealed the evidence; no other can use it';
COMMENT ON COLUMN camera_licenses.tenant_id IS 'Holder of the license; opaque';
COMMENT ON COLUMN camera_licenses.camera_id IS 'Camera; empty: the tenant itself';
COMMENT ON COLUMN camera_licenses.mode IS 'What was bought';
COMMENT ON COLUMN camera_licenses.status IS 'How the subscription stands';
COMMENT ON COLUMN camera_licenses.verified_at IS 'When the billing service said so, trusted time';
COMMENT ON COLUMN camera_licenses.not_before IS 'Start of the license; NULL: none';
COMMENT ON COLUMN camera_licenses.valid_until IS 'End of what is paid; NULL: no end';
COMMENT ON COLUMN camera_licenses.packs IS 'Growth packs as the service names them';
COMMENT ON COLUMN camera_licenses.cameras_allowed IS 'Camera limit; NULL: unlimited';
COMMENT ON COLUMN camera_licenses.sequence IS 'Order of the word where the service numbers them, else 0';
COMMENT ON COLUMN camera_licenses.signed IS 'From a signed lease; an unsigned word never replaces a signed one';
COMMENT ON COLUMN camera_licenses.denied IS 'Reason when the word was a definite no; NULL: it was not';
COMMENT ON COLUMN camera_licenses.sealed IS 'The evidence with its digest under the device key; verified on every load';
COMMENT ON COLUMN camera_licenses.created_at IS 'First word, database clock';
COMMENT ON COLUMN camera_licenses.updated_at IS 'Row last changed, database clock';

CREATE TABLE license_validation_log (
    entry_id   bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    edge_id    uuid        NOT NULL UNIQUE,
    device_id  text        NOT NULL CHECK (device_id <> ''),
    tenant_id  text        NOT NULL CHECK (tenant_id <> ''),
    camera_id  text        NOT NULL,
    old_state  text        NOT NULL CHECK (old_state IN ('valid', 'offline', 'grace', 'expired')),
    new_state  text        NOT NULL CHECK (new_state IN ('valid', 'offline', 'grace', 'expired')),
    reason     text        NOT NULL CHECK (reason <> ''),
    changed_at timestamptz NOT NULL,
    published  boolean     NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT edge_changes_the_state CHECK (old_state <> new_state)
);
CREATE INDEX license_validation_log_by_camera ON license_validation_log (device_id, tenant_id, camera_id, changed_at);
CREATE INDEX license_validation_log_unpublished ON license_validation_log (device_id, tenant_id, entry_id)
    WHERE NOT published;

COMMENT ON TABLE license_validation_log IS 'Every edge of every license, written before it is published';
COMMENT ON COLUMN license_validation_log.entry_id IS 'Order of writing';
COMMENT ON COLUMN license_validation_log.edge_id IS 'Identity of the edge: an agent that finds it again after a crash writes it once';
COMMENT ON COLUMN license_validation_log.device_id IS 'Device that noticed the edge';
COMMENT ON COLUMN license_validation_log.tenant_id IS 'Holder of the license; opaque';
COMMENT ON COLUMN license_validation_log.camera_id IS 'Camera; empty: the tenant itself';
COMMENT ON COLUMN license_validation_log.old_state IS 'State before';
COMMENT ON COLUMN license_validation_log.new_state IS 'State after';
COMMENT ON COLUMN license_validation_log.reason IS 'Why, in the words of docs/license-states.md';
COMMENT ON COLUMN license_validation_log.changed_at IS 'When it was noticed, trusted time';
COMMENT ON COLUMN license_validation_log.published IS 'Every listener has been told';
COMMENT ON COLUMN license_validation_log.created_at IS 'Row written, database clock';
COMMENT ON INDEX license_validation_log_by_camera IS 'The history of a camera';
COMMENT ON INDEX license_validation_log_unpublished IS 'What is still to be told after a restart';
