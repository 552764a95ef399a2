-- From format 1, which kept no sums and did not know its home: a new stream, of what waits.

ALTER TABLE spool ADD COLUMN home TEXT NOT NULL DEFAULT '';
ALTER TABLE spool ADD COLUMN copied_from BLOB;
ALTER TABLE spool ADD COLUMN suspect_seq INTEGER NOT NULL DEFAULT 0;
CREATE TABLE sums (
    side           TEXT    NOT NULL CHECK (side IN ('accepted', 'drained')),
    tenant_id      TEXT    NOT NULL,
    meter          TEXT    NOT NULL,
    unit           TEXT    NOT NULL,
    day            TEXT    NOT NULL,
    events         INTEGER NOT NULL,
    quantity       TEXT    NOT NULL,
    local_events   INTEGER NOT NULL,
    local_quantity TEXT    NOT NULL,
    PRIMARY KEY (side, tenant_id, meter, unit, day)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
