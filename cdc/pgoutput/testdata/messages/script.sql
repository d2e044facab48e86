-- option messages true
-- Messages of pg_logical_emit_message. Those outside a transaction come at once, and from a rollback too.
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

SELECT pg_logical_emit_message(true, 'app', 'alone in its transaction');

BEGIN;
INSERT INTO t VALUES (1);
SELECT pg_logical_emit_message(false, 'app', 'not of this transaction');
SELECT pg_logical_emit_message(true, 'app', 'between two rows');
INSERT INTO t VALUES (2);
COMMIT;

BEGIN;
SELECT pg_logical_emit_message(true, 'app', 'rolled back');
SELECT pg_logical_emit_message(false, '', '\x00ff'::bytea);
ROLLBACK;

INSERT INTO t VALUES (3);
