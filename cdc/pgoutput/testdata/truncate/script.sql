-- One message per statement, with every published table that it emptied.
CREATE TABLE parent (id serial PRIMARY KEY);
CREATE TABLE child (id int PRIMARY KEY REFERENCES parent);
CREATE TABLE other (id int PRIMARY KEY);
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO parent VALUES (1);

TRUNCATE parent, child;

TRUNCATE parent CASCADE;

TRUNCATE other RESTART IDENTITY;

TRUNCATE parent, other RESTART IDENTITY CASCADE;

-- Rows before and after it in one transaction.
BEGIN;
INSERT INTO other VALUES (1);
TRUNCATE other;
INSERT INTO other VALUES (2);
COMMIT;
