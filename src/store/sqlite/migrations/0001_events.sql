-- Each event once, at its position. `document` holds the bytes as they came; the other columns are taken from it, to sort
-- by. Times are milliseconds since 1970; `timestamp` is NULL in a stub, and `message` where it is too long to sort by.
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
    message   TEXT,
    document  BLOB    NOT NULL,
    UNIQUE (chain, sequence)
) STRICT;

-- The primary references of events to saved objects, in the order in which they are asked for. An event is here once for
-- each object. `namespace` is empty for the default space.
CREATE TABLE objects (
    namespace TEXT    NOT NULL,
    type      TEXT    NOT NULL,
    object    TEXT    NOT NULL,
    timestamp INTEGER NOT NULL,
    sequence  INTEGER NOT NULL,
    chain     BLOB    NOT NULL,
    event     INTEGER NOT NULL REFERENCES events (id),
    PRIMARY KEY (namespace, type, object, timestamp, sequence, chain)
) STRICT, WITHOUT ROWID;
