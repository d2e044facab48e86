-- 500 rows, 500 that roll back, 5 more; the memory is so small that the server spills. Exactly 505 come.
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION livedb FOR ALL TABLES;
SET logical_decoding_work_mem = '64kB';

-- record

BEGIN;
INSERT INTO t SELECT generate_series(1, 500);
SAVEPOINT s;
INSERT INTO t SELECT generate_series(501, 1000);
ROLLBACK TO s;
INSERT INTO t SELECT generate_series(1001, 1005);
COMMIT;
