-- What the server logs of a row's earlier state, under each replica identity.
CREATE TABLE by_default (id int PRIMARY KEY, code text NOT NULL, note text);
CREATE TABLE by_index (id int PRIMARY KEY, code text NOT NULL, note text);
CREATE UNIQUE INDEX by_index_code ON by_index (code);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
CREATE TABLE by_full (id int PRIMARY KEY, code text NOT NULL, note text);
ALTER TABLE by_full REPLICA IDENTITY FULL;
CREATE TABLE by_nothing (id int PRIMARY KEY, code text NOT NULL, note text);
ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
CREATE TABLE no_key (id int, code text, note text);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO by_default VALUES (1, 'a', 'n');
INSERT INTO by_index VALUES (1, 'a', 'n');
INSERT INTO by_full VALUES (1, 'a', 'n');
INSERT INTO by_nothing VALUES (1, 'a', 'n');
INSERT INTO no_key VALUES (1, 'a', NULL), (NULL, '', 'n');

-- Columns outside the identity: nothing of the old row, but all of it under FULL.
UPDATE by_default SET code = 'b', note = NULL;
UPDATE by_index SET id = 2, note = NULL;
UPDATE by_full SET note = NULL;

-- The identity itself.
UPDATE by_default SET id = 3;
UPDATE by_index SET code = 'c';
UPDATE by_full SET id = 3, code = 'c';

-- Set to what it was: not a key change.
UPDATE by_default SET id = id;

DELETE FROM by_default;
DELETE FROM by_index;
DELETE FROM by_full;

-- The identity changes: the table is described again.
ALTER TABLE by_default REPLICA IDENTITY FULL;
INSERT INTO by_default VALUES (4, 'd', 'n');
DELETE FROM by_default;
