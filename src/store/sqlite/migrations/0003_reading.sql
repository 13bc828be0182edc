-- A column for the id that clients know an event by. The rows of before get theirs afterwards, part by part, the newest first:
-- those up to `last` have none yet. This table goes when all have.
ALTER TABLE events ADD COLUMN event_id TEXT;
CREATE TABLE without_event_id (last INTEGER) STRICT;
INSERT INTO without_event_id SELECT max(id) FROM events;

-- Ids of ours begin with the time, so that what is new comes at the end of this index.
CREATE INDEX events_by_event_id ON events (event_id) WHERE event_id IS NOT NULL;

-- What the last hours are counted and found by is in their index, so that no row of theirs is read.
DROP INDEX events_by_time;
CREATE INDEX events_by_time ON events (timestamp, sequence, chain, spaces, severity, level, outcome, action, user_name);
