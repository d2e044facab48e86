-- Types that are not built in are named ahead; a domain is named by its base type. Values are text.
CREATE TYPE mood AS ENUM ('calm', 'wild');
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE DOMAIN temper AS mood;
CREATE TYPE pair AS (left_part int, right_part text);
CREATE SCHEMA "odd schema";
CREATE TYPE "odd schema"."odd.type" AS ENUM ('ö');
CREATE TABLE "odd schema"."odd ""table""" (
    id positive PRIMARY KEY, m mood, t temper, ms mood[], ps positive[], p pair, o "odd schema"."odd.type",
    s information_schema.sql_identifier, "UPPER ü" numeric(12, 2), v varchar(20), a int[], b bytea, j jsonb, d date, f float8,
    n numeric, z timestamptz, i interval, u uuid, l bit(3));
CREATE TABLE no_columns ();
CREATE PUBLICATION livedb FOR ALL TABLES;

-- record

INSERT INTO "odd schema"."odd ""table""" VALUES
    (1, 'wild', 'calm', '{calm,wild}', '{1,2}', '(1,"a b")', 'ö',
    'name', 12.5, 'tab	and
newline', '[2:3]={7,8}', '\x00ff', '{"a": 1}', '4713-01-01 BC', 0.1::float8 + 0.2::float8,
    'NaN', '2026-11-22 11:05:01.123456+02', '1 day 02:03:04', '00000000-0000-0000-0000-000000000001', B'101'),
    (2, NULL, NULL, '{}', '{NULL}', '(,)', NULL,
    '', 0, '', '{}', '', 'null', 'infinity', '-0', 1e40, '-infinity', '0', NULL, B'000');

INSERT INTO no_columns DEFAULT VALUES;

-- A new type for a table that is known already.
CREATE TYPE size AS ENUM ('S', 'M');
ALTER TABLE no_columns ADD COLUMN size size DEFAULT 'S';
INSERT INTO no_columns DEFAULT VALUES;
