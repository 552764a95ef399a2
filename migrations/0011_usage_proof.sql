-- What proves that no usage is lost: whatever came through a spool file, counted once, whatever became of it (ADR 0083).

CREATE TABLE usage_arrivals (
    stream             uuid    NOT NULL,
    tenant_id          text    NOT NULL,
    meter              text    NOT NULL,
    unit               text    NOT NULL,
    day                date    NOT NULL,
    events             bigint  NOT NULL DEFAULT 0,
    quantity           numeric NOT NULL DEFAULT 0,
    local_events       bigint  NOT NULL DEFAULT 0,
    local_quantity     numeric NOT NULL DEFAULT 0,
    forgotten_events   bigint  NOT NULL DEFAULT 0 CHECK (forgotten_events >= 0),
    forgotten_quantity numeric NOT NULL DEFAULT 0,
    lost_events        bigint  NOT NULL DEFAULT 0 CHECK (lost_events >= 0),
    lost_quantity      numeric NOT NULL DEFAULT 0,
    PRIMARY KEY (stream, tenant_id, meter, unit, day)
);
CREATE INDEX usage_arrivals_by_day ON usage_arrivals (day);

COMMENT ON TABLE usage_arrivals IS 'What came through each spool file, every place in it counted once: events, duplicates, dead letters, and what is lost';
COMMENT ON COLUMN usage_arrivals.stream IS 'Spool file it came through (agent_streams)';
COMMENT ON COLUMN usage_arrivals.tenant_id IS 'Who is billed';
COMMENT ON COLUMN usage_arrivals.meter IS 'event_type of the events';
COMMENT ON COLUMN usage_arrivals.unit IS 'Unit of the quantities';
COMMENT ON COLUMN usage_arrivals.day IS 'UTC day of event_time';
COMMENT ON COLUMN usage_arrivals.events IS 'Number of billable events, lost ones included';
COMMENT ON COLUMN usage_arrivals.quantity IS 'Sum of their quantities';
COMMENT ON COLUMN usage_arrivals.local_events IS 'Number of events that are not billable, lost ones included';
COMMENT ON COLUMN usage_arrivals.local_quantity IS 'Sum of their quantities';
COMMENT ON COLUMN usage_arrivals.forgotten_events IS 'How many of all of them were final and have been deleted since, as retention has it';
COMMENT ON COLUMN usage_arrivals.forgotten_quantity IS 'Sum of their quantities';
COMMENT ON COLUMN usage_arrivals.lost_events IS 'How many of all of them were here once, and the database came back without them';
COMMENT ON COLUMN usage_arrivals.lost_quantity IS 'Sum of their quantities';
COMMENT ON INDEX usage_arrivals_by_day IS 'Proof of a span of days';

ALTER TABLE agent_streams ADD COLUMN copied boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN agent_streams.copied IS 'Another box has the suspect events as well, and may send them yet';
ALTER TABLE usage_batches ADD COLUMN copied boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN usage_batches.copied IS 'Another box has its events as well: that the service lacks them is no reason to send them, unless it dedupes';

CREATE INDEX usage_duplicates_by_event ON usage_duplicates (event_id);
COMMENT ON INDEX usage_duplicates_by_event IS 'The repeats of an event, which go when it goes';

ALTER TABLE agent_streams ADD COLUMN suspect_seq bigint NOT NULL DEFAULT 0 CHECK (suspect_seq >= 0);
COMMENT ON COLUMN agent_streams.suspect_seq IS 'Events up to here may have been sent by a former life of this database, or by the box this one is a copy of: not sent blindly to a service that does not dedupe';

-- What arrived before this was counted: events that are still here, and letters of those that never became one.
INSERT INTO usage_arrivals (stream, tenant_id, meter, unit, day, events, quantity, local_events, local_quantity)
SELECT stream, tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date,
    count(*) FILTER (WHERE billable), coalesce(sum(quantity) FILTER (WHERE billable), 0),
    count(*) FILTER (WHERE NOT billable), coalesce(sum(quantity) FILTER (WHERE NOT billable), 0)
FROM (
    SELECT stream, tenant_id, event_type, unit, event_time, quantity, billable FROM usage_events
    UNION ALL
    SELECT duplicate.stream, tenant_id, event_type, unit, event_time, quantity, billable
    FROM usage_duplicates AS duplicate
    JOIN usage_events AS event ON event.event_id = duplicate.event_id
        AND event.recorded_at = usage_id_time(duplicate.event_id)
) AS arrived
GROUP BY stream, tenant_id, event_type, unit, (event_time AT TIME ZONE 'UTC')::date;
