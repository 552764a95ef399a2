-- The counters of quotas, and each device's stake in them (ADR 0070). Called by quotas.py.

-- name: lock_counter
-- The conflict locks the row even where nothing about it is to be changed: from here to the commit nobody else draws on it.
INSERT INTO quota_counters AS known (tenant_id, meter, period, period_start, period_end, quota_limit, soft)
VALUES (%(tenant_id)s, %(meter)s, %(period)s, %(period_start)s, %(period_end)s, %(quota_limit)s, %(soft)s)
ON CONFLICT (tenant_id, meter, period, period_start) DO UPDATE
SET quota_limit = excluded.quota_limit, soft = excluded.soft
WHERE (known.quota_limit, known.soft) IS DISTINCT FROM (excluded.quota_limit, excluded.soft)

-- name: draw
-- A statement of its own, behind the lock: it must see what those before us in the line have drawn. Everything is read in
-- one snapshot, so that an event is in the totals, or in the stake of its device, or in both, and never in neither.
WITH counter AS (
    SELECT
        service_said_at IS NOT NULL AS said,
        CASE
            WHEN service_said_at IS NULL THEN quota_limit
            WHEN service_remaining = -1 THEN -1
            ELSE greatest(service_remaining + service_settled, 0)
        END AS quota_limit
    FROM quota_counters
    WHERE tenant_id = %(tenant_id)s AND meter = %(meter)s AND period = %(period)s AND period_start = %(period_start)s
), total AS (
    SELECT coalesce(sum(quantity + local_quantity), 0) AS used
    FROM usage_totals
    WHERE tenant_id = %(tenant_id)s AND meter = %(meter)s AND day >= %(since)s AND day < %(until)s
), other AS (
    SELECT coalesce(sum(outstanding), 0) AS outstanding, coalesce(sum(reserved), 0) AS reserved
    FROM quota_stakes
    WHERE tenant_id = %(tenant_id)s AND meter = %(meter)s AND period = %(period)s AND period_start = %(period_start)s
        AND device_id <> %(device_id)s
), standing AS (
    SELECT counter.*, total.used, other.*,
        CASE
            WHEN counter.quota_limit < 0 OR %(soft)s THEN %(wanted)s::numeric
            ELSE least(counter.quota_limit - total.used - other.outstanding - %(outstanding)s::numeric, %(wanted)s)
        END AS within_reach
    FROM counter, total, other
), drawn AS (
    SELECT standing.*,
        CASE WHEN within_reach >= %(needed)s::numeric THEN greatest(within_reach, 0) ELSE 0 END AS taken
    FROM standing
), staked AS (
    INSERT INTO quota_stakes AS own (tenant_id, meter, period, period_start, device_id, outstanding, reserved)
    SELECT %(tenant_id)s, %(meter)s, %(period)s, %(period_start)s, %(device_id)s,
        %(outstanding)s::numeric + taken, %(reserved)s
    FROM drawn
    ON CONFLICT (tenant_id, meter, period, period_start, device_id) DO UPDATE
    SET outstanding = excluded.outstanding, reserved = excluded.reserved
    WHERE (own.outstanding, own.reserved) IS DISTINCT FROM (excluded.outstanding, excluded.reserved)
), shown AS (
    UPDATE quota_counters AS known
    SET used = greatest(drawn.used, 0), granted = drawn.outstanding + %(outstanding)s::numeric + drawn.taken
    FROM drawn
    WHERE tenant_id = %(tenant_id)s AND meter = %(meter)s AND period = %(period)s AND period_start = %(period_start)s
        AND (known.used, known.granted)
            IS DISTINCT FROM (greatest(drawn.used, 0), drawn.outstanding + %(outstanding)s::numeric + drawn.taken)
)
SELECT quota_limit, said, used, outstanding, reserved, taken,
    coalesce((SELECT drained_seq FROM agent_streams WHERE stream = %(stream)s), 0) AS drained_seq
FROM drawn

-- name: stakes
SELECT meter, period, period_start, counter.period_end, stake.outstanding, stake.reserved
FROM quota_stakes AS stake
JOIN quota_counters AS counter USING (tenant_id, meter, period, period_start)
WHERE tenant_id = %(tenant_id)s AND device_id = %(device_id)s

-- name: settled
-- What the service can know of: all billable usage but what is in no batch or in one that has not been settled. One
-- statement for each state, because each has an index of its own.
SELECT
    coalesce((
        SELECT sum(quantity) FROM usage_totals
        WHERE tenant_id = %(tenant_id)s AND meter = %(meter)s AND day >= %(since)s AND day < %(until)s), 0)
    - coalesce((
        SELECT sum(quantity) FROM usage_events
        WHERE state = 'pending' AND tenant_id = %(tenant_id)s AND event_type = %(meter)s
            AND event_time >= %(period_start)s AND event_time < %(period_end)s), 0)
    - coalesce((
        SELECT sum(quantity) FROM usage_events
        WHERE state = 'sealed' AND tenant_id = %(tenant_id)s AND event_type = %(meter)s
            AND event_time >= %(period_start)s AND event_time < %(period_end)s), 0) AS settled

-- name: hear
INSERT INTO quota_counters AS known (
    tenant_id, meter, period, period_start, period_end, quota_limit, soft,
    service_remaining, service_settled, service_said_at)
VALUES (
    %(tenant_id)s, %(meter)s, %(period)s, %(period_start)s, %(period_end)s, %(quota_limit)s, %(soft)s,
    %(remaining)s, %(settled)s, %(said_at)s)
ON CONFLICT (tenant_id, meter, period, period_start) DO UPDATE
SET service_remaining = excluded.service_remaining, service_settled = excluded.service_settled,
    service_said_at = excluded.service_said_at
WHERE known.service_said_at IS NULL OR known.service_said_at < excluded.service_said_at
