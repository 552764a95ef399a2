-- The spool's file (ADR 0030).

CREATE TABLE spool (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    stream       BLOB    NOT NULL,             -- UUID, made with the file
    drained_seq  INTEGER NOT NULL DEFAULT 0,   -- every seq up to here is in the database
    newest_ms    INTEGER NOT NULL DEFAULT 0,   -- latest trusted time in an id, milliseconds since 1970
    dedupe_floor TEXT    NOT NULL              -- oldest instant of which events are kept, RFC 3339; only rises
) STRICT;

-- The canonical text says all there is to say of an event. AUTOINCREMENT: a seq is never given twice, even after its row
-- is gone.
CREATE TABLE events (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    crc32     INTEGER NOT NULL,                -- of the canonical text: SQLite checks no content
    canonical TEXT    NOT NULL
) STRICT;

PRAGMA user_version = 1;
