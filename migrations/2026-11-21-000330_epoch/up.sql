-- Which history of the installation this is: another one from when a backup was restored. What devices have of another
-- history may never have happened in this one, though its numbers exist.
--
-- origin: the cluster, its timeline and the database that it was served from last. Where it is served from another one, a
-- backup was restored, or a stand-by promoted.
CREATE TABLE installation (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    epoch   uuid NOT NULL DEFAULT gen_random_uuid(),
    origin  text
);
INSERT INTO installation DEFAULT VALUES;
