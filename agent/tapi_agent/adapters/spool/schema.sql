-- The spool's file (ADR 0030, 0080, 0081).

CREATE TABLE spool (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    stream       BLOB    NOT NULL,             -- UUID, made with the file, anew for a copy
    drained_seq  INTEGER NOT NULL DEFAULT 0,   -- every seq up to here is in the database
    newest_ms    INTEGER NOT NULL DEFAULT 0,   -- latest trusted time in an id, milliseconds since 1970
    dedupe_floor TEXT    NOT NULL,             -- oldest instant of which events are kept, RFC 3339; only rises
    home         TEXT    NOT NULL,             -- whose file this is and where it lies, JSON: in another home it is a copy
    copied_from  BLOB,                         -- UUID, stream of the file that this one was copied from
    suspect_seq  INTEGER NOT NULL DEFAULT 0    -- events up to here are in the other file as well
) STRICT;

-- The canonical text says all there is to say of an event. AUTOINCREMENT: a seq is never given twice, even after its row
-- is gone.
CREATE TABLE events (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    crc32     INTEGER NOT NULL,                -- of the canonical text: SQLite checks no content
    canonical TEXT    NOT NULL
) STRICT;

-- What was ever accepted in this stream, and what of it the database has been handed.
CREATE TABLE sums (
    side           TEXT    NOT NULL CHECK (side IN ('accepted', 'drained')),
    tenant_id      TEXT    NOT NULL,
    meter          TEXT    NOT NULL,
    unit           TEXT    NOT NULL,
    day            TEXT    NOT NULL,           -- UTC day of event_time
    events         INTEGER NOT NULL,           -- billable ones
    quantity       TEXT    NOT NULL,           -- exact decimal
    local_events   INTEGER NOT NULL,           -- the others
    local_quantity TEXT    NOT NULL,
    PRIMARY KEY (side, tenant_id, meter, unit, day)
) STRICT, WITHOUT ROWID;

PRAGMA user_version = 2;
