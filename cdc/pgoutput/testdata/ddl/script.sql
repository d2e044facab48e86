-- DDL within a transaction: each row is described as it was when it was written.
CREATE TABLE t (id int PRIMARY KEY, a text, b int);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO t VALUES (1, 'a', 1);

BEGIN;
INSERT INTO t VALUES (2, 'before', 2);
ALTER TABLE t ADD COLUMN c text DEFAULT 'added';
INSERT INTO t VALUES (3, 'added c', 3);
ALTER TABLE t DROP COLUMN b;
INSERT INTO t VALUES (4, 'dropped b', 'c');
ALTER TABLE t RENAME COLUMN a TO z;
INSERT INTO t VALUES (5, 'renamed a', 'c');
ALTER TABLE t ALTER COLUMN c TYPE varchar(30);
INSERT INTO t VALUES (6, 'wider', 'c');
ALTER TABLE t ALTER COLUMN c DROP DEFAULT, ALTER COLUMN c TYPE int USING 7;
UPDATE t SET z = 'rewritten' WHERE id = 1;
ALTER TABLE t RENAME TO s;
INSERT INTO s VALUES (7, 'another name', 8);
COMMIT;

-- DDL that rolled back was never there.
BEGIN;
ALTER TABLE s ADD COLUMN never text;
INSERT INTO s VALUES (8, 'never', 8, 'never');
ROLLBACK;

INSERT INTO s VALUES (9, 'after', 9);

-- Dropped and created: another OID.
DROP TABLE s;
CREATE TABLE s (id int PRIMARY KEY);
INSERT INTO s VALUES (1);

CREATE TABLE made AS SELECT 1 AS one;
