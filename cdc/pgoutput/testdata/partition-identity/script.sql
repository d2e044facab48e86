-- A trap: the partitions are published as their root, and the root's identity is not theirs. The old rows are marked as
-- full by the root's identity, but hold what the partition logs: their nulls mean nothing, and nothing tells so.
CREATE TABLE readings (id int, region text, value int NOT NULL, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE readings_north PARTITION OF readings FOR VALUES IN ('north');
CREATE PUBLICATION livedb FOR TABLE readings WITH (publish_via_partition_root = true);

-- record

INSERT INTO readings VALUES (1, 'north', 10), (2, 'north', 20);

-- A trap again: the root is not described anew, so its description still says "default" ...
ALTER TABLE readings REPLICA IDENTITY FULL;
UPDATE readings SET value = 11 WHERE id = 1;
DELETE FROM readings WHERE id = 1;

-- ... and its name is the former one.
ALTER TABLE readings RENAME TO measurements;
INSERT INTO measurements VALUES (3, 'north', 30);

-- A change of the partition brings both up to date.
ALTER TABLE readings_north REPLICA IDENTITY FULL;
DELETE FROM measurements WHERE id = 2;
