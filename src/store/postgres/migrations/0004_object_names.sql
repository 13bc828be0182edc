-- The names of objects; events of before have none.
ALTER TABLE objects ADD COLUMN name TEXT;
