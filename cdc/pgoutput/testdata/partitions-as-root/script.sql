-- Partitions, published as their root: one table, whichever partition a row is in.
CREATE TABLE readings (id int, region text, value int, PRIMARY KEY (id, region)) PARTITION BY LIST (region);
CREATE TABLE readings_north PARTITION OF readings FOR VALUES IN ('north');
CREATE TABLE readings_south (value int, region text NOT NULL, gone int, id int NOT NULL, PRIMARY KEY (id, region));
ALTER TABLE readings_south DROP COLUMN gone;
ALTER TABLE readings ATTACH PARTITION readings_south FOR VALUES IN ('south');
CREATE PUBLICATION livedb FOR TABLE readings WITH (publish_via_partition_root = true);

-- record

INSERT INTO readings VALUES (1, 'north', 10), (2, 'south', 20);

UPDATE readings SET value = value + 1;

-- The row moves.
UPDATE readings SET region = 'south' WHERE id = 1;

-- A partition that comes later.
CREATE TABLE readings_east PARTITION OF readings FOR VALUES IN ('east');
INSERT INTO readings VALUES (3, 'east', 30);

TRUNCATE readings_south;

TRUNCATE readings;
