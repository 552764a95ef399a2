-- The row of one device.

-- name: save
INSERT INTO edge_devices AS known (
    device_id, tenant_id, management_tier, agent_version, last_heartbeat_at, heartbeat_interval, hardware, network)
VALUES (
    %(device_id)s, %(tenant_id)s, %(management_tier)s, %(agent_version)s, %(heartbeat_at)s, %(heartbeat_interval)s,
    %(hardware)s, %(network)s)
ON CONFLICT (device_id) DO UPDATE SET
    tenant_id = excluded.tenant_id,
    management_tier = excluded.management_tier,
    agent_version = excluded.agent_version,
    last_heartbeat_at = coalesce(excluded.last_heartbeat_at, known.last_heartbeat_at),
    heartbeat_interval = coalesce(excluded.heartbeat_interval, known.heartbeat_interval),
    hardware = excluded.hardware,
    network = excluded.network

-- name: load
SELECT last_heartbeat_at AS heartbeat_at, heartbeat_interval, hardware, network
FROM edge_devices
WHERE device_id = %(device_id)s
