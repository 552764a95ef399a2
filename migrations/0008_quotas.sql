-- What each device may still bring into the totals of a quota: with it, several agents draw on one limit and none
-- needs to ask another (ADR 0070).

ALTER TABLE quota_counters
    ADD COLUMN service_settled numeric,
    ADD CONSTRAINT word_of_the_service_in_full CHECK ((service_remaining IS NULL) = (service_settled IS NULL));

COMMENT ON COLUMN quota_counters.quota_limit IS 'What the rules come to, in the unit of the meter; -1: unlimited, 0: disabled. The service''s word counts before it';
COMMENT ON COLUMN quota_counters.used IS 'The totals of the period when it was counted last, same unit';
COMMENT ON COLUMN quota_counters.granted IS 'What all devices had at stake then (quota_stakes), same unit';
COMMENT ON COLUMN quota_counters.source_pack IS 'NULL: a limit may come from several rules';
COMMENT ON COLUMN quota_counters.service_settled IS 'What the service could know of when it said so; with service_remaining it makes the limit in force. NULL: it has not said';

CREATE TABLE quota_stakes (
    tenant_id    text        NOT NULL,
    meter        text        NOT NULL,
    period       text        NOT NULL,
    period_start timestamptz NOT NULL,
    device_id    text        NOT NULL CHECK (device_id <> ''),
    outstanding  numeric     NOT NULL CHECK (outstanding >= 0),
    reserved     numeric     NOT NULL CHECK (reserved BETWEEN 0 AND outstanding),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, meter, period, period_start, device_id),
    FOREIGN KEY (tenant_id, meter, period, period_start) REFERENCES quota_counters ON DELETE CASCADE
);
CREATE TRIGGER touch BEFORE UPDATE ON quota_stakes FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE quota_stakes IS 'What a device may still bring into the totals of a quota: the block it holds, its open reservations, its events that are not drained yet';
COMMENT ON COLUMN quota_stakes.tenant_id IS 'Holder of the quota; opaque';
COMMENT ON COLUMN quota_stakes.meter IS 'What is counted, such as llm_tokens';
COMMENT ON COLUMN quota_stakes.period IS 'day or month, UTC';
COMMENT ON COLUMN quota_stakes.period_start IS 'Start of the period';
COMMENT ON COLUMN quota_stakes.device_id IS 'Device whose agent holds it';
COMMENT ON COLUMN quota_stakes.outstanding IS 'All of it, in the unit of the meter, as the agent last wrote it down: never less than the truth';
COMMENT ON COLUMN quota_stakes.reserved IS 'The part that is in open reservations';
COMMENT ON COLUMN quota_stakes.updated_at IS 'Row last changed, database clock';
