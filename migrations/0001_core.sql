-- What everything else refers to: devices, cameras, and the features that growth packs sell.
-- One dialect for PostgreSQL 15 and 18: no extensions, ids are made by the agent. Tenant ids are opaque text everywhere.

CREATE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$;
COMMENT ON FUNCTION touch_updated_at() IS 'Trigger: updated_at is the start of the transaction that last changed the row';

CREATE TABLE edge_devices (
    device_id         text        PRIMARY KEY CHECK (device_id <> ''),
    tenant_id         text        NOT NULL CHECK (tenant_id <> ''),
    management_tier   text        NOT NULL DEFAULT 'basic' CHECK (management_tier IN ('basic', 'managed')),
    agent_version     text        NOT NULL DEFAULT '',
    last_heartbeat_at timestamptz,
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER touch BEFORE UPDATE ON edge_devices FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE edge_devices IS 'Boxes that run an agent on this database; several may share one site';
COMMENT ON COLUMN edge_devices.device_id IS 'EDGE_DEVICE_ID, or derived from the machine; fixed at enrollment';
COMMENT ON COLUMN edge_devices.tenant_id IS 'Tenant whose license the device runs under; opaque';
COMMENT ON COLUMN edge_devices.management_tier IS 'As sent in the heartbeat: basic or managed';
COMMENT ON COLUMN edge_devices.agent_version IS 'Version of the agent that wrote the row last; empty: not known';
COMMENT ON COLUMN edge_devices.last_heartbeat_at IS 'Last heartbeat that the billing service answered, trusted time; NULL: none yet';
COMMENT ON COLUMN edge_devices.created_at IS 'First seen, database clock';
COMMENT ON COLUMN edge_devices.updated_at IS 'Last changed, database clock';

-- No foreign key to edge_devices: a camera is registered even when the device has not been written yet.
CREATE TABLE cameras (
    tenant_id     text        NOT NULL CHECK (tenant_id <> ''),
    camera_id     text        NOT NULL CHECK (camera_id <> ''),
    device_id     text        NOT NULL CHECK (device_id <> ''),
    registered_at timestamptz NOT NULL,
    name          text        NOT NULL DEFAULT '',
    metadata      jsonb       NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(metadata) = 'object'),
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id)
);
CREATE INDEX cameras_by_seniority ON cameras (device_id, registered_at, camera_id);
CREATE TRIGGER touch BEFORE UPDATE ON cameras FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE cameras IS 'Cameras and the device that serves each; deleting one frees a place under the camera limit';
COMMENT ON COLUMN cameras.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN cameras.camera_id IS 'Name of the camera, unique within the tenant; never empty, as the empty id stands for the tenant itself';
COMMENT ON COLUMN cameras.device_id IS 'Device that serves the camera';
COMMENT ON COLUMN cameras.registered_at IS 'First registration, trusted time; the camera limit keeps the oldest ones working';
COMMENT ON COLUMN cameras.name IS 'For people; empty: none given';
COMMENT ON COLUMN cameras.metadata IS 'JSON object of the application; the agent does not interpret it';
COMMENT ON COLUMN cameras.created_at IS 'Row written, database clock';
COMMENT ON COLUMN cameras.updated_at IS 'Row last changed, database clock';
COMMENT ON INDEX cameras_by_seniority IS 'The cameras of a device in the order in which the camera limit counts them';

CREATE TABLE growth_pack_features (
    pack        text NOT NULL CHECK (pack ~ '^[a-z0-9]+(_[a-z0-9]+)*$'),
    scope       text NOT NULL CHECK (scope IN ('camera', 'tenant', 'industry')),
    category    text NOT NULL CHECK (category IN (
                    'cv_models', 'analytics', 'outputs', 'llm', 'agents', 'storage', 'integrations',
                    'source', 'processor', 'sink')),
    feature_key text NOT NULL CHECK (feature_key ~ '^[a-z0-9_]+\.[a-z0-9_]+$'),
    PRIMARY KEY (pack, feature_key),
    CONSTRAINT feature_key_in_category CHECK (split_part(feature_key, '.', 1) = category)
);
CREATE INDEX growth_pack_features_by_feature ON growth_pack_features (feature_key);

COMMENT ON TABLE growth_pack_features IS 'Which pack sells which feature; the catalog of the contract, plugins add theirs in memory';
COMMENT ON COLUMN growth_pack_features.pack IS 'Slug of the pack; base is what every paid camera has';
COMMENT ON COLUMN growth_pack_features.scope IS 'Whom the pack is sold to: camera, tenant or industry';
COMMENT ON COLUMN growth_pack_features.category IS 'First part of the key';
COMMENT ON COLUMN growth_pack_features.feature_key IS 'category.name, as applications ask for it; one feature may come from several packs';
COMMENT ON INDEX growth_pack_features_by_feature IS 'Which packs would unlock a feature';

INSERT INTO growth_pack_features (pack, scope, category, feature_key)
SELECT pack, scope, category, category || '.' || name
FROM (VALUES
    ('base', 'camera', 'cv_models', 'person car van truck bus motorcycle'),
    ('base', 'camera', 'analytics', 'detection tracking counting dwell heatmap direction speed privacy_mask'),
    ('base', 'camera', 'outputs', 'edge_io dashboard email webhook api'),
    ('advanced_analytics', 'camera', 'analytics', 'near_miss interaction_time queue_counter object_size'),
    ('active_transport', 'industry', 'cv_models', 'bike scooter pram wheelchair'),
    ('intelligence', 'tenant', 'llm', 'analyst_seat_full premium_connectors automated_reports'),
    ('integration', 'tenant', 'outputs', 'sms cloud_export vms_connectors')
) AS sold (pack, scope, category, names),
LATERAL unnest(string_to_array(names, ' ')) AS name;
