-- Messages of up to 8,191 units are found as a whole, not only those of up to 1,024. The rows of before get theirs afterwards,
-- part by part, the newest first: those up to `last` have none yet. This table goes when all have.
CREATE TABLE without_long_message (last INTEGER) STRICT;
INSERT INTO without_long_message SELECT max(id) FROM events;
