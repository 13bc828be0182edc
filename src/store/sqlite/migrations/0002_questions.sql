-- Columns for what is asked for most often, a table of all references, and an index of the words of messages. The rows of
-- the table of before are moved from `events_1` afterwards, part by part; it goes when it is empty.
DROP TABLE objects;
ALTER TABLE events RENAME TO events_1;

-- Each event once, at its position. `document` holds the bytes as they came; the other columns are taken from it. Times are
-- milliseconds since 1970; `timestamp` is NULL in a stub. A text that is too long to be found as a whole is NULL. In texts
-- U+0000 is written as U+0001 U+0001, and U+0001 as U+0001 U+0002. `spaces` has a comma before and after each space, `words`
-- a blank before and after each word of the message.
CREATE TABLE events (
    id        INTEGER PRIMARY KEY,
    chain     BLOB    NOT NULL,
    sequence  INTEGER NOT NULL,
    received  INTEGER NOT NULL,
    timestamp INTEGER,
    started   INTEGER,
    ended     INTEGER,
    duration  INTEGER,
    provider  TEXT,
    action    TEXT,
    outcome   TEXT,
    severity  TEXT,
    level     TEXT,
    user_id   TEXT,
    user_name TEXT,
    spaces    TEXT,
    message   TEXT,
    words     TEXT,
    document  BLOB    NOT NULL,
    UNIQUE (chain, sequence)
) STRICT;

-- The last hours, of a tenant or by severity; pages by time; counts of what is visible.
CREATE INDEX events_by_time ON events (timestamp, sequence, chain, spaces, severity);
-- What was done, and by whom. A provider is too common to be worth an index.
CREATE INDEX events_by_action ON events (action, timestamp, sequence, chain);
CREATE INDEX events_by_user_id ON events (user_id, timestamp, sequence, chain) WHERE user_id IS NOT NULL;
CREATE INDEX events_by_user_name ON events (user_name, timestamp, sequence, chain) WHERE user_name IS NOT NULL;

-- The references of events to saved objects. `found_in` is the space in which the event is found by this one: empty for the
-- default space, NULL if it is no primary one or says the same as one before it.
CREATE TABLE objects (
    event          INTEGER NOT NULL REFERENCES events (id),
    ordinal        INTEGER NOT NULL,
    found_in       TEXT,
    rel            TEXT,
    namespace      TEXT,
    type           TEXT,
    object         TEXT,
    type_id        TEXT,
    space_agnostic INTEGER,
    timestamp      INTEGER,
    sequence       INTEGER NOT NULL,
    chain          BLOB    NOT NULL,
    PRIMARY KEY (event, ordinal)
) STRICT, WITHOUT ROWID;

-- In the order in which an object's events are asked for.
CREATE INDEX objects_by_object ON objects (object, type, found_in, timestamp, sequence, chain);

-- Which words are in which message; in which order they are is seen from `events.words`. Blanks alone part words. Each
-- append enters its own at its end.
CREATE VIRTUAL TABLE message_words USING fts5 (
    words, content = 'events', content_rowid = 'id', detail = 'none', columnsize = 0,
    tokenize = 'ascii tokenchars ''!"#$%&''''()*+,-./:;<=>?@[\]^_`{|}~'''
);
