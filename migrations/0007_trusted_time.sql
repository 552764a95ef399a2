-- How far trusted time had come, beside the file in the state directory: either brings it through a restart.

CREATE TABLE trusted_time (
    device_id  text        PRIMARY KEY CHECK (device_id <> ''),
    mark       text        NOT NULL,
    at         timestamptz NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER touch BEFORE UPDATE ON trusted_time FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE trusted_time IS 'The mark that the time of each device is carried on from, as its agent wrote it at most a minute ago; the same is in a file of its state directory';
COMMENT ON COLUMN trusted_time.device_id IS 'Box whose time it is';
COMMENT ON COLUMN trusted_time.mark IS 'The mark, sealed with the device key: only that counts, and one changed by hand counts as lost';
COMMENT ON COLUMN trusted_time.at IS 'Trusted time of the mark, for people; nothing reads it';
COMMENT ON COLUMN trusted_time.updated_at IS 'Row last changed, database clock';
