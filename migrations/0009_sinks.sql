-- How far each sink of a plugin has been given the recorded events, and a way to find those that follow.

CREATE TABLE usage_sink_cursors (
    sink       text        NOT NULL CHECK (sink <> ''),
    stream     uuid        NOT NULL,
    seq        bigint      NOT NULL CHECK (seq >= 0),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (sink, stream)
);
CREATE TRIGGER touch BEFORE UPDATE ON usage_sink_cursors FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE usage_sink_cursors IS 'How far a plugin''s sink has taken the events of a stream: it is given the rest, in order, at least once';
COMMENT ON COLUMN usage_sink_cursors.sink IS 'plugin/sink, as the plugin names it';
COMMENT ON COLUMN usage_sink_cursors.stream IS 'Stream of the events';
COMMENT ON COLUMN usage_sink_cursors.seq IS 'Last one that the sink has taken; 0: none yet';
COMMENT ON COLUMN usage_sink_cursors.updated_at IS 'Row last changed, database clock';

CREATE INDEX usage_events_by_seq ON usage_events USING brin (seq);
COMMENT ON INDEX usage_events_by_seq IS 'The events of a stream that follow a cursor: they lie about as they were recorded';
