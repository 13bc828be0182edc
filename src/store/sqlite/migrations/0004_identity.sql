-- The identity of the store: one row.
CREATE TABLE store (id BLOB NOT NULL) STRICT;
INSERT INTO store VALUES (randomblob(16));
