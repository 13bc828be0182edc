-- The identity of the store: one row.
CREATE TABLE store (id uuid NOT NULL);
INSERT INTO store VALUES (gen_random_uuid());
