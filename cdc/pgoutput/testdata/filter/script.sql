-- A row filter turns updates into inserts and deletes. An update that moves a row in does not log its large value: the
-- insert lacks it, and nobody sent it before. That stops the stream.
CREATE TABLE t (id int PRIMARY KEY, big text, note text);
ALTER TABLE t ALTER big SET STORAGE EXTERNAL;
CREATE TABLE by_full (id int PRIMARY KEY, big text, note text);
ALTER TABLE by_full ALTER big SET STORAGE EXTERNAL;
ALTER TABLE by_full REPLICA IDENTITY FULL;
CREATE PUBLICATION livedb FOR TABLE t WHERE (id > 10), by_full WHERE (id > 10);

-- record

INSERT INTO t VALUES (1, 'small', 'unseen'), (11, 'small', 'seen');

UPDATE t SET id = 12 WHERE id = 1;

UPDATE t SET id = 2 WHERE id = 11;

-- Under FULL the server takes it from the old row.
INSERT INTO by_full VALUES (3, repeat('x', 2100), 'unseen');

UPDATE by_full SET id = 13 WHERE id = 3;

INSERT INTO t VALUES (3, repeat('x', 2100), 'unseen');

UPDATE t SET id = 13 WHERE id = 3;
