-- A session that replays another server's changes: its transactions carry an ORIGIN.
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION livedb FOR ALL TABLES;
SELECT pg_replication_origin_create('livedb_elsewhere');

-- record

SELECT pg_replication_origin_session_setup('livedb_elsewhere');

BEGIN;
SELECT pg_replication_origin_xact_setup('0/ABCD', '2026-11-22 11:05:01+00');
INSERT INTO t VALUES (1);
COMMIT;

SELECT pg_replication_origin_session_reset();
SELECT pg_replication_origin_drop('livedb_elsewhere');

INSERT INTO t VALUES (2);
