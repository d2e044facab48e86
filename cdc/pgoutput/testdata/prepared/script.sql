-- The same with two_phase off: a prepared transaction comes whole, at its COMMIT PREPARED.
-- Needs max_prepared_transactions.
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

BEGIN;
INSERT INTO t VALUES (1);
PREPARE TRANSACTION 'livedb fixture';

INSERT INTO t VALUES (2);

COMMIT PREPARED 'livedb fixture';
