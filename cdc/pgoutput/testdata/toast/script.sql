-- Large values that an update does not touch are not logged. External storage keeps them large.
CREATE TABLE by_default (id int PRIMARY KEY, big text, note text);
ALTER TABLE by_default ALTER big SET STORAGE EXTERNAL;
CREATE TABLE by_full (id int PRIMARY KEY, big text, note text);
ALTER TABLE by_full ALTER big SET STORAGE EXTERNAL;
ALTER TABLE by_full REPLICA IDENTITY FULL;
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO by_default VALUES (1, repeat('x', 2100), 'n');
INSERT INTO by_full VALUES (1, repeat('x', 2100), 'n');

UPDATE by_default SET note = 'm';
UPDATE by_full SET note = 'm';

-- A key change does not log it either.
UPDATE by_default SET id = 2;
UPDATE by_full SET id = 2;

-- Touched, though it stays the same.
UPDATE by_default SET big = big || '';

UPDATE by_default SET big = 'small';
UPDATE by_full SET big = NULL;
DELETE FROM by_default;
DELETE FROM by_full;
