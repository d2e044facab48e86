-- slot two_phase
-- A slot on which a client once asked for two_phase: prepared transactions come as such, in proto_version 1 too.
-- Needs max_prepared_transactions.
CREATE TABLE t (id int PRIMARY KEY);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO t VALUES (1);

BEGIN;
INSERT INTO t VALUES (2);
PREPARE TRANSACTION 'livedb fixture';

COMMIT PREPARED 'livedb fixture';
