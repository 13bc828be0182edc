-- A column for the id that clients know an event by, which was in `fields`.
ALTER TABLE events ADD COLUMN event_id text COLLATE "C";
UPDATE events SET event_id = fields ->> 'event.id' WHERE fields ? 'event.id';
CREATE INDEX events_by_event_id ON events (left(event_id, 200), timestamp, sequence, chain) WHERE event_id IS NOT NULL;

-- The last hours are counted and found by severity, which has few values and all of them short, from their index alone.
DROP INDEX events_by_time;
CREATE INDEX events_by_time ON events (timestamp, sequence, chain) INCLUDE (id, severity);

-- An index alone is enough only for pages of the table that were vacuumed since they were written. By default a fifth of the
-- table has to be new before they are: days of it.
ALTER TABLE events SET (autovacuum_vacuum_insert_scale_factor = 0.01, autovacuum_vacuum_insert_threshold = 10000);
