-- Usage on its way to the bill: events, the batches they go out in, what will never be billed, and what they add up to.
-- States and rules: docs/adr/0030 to 0036. The agent writes every id and every canonical text; nothing here invents either.

CREATE FUNCTION usage_id_time(id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN to_timestamp((
      (get_byte(uuid_send(id), 0)::bigint << 40) | (get_byte(uuid_send(id), 1)::bigint << 32)
    | (get_byte(uuid_send(id), 2)::bigint << 24) | (get_byte(uuid_send(id), 3)::bigint << 16)
    | (get_byte(uuid_send(id), 4)::bigint << 8)  | get_byte(uuid_send(id), 5)::bigint
) / 1000.0::double precision);
COMMENT ON FUNCTION usage_id_time(uuid) IS 'The time in an event id: the first 48 bits are milliseconds since 1970, UTC';

CREATE TABLE usage_events (
    event_id      uuid        NOT NULL,
    recorded_at   timestamptz NOT NULL,
    stream        uuid        NOT NULL,
    seq           bigint      NOT NULL CHECK (seq > 0),
    tenant_id     text        NOT NULL CHECK (tenant_id <> ''),
    device_id     text        NOT NULL CHECK (device_id <> ''),
    camera_id     text        NOT NULL,
    event_type    text        NOT NULL CHECK (event_type <> ''),
    resource_id   text        NOT NULL,
    resource_type text        NOT NULL,
    quantity      numeric     NOT NULL,
    unit          text        NOT NULL,
    billable      boolean     NOT NULL,
    event_time    timestamptz NOT NULL,
    corrects      uuid,
    canonical     text        NOT NULL,
    state         text        NOT NULL CHECK (state IN ('pending', 'sealed', 'synced', 'dead', 'local')),
    batch_id      uuid,
    PRIMARY KEY (event_id, recorded_at),
    CONSTRAINT recorded_at_is_the_time_of_the_id CHECK (recorded_at = usage_id_time(event_id)),
    CONSTRAINT quantity_is_exact CHECK (abs(quantity) < 1e18 AND scale(quantity) <= 9),
    CONSTRAINT negative_only_to_correct CHECK (quantity >= 0 OR corrects IS NOT NULL),
    CONSTRAINT local_is_not_billable CHECK ((state = 'local') = (NOT billable)),
    CONSTRAINT sealed_is_in_a_batch CHECK (state <> 'sealed' OR batch_id IS NOT NULL),
    CONSTRAINT waiting_is_in_no_batch CHECK (state NOT IN ('pending', 'local') OR batch_id IS NULL)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX usage_events_pending ON usage_events (stream, seq) WHERE state = 'pending';
CREATE INDEX usage_events_sealed ON usage_events (batch_id) WHERE state = 'sealed';
CREATE INDEX usage_events_by_time ON usage_events USING brin (event_time);

COMMENT ON TABLE usage_events IS 'Recorded usage, one row an event; months by recorded_at, made on demand';
COMMENT ON COLUMN usage_events.event_id IS 'UUID version 7 (trusted time) or 8 (event_time of a dedupe_key); the same id is counted and billed once';
COMMENT ON COLUMN usage_events.recorded_at IS 'The time in event_id, so that the primary key makes the id alone unique';
COMMENT ON COLUMN usage_events.stream IS 'Spool file it came through (agent_streams)';
COMMENT ON COLUMN usage_events.seq IS 'Place in the stream, from 1; holes are allowed';
COMMENT ON COLUMN usage_events.tenant_id IS 'Who is billed; opaque';
COMMENT ON COLUMN usage_events.device_id IS 'Box that recorded it';
COMMENT ON COLUMN usage_events.camera_id IS 'Camera it belongs to; empty: none';
COMMENT ON COLUMN usage_events.event_type IS 'Meter, such as api_call';
COMMENT ON COLUMN usage_events.resource_id IS 'What was used, such as an endpoint or a model';
COMMENT ON COLUMN usage_events.resource_type IS 'Kind of resource; empty: not said';
COMMENT ON COLUMN usage_events.quantity IS 'How much, exact, in the unit; negative only in a correction';
COMMENT ON COLUMN usage_events.unit IS 'Unit of the meter, such as calls or gb_days';
COMMENT ON COLUMN usage_events.billable IS 'False: counted here, never sent';
COMMENT ON COLUMN usage_events.event_time IS 'When it was used, as the application says';
COMMENT ON COLUMN usage_events.corrects IS 'Event whose quantity this one takes back; NULL: no correction';
COMMENT ON COLUMN usage_events.canonical IS 'The event as JSON, made once; what is delivered is this text, byte for byte';
COMMENT ON COLUMN usage_events.state IS 'pending: in no batch; sealed: in a batch under way; synced: the service has it; dead: see usage_dead_letters; local: not billable';
COMMENT ON COLUMN usage_events.batch_id IS 'Batch it goes or went out in; NULL: none yet';
COMMENT ON INDEX usage_events_pending IS 'What to seal next, oldest first';
COMMENT ON INDEX usage_events_sealed IS 'The events of a batch under way';
COMMENT ON INDEX usage_events_by_time IS 'Sums of a span of time, to decide what became of an ambiguous batch';

CREATE TABLE usage_batches (
    batch_id             uuid        PRIMARY KEY,
    root_id              uuid        NOT NULL,
    parent_id            uuid        REFERENCES usage_batches,
    stream               uuid        NOT NULL,
    dialect              text        NOT NULL CHECK (dialect IN ('extended', 'classic')),
    first_seq            bigint      NOT NULL CHECK (first_seq > 0),
    last_seq             bigint      NOT NULL,
    events               integer     NOT NULL CHECK (events BETWEEN 1 AND 1000),
    sha256               bytea       NOT NULL CHECK (octet_length(sha256) = 32),
    prev_sha256          bytea       CHECK (octet_length(prev_sha256) = 32),
    body                 bytea,
    state                text        NOT NULL DEFAULT 'sealed'
                                     CHECK (state IN ('sealed', 'sending', 'settled', 'split', 'ambiguous')),
    sealed_at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts             integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    last_attempt_at      timestamptz,
    next_attempt_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    lease_owner          text,
    lease_until          timestamptz,
    fence                bigint      NOT NULL DEFAULT 0,
    last_reply           text        NOT NULL DEFAULT '',
    refused              boolean     NOT NULL DEFAULT false,
    held                 boolean     NOT NULL DEFAULT false,
    partial              boolean     NOT NULL DEFAULT false,
    nothing_stored       integer     NOT NULL DEFAULT 0,
    nothing_stored_since timestamptz,
    settled_at           timestamptz,
    synced               integer     NOT NULL DEFAULT 0 CHECK (synced >= 0),
    dead                 integer     NOT NULL DEFAULT 0 CHECK (dead >= 0),
    again                integer     NOT NULL DEFAULT 0 CHECK (again >= 0),
    CONSTRAINT in_order CHECK (last_seq - first_seq >= events - 1),
    CONSTRAINT body_until_settled CHECK ((body IS NULL) = (state IN ('settled', 'split'))),
    CONSTRAINT leased_while_sending CHECK ((state = 'sending') = (lease_owner IS NOT NULL AND lease_until IS NOT NULL)),
    CONSTRAINT settled_in_full CHECK (state <> 'settled' OR synced + dead + again = events),
    CONSTRAINT settled_at_a_time CHECK ((state = 'settled') = (settled_at IS NOT NULL)),
    CONSTRAINT only_one_alone_is_refused CHECK (NOT refused OR events = 1)
);
CREATE INDEX usage_batches_waiting ON usage_batches (root_id, first_seq) WHERE state = 'sealed';
CREATE INDEX usage_batches_open ON usage_batches (state, next_attempt_at) WHERE state IN ('sending', 'ambiguous');
CREATE INDEX usage_batches_by_root ON usage_batches (root_id);
CREATE INDEX usage_batches_refused ON usage_batches (root_id) WHERE refused;
CREATE INDEX usage_batches_settled ON usage_batches (settled_at) WHERE synced > 0;

COMMENT ON TABLE usage_batches IS 'Batches of events as they go out: sealed once, the same bytes under the same key on every try';
COMMENT ON COLUMN usage_batches.batch_id IS 'Idempotency key; UUID version 7, so that older batches sort first';
COMMENT ON COLUMN usage_batches.root_id IS 'Batch that it was split from first of all; its own id when it was not';
COMMENT ON COLUMN usage_batches.parent_id IS 'Batch whose events it took over; NULL: none';
COMMENT ON COLUMN usage_batches.stream IS 'The one stream its events come from';
COMMENT ON COLUMN usage_batches.dialect IS 'Which fields body was written with: extended or classic';
COMMENT ON COLUMN usage_batches.first_seq IS 'Lowest seq in it';
COMMENT ON COLUMN usage_batches.last_seq IS 'Highest seq in it';
COMMENT ON COLUMN usage_batches.events IS 'Number of events in it';
COMMENT ON COLUMN usage_batches.sha256 IS 'SHA-256 of the exact bytes of the events array in body';
COMMENT ON COLUMN usage_batches.prev_sha256 IS 'sha256 of the batch sealed before it in the stream; NULL: it is the first';
COMMENT ON COLUMN usage_batches.body IS 'The request, byte for byte; NULL once it is settled or split';
COMMENT ON COLUMN usage_batches.state IS 'sealed: waits for its next try; sending: leased; settled; split: other batches took its events over; ambiguous: nobody can say what was stored';
COMMENT ON COLUMN usage_batches.sealed_at IS 'Database clock';
COMMENT ON COLUMN usage_batches.attempts IS 'Tries so far, those of the batches it was split from included';
COMMENT ON COLUMN usage_batches.last_attempt_at IS 'Database clock; NULL: not tried yet';
COMMENT ON COLUMN usage_batches.next_attempt_at IS 'Not before this (database clock): the next try, or the next question what became of an ambiguous one';
COMMENT ON COLUMN usage_batches.lease_owner IS 'Device whose agent is sending it; NULL: none';
COMMENT ON COLUMN usage_batches.lease_until IS 'After this (database clock) any agent may take it over; NULL: not leased';
COMMENT ON COLUMN usage_batches.fence IS 'Rises with every lease: a failure reported under an older one is not heard';
COMMENT ON COLUMN usage_batches.last_reply IS 'What the last try came to, for people';
COMMENT ON COLUMN usage_batches.refused IS 'The service refused this one event alone; its root decides whether the event is bad or the service';
COMMENT ON COLUMN usage_batches.held IS 'Each of its events was refused alone, and they are too many to die: tried as a whole from time to time';
COMMENT ON COLUMN usage_batches.partial IS 'Ambiguous because the service said that it stored some of the events, without saying which';
COMMENT ON COLUMN usage_batches.nothing_stored IS 'How often in a row the service said that it stored nothing';
COMMENT ON COLUMN usage_batches.nothing_stored_since IS 'When it first said so (database clock); NULL: it did not';
COMMENT ON COLUMN usage_batches.settled_at IS 'Database clock; NULL: not settled';
COMMENT ON COLUMN usage_batches.synced IS 'Events of it that the service has';
COMMENT ON COLUMN usage_batches.dead IS 'Events of it that became dead letters';
COMMENT ON COLUMN usage_batches.again IS 'Events of it that go out anew in another batch';
COMMENT ON INDEX usage_batches_waiting IS 'What to send next';
COMMENT ON INDEX usage_batches_open IS 'Leases that may have run out, ambiguous batches to be resolved';
COMMENT ON INDEX usage_batches_by_root IS 'All that became of a batch';
COMMENT ON INDEX usage_batches_refused IS 'Roots that await a verdict';
COMMENT ON INDEX usage_batches_settled IS 'Whether other batches were delivered since a time';

CREATE TABLE usage_dead_letters (
    dead_letter_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id       uuid        NOT NULL,
    stream         uuid        NOT NULL,
    seq            bigint      NOT NULL,
    batch_id       uuid,
    code           text        NOT NULL CHECK (code <> ''),
    detail         text        NOT NULL DEFAULT '',
    event          bytea       NOT NULL,
    dead_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    UNIQUE (stream, seq)
);

COMMENT ON TABLE usage_dead_letters IS 'Events that will not be billed, each whole and with the reason; kept until a person decides';
COMMENT ON COLUMN usage_dead_letters.dead_letter_id IS 'Its own number: the same event_id may die more than once, with other bodies';
COMMENT ON COLUMN usage_dead_letters.event_id IS 'Id of the event';
COMMENT ON COLUMN usage_dead_letters.stream IS 'Spool file it came through';
COMMENT ON COLUMN usage_dead_letters.seq IS 'Place in the stream';
COMMENT ON COLUMN usage_dead_letters.batch_id IS 'Batch it was refused in; NULL: it never reached one';
COMMENT ON COLUMN usage_dead_letters.code IS 'The billing service''s code, or one of ours: IDEMPOTENCY_CONFLICT, UNSTORABLE, REFUSED, REJECTED, TOO_LARGE';
COMMENT ON COLUMN usage_dead_letters.detail IS 'In words';
COMMENT ON COLUMN usage_dead_letters.event IS 'The canonical text as bytes: what PostgreSQL refused as text can be kept nowhere else';
COMMENT ON COLUMN usage_dead_letters.dead_at IS 'Database clock';

CREATE TABLE usage_duplicates (
    stream   uuid   NOT NULL,
    seq      bigint NOT NULL,
    event_id uuid   NOT NULL,
    PRIMARY KEY (stream, seq)
);

COMMENT ON TABLE usage_duplicates IS 'Places in a stream taken by repeats of an event that is already kept under another place';
COMMENT ON COLUMN usage_duplicates.stream IS 'Spool file the repeat came through';
COMMENT ON COLUMN usage_duplicates.seq IS 'Its place in the stream';
COMMENT ON COLUMN usage_duplicates.event_id IS 'The event it repeats';

CREATE TABLE usage_totals (
    tenant_id      text    NOT NULL,
    meter          text    NOT NULL,
    unit           text    NOT NULL,
    day            date    NOT NULL,
    events         bigint  NOT NULL,
    quantity       numeric NOT NULL,
    local_events   bigint  NOT NULL,
    local_quantity numeric NOT NULL,
    PRIMARY KEY (tenant_id, meter, unit, day)
);
CREATE INDEX usage_totals_by_day ON usage_totals (day);

COMMENT ON TABLE usage_totals IS 'What was recorded, changed only by rows that an insert into usage_events returned; outlives the events';
COMMENT ON COLUMN usage_totals.tenant_id IS 'Who is billed';
COMMENT ON COLUMN usage_totals.meter IS 'event_type of the events';
COMMENT ON COLUMN usage_totals.unit IS 'Unit of the quantities';
COMMENT ON COLUMN usage_totals.day IS 'UTC day of event_time';
COMMENT ON COLUMN usage_totals.events IS 'Number of billable events';
COMMENT ON COLUMN usage_totals.quantity IS 'Sum of their quantities, corrections included';
COMMENT ON COLUMN usage_totals.local_events IS 'Number of events that are not billable';
COMMENT ON COLUMN usage_totals.local_quantity IS 'Sum of their quantities';
COMMENT ON INDEX usage_totals_by_day IS 'Summaries of a span of days';

CREATE TABLE agent_streams (
    stream        uuid        PRIMARY KEY,
    device_id     text        NOT NULL CHECK (device_id <> ''),
    drained_seq   bigint      NOT NULL CHECK (drained_seq >= 0),
    sealed_sha256 bytea       CHECK (octet_length(sealed_sha256) = 32),
    first_seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX agent_streams_by_device ON agent_streams (device_id);

COMMENT ON TABLE agent_streams IS 'Spool files whose events have come here; a new file is a new stream';
COMMENT ON COLUMN agent_streams.stream IS 'UUID made with the spool file';
COMMENT ON COLUMN agent_streams.device_id IS 'Box whose agent seals it into batches';
COMMENT ON COLUMN agent_streams.drained_seq IS 'Every seq up to here has arrived, as an event, a duplicate or a dead letter';
COMMENT ON COLUMN agent_streams.sealed_sha256 IS 'sha256 of the batch sealed last, for the next one''s prev_sha256; NULL: none yet';
COMMENT ON COLUMN agent_streams.first_seen_at IS 'Database clock';
COMMENT ON INDEX agent_streams_by_device IS 'The streams a box has to seal';

CREATE TABLE billing_sync_status (
    service    text        PRIMARY KEY CHECK (service <> ''),
    dedupes    boolean     NOT NULL,
    dialect    text        NOT NULL CHECK (dialect IN ('extended', 'classic')),
    max_bytes  integer     NOT NULL CHECK (max_bytes > 0),
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

COMMENT ON TABLE billing_sync_status IS 'What has been learned of each billing service';
COMMENT ON COLUMN billing_sync_status.service IS 'BILLING_SERVICE_URL';
COMMENT ON COLUMN billing_sync_status.dedupes IS 'It has answered with our batch_id and per-event results: the same bytes may be sent again';
COMMENT ON COLUMN billing_sync_status.dialect IS 'classic once it has refused the fields of the extension';
COMMENT ON COLUMN billing_sync_status.max_bytes IS 'Largest body that it has not refused as too large';
COMMENT ON COLUMN billing_sync_status.updated_at IS 'Database clock';
