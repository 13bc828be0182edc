-- What the joined words of a message are found by; too many are in `events_with_many_words` in its place.
CREATE FUNCTION word_set (words text) RETURNS tsvector
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    AS $$ SELECT CASE WHEN octet_length(words) <= 1000000
                      THEN array_to_tsvector(string_to_array(btrim(words, ' '), ' ')) END $$;

-- Each event once, at its position. `document` holds the bytes as they came; the other columns are taken from it. Times are
-- milliseconds since 1970; `timestamp` is NULL in a stub. A text that is too long to be found as a whole is NULL. In texts
-- U+0000 is written as U+0001 U+0001, and U+0001 as U+0001 U+0002. `spaces` has a comma before and after each space, `words`
-- a blank before and after each word of the message. `fields` has what is found in all other fields.
CREATE TABLE events (
    id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    chain     bytea  NOT NULL,
    sequence  bigint NOT NULL,
    received  bigint NOT NULL,
    timestamp bigint,
    started   bigint,
    ended     bigint,
    duration  bigint,
    provider  text COLLATE "C",
    action    text COLLATE "C",
    outcome   text COLLATE "C",
    severity  text COLLATE "C",
    level     text COLLATE "C",
    user_id   text COLLATE "C",
    user_name text COLLATE "C",
    spaces    text COLLATE "C",
    message   text COLLATE "C",
    words     text COLLATE "C",
    fields    jsonb  NOT NULL,
    document  bytea  NOT NULL,
    UNIQUE (chain, sequence)
);

-- An entry of an index has to be shorter than 2.7 kB, so that texts are in it by their first 200 characters.
CREATE INDEX events_by_time ON events (timestamp, sequence, chain);
CREATE INDEX events_by_action ON events (left(action, 200), timestamp, sequence, chain);
CREATE INDEX events_by_user_id ON events (left(user_id, 200), timestamp, sequence, chain) WHERE user_id IS NOT NULL;
CREATE INDEX events_by_user_name ON events (left(user_name, 200), timestamp, sequence, chain) WHERE user_name IS NOT NULL;
CREATE INDEX events_by_words ON events USING gin (word_set(words));
CREATE INDEX events_with_many_words ON events (id) WHERE octet_length(words) > 1000000;

-- The references of events to saved objects. `found_in` is the space in which the event is found by this one: empty for the
-- default space, NULL if it is no primary one or says the same as one before it.
CREATE TABLE objects (
    event          bigint  NOT NULL REFERENCES events (id) ON DELETE CASCADE,
    ordinal        integer NOT NULL,
    found_in       text COLLATE "C",
    rel            text COLLATE "C",
    namespace      text COLLATE "C",
    type           text COLLATE "C",
    object         text COLLATE "C",
    type_id        text COLLATE "C",
    space_agnostic bigint,
    timestamp      bigint,
    sequence       bigint  NOT NULL,
    chain          bytea   NOT NULL,
    PRIMARY KEY (event, ordinal)
);

-- In the order in which an object's events are asked for.
CREATE INDEX objects_by_object
    ON objects (left(object, 200), left(type, 200), left(found_in, 200), timestamp, sequence, chain);
