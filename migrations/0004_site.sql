-- What a site's cameras are made of, and what they have seen: configuration, components, zones, telemetry.
-- No foreign keys from telemetry to cameras: what was seen stays when a camera goes.

CREATE TABLE config (
    tenant_id  text        NOT NULL CHECK (tenant_id <> ''),
    device_id  text        NOT NULL CHECK (device_id <> ''),
    key        text        NOT NULL CHECK (key <> ''),
    value      json        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, device_id, key)
);
CREATE TRIGGER touch BEFORE UPDATE ON config FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE config IS 'Settings of the applications on a box, one row a key; the agent itself reads none of them';
COMMENT ON COLUMN config.tenant_id IS 'Owner of the box; opaque';
COMMENT ON COLUMN config.device_id IS 'Box that the setting is for';
COMMENT ON COLUMN config.key IS 'Name of the setting';
COMMENT ON COLUMN config.value IS 'Any JSON value, kept as the text that was written: its type and its digits survive';
COMMENT ON COLUMN config.created_at IS 'Row written, database clock';
COMMENT ON COLUMN config.updated_at IS 'Row last changed, database clock; of an imported row: as the old data had it';

ALTER TABLE cameras
    ADD COLUMN enabled boolean NOT NULL DEFAULT true,
    ADD COLUMN config json NOT NULL DEFAULT '{}' CHECK (json_typeof(config) = 'object');

COMMENT ON COLUMN cameras.enabled IS 'Whether the application is meant to run it';
COMMENT ON COLUMN cameras.config IS 'The camera as its application writes it, whole, as the text that was written; components and zones repeat parts of it';

CREATE TABLE camera_components (
    tenant_id    text        NOT NULL,
    camera_id    text        NOT NULL,
    component_id text        NOT NULL CHECK (component_id <> ''),
    role         text        NOT NULL CHECK (role IN ('source', 'processor', 'sink')),
    type         text        NOT NULL CHECK (type <> ''),
    place        integer     NOT NULL DEFAULT 0 CHECK (place >= 0),
    settings     json        NOT NULL DEFAULT '{}' CHECK (json_typeof(settings) = 'object'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id, component_id),
    FOREIGN KEY (tenant_id, camera_id) REFERENCES cameras ON DELETE CASCADE
);
CREATE UNIQUE INDEX camera_components_one_source ON camera_components (tenant_id, camera_id) WHERE role = 'source';
CREATE INDEX camera_components_by_type ON camera_components (role, type);
CREATE TRIGGER touch BEFORE UPDATE ON camera_components FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE camera_components IS 'What a camera is made of: one source at most, processors, sinks; gone with the camera';
COMMENT ON COLUMN camera_components.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN camera_components.camera_id IS 'Camera it is part of';
COMMENT ON COLUMN camera_components.component_id IS 'Name, unique within the camera';
COMMENT ON COLUMN camera_components.role IS 'source, processor or sink';
COMMENT ON COLUMN camera_components.type IS 'Such as rtsp, object_detection or database; with the role it is the feature key role.type';
COMMENT ON COLUMN camera_components.place IS 'Order among those of the same role, from 0';
COMMENT ON COLUMN camera_components.settings IS 'JSON object of the component, such as url or model_id; zones are in their own tables as well';
COMMENT ON COLUMN camera_components.created_at IS 'Row written, database clock';
COMMENT ON COLUMN camera_components.updated_at IS 'Row last changed, database clock';
COMMENT ON INDEX camera_components_one_source IS 'A camera has one source at most';
COMMENT ON INDEX camera_components_by_type IS 'Which cameras use a kind of component';

CREATE TABLE line_zones (
    tenant_id    text             NOT NULL,
    camera_id    text             NOT NULL,
    zone_id      text             NOT NULL CHECK (zone_id <> ''),
    component_id text             NOT NULL,
    name         text             NOT NULL DEFAULT '',
    start_x      double precision NOT NULL,
    start_y      double precision NOT NULL,
    end_x        double precision NOT NULL,
    end_y        double precision NOT NULL,
    direction    text             NOT NULL DEFAULT 'both' CHECK (direction <> ''),
    metadata     json             NOT NULL DEFAULT '{}' CHECK (json_typeof(metadata) = 'object'),
    created_at   timestamptz      NOT NULL DEFAULT now(),
    updated_at   timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id, zone_id),
    FOREIGN KEY (tenant_id, camera_id, component_id) REFERENCES camera_components ON DELETE CASCADE,
    CONSTRAINT line_is_finite CHECK (
        abs(start_x) < 'Infinity' AND abs(start_y) < 'Infinity' AND abs(end_x) < 'Infinity' AND abs(end_y) < 'Infinity')
);
CREATE INDEX line_zones_by_component ON line_zones (tenant_id, camera_id, component_id);
CREATE TRIGGER touch BEFORE UPDATE ON line_zones FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE line_zones IS 'Lines that objects cross; gone with the component that watches them';
COMMENT ON COLUMN line_zones.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN line_zones.camera_id IS 'Camera in whose picture it lies';
COMMENT ON COLUMN line_zones.zone_id IS 'Name, unique among the lines of the camera';
COMMENT ON COLUMN line_zones.component_id IS 'Processor that watches it';
COMMENT ON COLUMN line_zones.name IS 'For people; empty: none given';
COMMENT ON COLUMN line_zones.start_x IS 'Start, horizontal, in the unit of the application (pixels or parts of the picture)';
COMMENT ON COLUMN line_zones.start_y IS 'Start, vertical, same unit';
COMMENT ON COLUMN line_zones.end_x IS 'End, horizontal, same unit';
COMMENT ON COLUMN line_zones.end_y IS 'End, vertical, same unit';
COMMENT ON COLUMN line_zones.direction IS 'Which crossings count, in the words of the application, such as both';
COMMENT ON COLUMN line_zones.metadata IS 'JSON object of what else the application says of it';
COMMENT ON COLUMN line_zones.created_at IS 'Row written, database clock';
COMMENT ON COLUMN line_zones.updated_at IS 'Row last changed, database clock';
COMMENT ON INDEX line_zones_by_component IS 'The lines of a component';

CREATE TABLE polygon_zones (
    tenant_id    text        NOT NULL,
    camera_id    text        NOT NULL,
    zone_id      text        NOT NULL CHECK (zone_id <> ''),
    component_id text        NOT NULL,
    name         text        NOT NULL DEFAULT '',
    zone_type    text        NOT NULL DEFAULT '',
    corners      json        NOT NULL CHECK (json_typeof(corners) = 'array'),
    metadata     json        NOT NULL DEFAULT '{}' CHECK (json_typeof(metadata) = 'object'),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id, zone_id),
    FOREIGN KEY (tenant_id, camera_id, component_id) REFERENCES camera_components ON DELETE CASCADE,
    CONSTRAINT polygon_has_an_area CHECK (json_typeof(corners) <> 'array' OR json_array_length(corners) >= 3)
);
CREATE INDEX polygon_zones_by_component ON polygon_zones (tenant_id, camera_id, component_id);
CREATE TRIGGER touch BEFORE UPDATE ON polygon_zones FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE polygon_zones IS 'Areas that objects stay in; gone with the component that watches them';
COMMENT ON COLUMN polygon_zones.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN polygon_zones.camera_id IS 'Camera in whose picture it lies';
COMMENT ON COLUMN polygon_zones.zone_id IS 'Name, unique among the areas of the camera';
COMMENT ON COLUMN polygon_zones.component_id IS 'Processor that watches it';
COMMENT ON COLUMN polygon_zones.name IS 'For people; empty: none given';
COMMENT ON COLUMN polygon_zones.zone_type IS 'What is watched, in the words of the application, such as dwell; empty: not said';
COMMENT ON COLUMN polygon_zones.corners IS 'JSON array of {x, y}, three or more, in the unit of the application';
COMMENT ON COLUMN polygon_zones.metadata IS 'JSON object of what else the application says of it';
COMMENT ON COLUMN polygon_zones.created_at IS 'Row written, database clock';
COMMENT ON COLUMN polygon_zones.updated_at IS 'Row last changed, database clock';
COMMENT ON INDEX polygon_zones_by_component IS 'The areas of a component';

-- Numbers below 10^12 are left to imported rows, which keep the ones they had.
CREATE SEQUENCE telemetry_ids START 1000000000000;
CREATE SEQUENCE frame_ids START 1000000000000;
COMMENT ON SEQUENCE telemetry_ids IS 'Numbers of telemetry events';
COMMENT ON SEQUENCE frame_ids IS 'Numbers of frames';

CREATE TABLE telemetry_events (
    tenant_id   text        NOT NULL CHECK (tenant_id <> ''),
    camera_id   text        NOT NULL CHECK (camera_id <> ''),
    occurred_at timestamptz NOT NULL,
    event_id    bigint      NOT NULL DEFAULT nextval('telemetry_ids'),
    event_type  text        NOT NULL CHECK (event_type IN (
                    'detection', 'tracking', 'crossing', 'classification', 'custom')),
    source_id   text        NOT NULL,
    frame_id    bigint,
    properties  json        NOT NULL DEFAULT '{}' CHECK (json_typeof(properties) = 'object'),
    created_at  timestamptz DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id, occurred_at, event_id),
    CONSTRAINT occurred_in_this_century CHECK (
        occurred_at >= '2000-01-01T00:00:00Z'::timestamptz AND occurred_at < '2100-01-01T00:00:00Z'::timestamptz)
) PARTITION BY RANGE (occurred_at);
CREATE INDEX telemetry_events_by_time ON telemetry_events USING brin (occurred_at);

COMMENT ON TABLE telemetry_events IS 'What the cameras have seen, one row an event; months by occurred_at, made ahead and on demand';
COMMENT ON COLUMN telemetry_events.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN telemetry_events.camera_id IS 'Camera that saw it';
COMMENT ON COLUMN telemetry_events.occurred_at IS 'When it was seen, as the application says, milliseconds';
COMMENT ON COLUMN telemetry_events.event_id IS 'Number; below 10^12 that of the old SQLite row, unique within the camera only';
COMMENT ON COLUMN telemetry_events.event_type IS 'detection, tracking, crossing, classification or custom; 0 to 4 in the old data';
COMMENT ON COLUMN telemetry_events.source_id IS 'Zone or component that noticed it';
COMMENT ON COLUMN telemetry_events.frame_id IS 'Frame it was seen in (frames); NULL: none was kept';
COMMENT ON COLUMN telemetry_events.properties IS 'JSON object of the application, kept as the text that was written';
COMMENT ON COLUMN telemetry_events.created_at IS 'Row written, database clock; of an imported row: as the old data had it, NULL if it had none';
COMMENT ON INDEX telemetry_events_by_time IS 'A span of time over all cameras';

CREATE TABLE frames (
    tenant_id   text        NOT NULL CHECK (tenant_id <> ''),
    camera_id   text        NOT NULL CHECK (camera_id <> ''),
    frame_id    bigint      NOT NULL DEFAULT nextval('frame_ids'),
    captured_at timestamptz NOT NULL,
    thumbnail   bytea,
    width       integer     CHECK (width > 0),
    height      integer     CHECK (height > 0),
    created_at  timestamptz DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id, frame_id),
    CONSTRAINT captured_in_this_century CHECK (
        captured_at >= '2000-01-01T00:00:00Z'::timestamptz AND captured_at < '2100-01-01T00:00:00Z'::timestamptz)
);
CREATE INDEX frames_by_time ON frames (tenant_id, camera_id, captured_at);
CREATE INDEX frames_by_age ON frames USING brin (captured_at);

COMMENT ON TABLE frames IS 'Pictures that telemetry events refer to';
COMMENT ON COLUMN frames.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN frames.camera_id IS 'Camera that took it';
COMMENT ON COLUMN frames.frame_id IS 'Number; below 10^12 that of the old SQLite row, unique within the camera only';
COMMENT ON COLUMN frames.captured_at IS 'When it was taken, as the application says, milliseconds';
COMMENT ON COLUMN frames.thumbnail IS 'The picture as the application encoded it, as a rule JPEG; NULL: none was kept';
COMMENT ON COLUMN frames.width IS 'Pixels; NULL: not known';
COMMENT ON COLUMN frames.height IS 'Pixels; NULL: not known';
COMMENT ON COLUMN frames.created_at IS 'Row written, database clock; of an imported row: as the old data had it, NULL if it had none';
COMMENT ON INDEX frames_by_time IS 'The frames of a camera in order';
COMMENT ON INDEX frames_by_age IS 'What is old enough to go';

CREATE TABLE telemetry_aggregates (
    tenant_id         text        NOT NULL CHECK (tenant_id <> ''),
    camera_id         text        NOT NULL CHECK (camera_id <> ''),
    kind              text        NOT NULL CHECK (kind IN ('summary', 'series', 'class', 'type')),
    summary_key       text,
    bucket_start      timestamptz,
    bucket            interval    CHECK (bucket > interval '0'),
    event_type        text        CHECK (event_type IN (
                          'detection', 'tracking', 'crossing', 'classification', 'custom')),
    class_name        text,
    events            bigint      CHECK (events >= 0),
    recent_events     bigint      CHECK (recent_events >= 0),
    value             json,
    counted_at        timestamptz,
    recent_counted_at timestamptz,
    updated_at        timestamptz NOT NULL DEFAULT now(),
    UNIQUE NULLS NOT DISTINCT (tenant_id, camera_id, kind, summary_key, bucket_start, bucket, event_type, class_name),
    CONSTRAINT columns_of_its_kind CHECK (CASE kind
        WHEN 'summary' THEN num_nulls(summary_key, value) = 0
            AND num_nonnulls(bucket_start, bucket, event_type, class_name, events, recent_events) = 0
        WHEN 'series' THEN num_nulls(bucket_start, bucket, event_type, events) = 0
            AND num_nonnulls(summary_key, recent_events, value) = 0
        WHEN 'class' THEN num_nulls(event_type, class_name, events) = 0
            AND num_nonnulls(summary_key, bucket_start, bucket, recent_events, value) = 0
        WHEN 'type' THEN num_nulls(event_type, events, recent_events) = 0
            AND num_nonnulls(summary_key, bucket_start, bucket, class_name, value) = 0
    END)
);
CREATE TRIGGER touch BEFORE UPDATE ON telemetry_aggregates FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE telemetry_aggregates IS 'What telemetry adds up to, as the application counts it: summaries, time series, counts by class and by type';
COMMENT ON COLUMN telemetry_aggregates.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN telemetry_aggregates.camera_id IS 'Camera that was counted';
COMMENT ON COLUMN telemetry_aggregates.kind IS 'summary: a JSON value under a key; series: events in a bucket of time; class: events of a class so far; type: events of a type so far';
COMMENT ON COLUMN telemetry_aggregates.summary_key IS 'Key of a summary, such as total; NULL in the other kinds';
COMMENT ON COLUMN telemetry_aggregates.bucket_start IS 'Start of the bucket of a series; NULL in the other kinds';
COMMENT ON COLUMN telemetry_aggregates.bucket IS 'Length of the bucket of a series; NULL in the other kinds';
COMMENT ON COLUMN telemetry_aggregates.event_type IS 'Type of the events counted, as in telemetry_events; NULL in a summary';
COMMENT ON COLUMN telemetry_aggregates.class_name IS 'Class of the objects counted; NULL in a series: all of them';
COMMENT ON COLUMN telemetry_aggregates.events IS 'Number of events; NULL in a summary';
COMMENT ON COLUMN telemetry_aggregates.recent_events IS 'Number of events of the last 24 h; only in kind type';
COMMENT ON COLUMN telemetry_aggregates.value IS 'Any JSON value of a summary, as the text that was written; NULL in the other kinds';
COMMENT ON COLUMN telemetry_aggregates.counted_at IS 'When the application last counted; NULL: not known';
COMMENT ON COLUMN telemetry_aggregates.recent_counted_at IS 'When recent_events was last counted; NULL: not known';
COMMENT ON COLUMN telemetry_aggregates.updated_at IS 'Row last changed, database clock';

CREATE TABLE dwell_times (
    tenant_id   text        NOT NULL CHECK (tenant_id <> ''),
    camera_id   text        NOT NULL CHECK (camera_id <> ''),
    track_id    text        NOT NULL,
    class_name  text        NOT NULL,
    first_seen  timestamptz NOT NULL,
    last_seen   timestamptz NOT NULL,
    detections  bigint      NOT NULL DEFAULT 1 CHECK (detections >= 0),
    dwell       interval    NOT NULL GENERATED ALWAYS AS (last_seen - first_seen) STORED,
    counted_at  timestamptz,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, camera_id, track_id, class_name)
);
CREATE INDEX dwell_times_by_time ON dwell_times USING brin (last_seen);
CREATE TRIGGER touch BEFORE UPDATE ON dwell_times FOR EACH ROW EXECUTE FUNCTION touch_updated_at();

COMMENT ON TABLE dwell_times IS 'How long each tracked object stayed in the picture';
COMMENT ON COLUMN dwell_times.tenant_id IS 'Owner; opaque';
COMMENT ON COLUMN dwell_times.camera_id IS 'Camera that saw it';
COMMENT ON COLUMN dwell_times.track_id IS 'Name of the track, given by the tracker of the camera';
COMMENT ON COLUMN dwell_times.class_name IS 'Class of the object';
COMMENT ON COLUMN dwell_times.first_seen IS 'First detection, milliseconds';
COMMENT ON COLUMN dwell_times.last_seen IS 'Last detection so far, milliseconds';
COMMENT ON COLUMN dwell_times.detections IS 'Number of detections';
COMMENT ON COLUMN dwell_times.dwell IS 'last_seen - first_seen; negative where a clock was set back in between';
COMMENT ON COLUMN dwell_times.counted_at IS 'When the application last counted; NULL: not known';
COMMENT ON COLUMN dwell_times.updated_at IS 'Row last changed, database clock';
COMMENT ON INDEX dwell_times_by_time IS 'What is old enough to go';
