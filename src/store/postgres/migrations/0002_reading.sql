-- A column for the id that clients know an event by, which was in `fields`.
ALTER TABLE events ADD COLUMN event_id text COLLATE "C";
UPDATE events SET event_id = fields ->> 'event.id' WHERE fields ? 'event.id';
CREATE INDEX events_by_event_id ON events (left(event_id, 200), timestamp, sequence, chain) WHERE event_id IS NOT NULL;
