-- option binary true
-- A stream started the wrong way: its values are binary.
CREATE TABLE t (id int PRIMARY KEY, note text);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO t VALUES (1, 'n');
