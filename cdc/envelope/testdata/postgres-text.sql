-- Makes postgres-text.txt: Postgres's own text of every kind of value, under the session settings that LiveDB forces
-- on its connections. Run it on an empty database of a cluster made with --locale=C:
--
--   psql -qAtX -f postgres-text.sql > postgres-text.txt
--
-- The line of "server" tells the version. Lines of "type" describe the types outside pg_catalog: OID, name, base, element, modifier, delimiter.
-- Lines of "value" are: type as declared, OID, atttypmod, type name, literal, the server's text, and what the server
-- itself says the JSON is where it has a function for that (\N where it has none).

SET DateStyle = 'ISO, YMD';
SET TimeZone = 'UTC';
SET IntervalStyle = 'postgres';
SET extra_float_digits = 1;
SET bytea_output = 'hex';
SET client_encoding = 'UTF8';
SET lc_monetary = 'C';
SET client_min_messages = 'warning';

CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'so so', 'happy "!"');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN price AS numeric(10,2);
CREATE DOMAIN net_price AS price;
CREATE DOMAIN instant AS timestamptz(3);
CREATE DOMAIN switch AS bit(1);
CREATE DOMAIN path_of_ints AS int[];
CREATE DOMAIN attributes AS hstore;

CREATE TABLE sample (id serial, type text, literal text);

INSERT INTO sample (type, literal) VALUES
('smallint', '-32768'), ('integer', '2147483647'), ('bigint', '-9223372036854775808'), ('bigint', '0'), ('oid', '4000000000'),
('real', '1.1'), ('real', '3.4e38'), ('real', '-0'), ('real', 'NaN'), ('real', 'Infinity'), ('real', '-Infinity'), ('real', '1e-45'),
('double precision', '0.30000000000000004'), ('double precision', '1e20'), ('double precision', '1e-7'), ('double precision', '-1.7976931348623157e308'),
('double precision', '5e-324'), ('double precision', '-0'), ('double precision', 'NaN'), ('double precision', 'Infinity'), ('double precision', '-Infinity'),
('numeric(5,2)', '199.99'), ('numeric(5,2)', '-199.99'), ('numeric(5,2)', '0'), ('numeric(6,4)', '22.22'), ('numeric', '123.4500'), ('numeric', '1e-10'),
('numeric', '1e40'), ('numeric', '-0.5'), ('numeric', 'NaN'), ('numeric', 'Infinity'), ('numeric', '-Infinity'), ('numeric(5,2)', 'NaN'),
('numeric(3,-2)', '12345'), ('numeric', '123456789012345678901234567890.123456789012345678901234567890'),
('money', '1234.11'), ('money', '-1234.11'), ('money', '($1234.11)'), ('money', '0'), ('money', '-0.05'), ('money', '1234567.89'),
('money', '92233720368547758.07'), ('money', '-92233720368547758.08'),
('boolean', 'true'), ('boolean', 'false'),
('bit', '1'), ('bit(1)', '0'), ('bit(2)', '11'), ('bit(7)', '1000000'), ('bit(8)', '00000000'), ('bit(9)', '100000001'),
('bit(64)', '1000000000000000000000000000000000000000000000000000000000000000'),
('varbit(1)', '1'), ('varbit(2)', '00'), ('varbit(24)', '000000110000001000000001'), ('varbit', '101'), ('varbit', ''),
('varbit', '111011010001000110000001000000001'),
('text', ''), ('text', 'plain'), ('text', E'quote " backslash \\ slash / tab \t newline \n return \r bell \u0007 unit \u001f del \u007f'),
('text', 'grüß dich, 世界 🙂'), ('text', E'line separator \u2028 paragraph \u2029'), ('text', '<b>&amp;</b>'), ('text', 'NULL'),
('character(5)', 'ab'), ('character varying(5)', 'ab   '), ('name', 'a name'), ('"char"', 'x'), ('citext', 'CaSe'), ('ltree', 'top.science.stars'),
('uuid', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'), ('inet', '192.168.100.128/25'), ('inet', '2001:4f8:3:ba::1'), ('cidr', '192.168.1.0/24'),
('macaddr', '08-00-2b-01-02-03'), ('macaddr8', '08:00:2b:01:02:03:04:05'), ('xml', '<a b="c">d</a>'), ('tsvector', 'a fat cat''s:3A'), ('tsquery', 'fat & rat'),
('json', '{"b":1,  "a": [1, 2.50], "b": "x\u0041"}'), ('jsonb', '{"b":1,  "a": [1, 2.50], "b": "x\u0041 \"q\""}'), ('jsonb', '1e400'), ('jsonpath', '$."a"[*] ? (@ > 1)'),
('bytea', '\x010203'), ('bytea', '\x'), ('bytea', '\xdeadbeef'), ('bytea', '\x00ff'), ('bytea', '\xfbff7e'), ('bytea', 'plain \\ escape \000'),
('date', '2016-11-04'), ('date', '1969-12-31'), ('date', 'infinity'), ('date', '-infinity'), ('date', '4714-11-24 BC'), ('date', '0001-12-31 BC'), ('date', '0001-01-01'),
('date', '5874897-12-31'), ('date', '2000-02-29'), ('date', '10000-01-01'), ('date', '0044-03-15 BC'),
('time', '13:51:30.123456'), ('time(3)', '13:51:30.123'), ('time(3)', '13:51:30.1'), ('time(6)', '13:51:30.123456'), ('time', '24:00:00'), ('time', '00:00:00'), ('time(0)', '23:59:59.9'),
('timetz', '11:51:30.123789Z'), ('timetz', '13:51:30.123789+02'), ('timetz', '00:00:00+15:59'), ('timetz', '23:59:59.5-15:59:59'), ('timetz', '24:00:00Z'),
('timetz', '24:00:00+02'), ('timetz(3)', '13:51:30.12+05:30'), ('timetz', '00:15:00+05:30:15'),
('timestamp', '2016-11-04 13:51:30.123456'), ('timestamp(6)', '2016-11-04 13:51:30.123456'), ('timestamp(3)', '2016-11-04 13:51:30.123'), ('timestamp(3)', '2016-11-04 13:51:30'),
('timestamp(0)', '2016-11-04 13:51:30.9'), ('timestamp', '2018-06-20 15:13:16.945104'), ('timestamp', '2016-11-04 13:51:30'), ('timestamp', '2016-11-04 13:51:30.5'),
('timestamp', 'infinity'), ('timestamp', '-infinity'), ('timestamp(3)', 'infinity'), ('timestamp', '294276-12-31 23:59:59.999999'), ('timestamp', '4714-11-24 00:00:00 BC'),
('timestamp', '0001-12-31 23:59:59 BC'), ('timestamp', '21016-11-04 13:51:30.123456'), ('timestamp', '0099-01-01 00:00:00'),
('timestamptz', '2016-11-04 13:51:30.123456+02'), ('timestamptz(3)', '2016-11-04 13:51:30.12+02'), ('timestamptz(0)', '2016-11-04 13:51:30.12+02'), ('timestamptz', 'infinity'),
('timestamptz', '-infinity'), ('timestamptz', '21016-11-04 13:51:30.123456+07'), ('timestamptz', '4714-11-24 00:00:00+00 BC'), ('timestamptz', '294276-12-31 23:59:59.999999+00'),
('timestamptz', '1900-01-01 00:00:00+05:30:15'), ('timestamptz', '1970-01-01 00:00:00+00'),
('interval', '1 year 2 mons 3 days 04:05:06.78'), ('interval', '0'), ('interval', '1 mon'), ('interval', '-1 mon'), ('interval', '14 mons'), ('interval', '-14 mons'),
('interval', '1 day'), ('interval', '-1 day'), ('interval', '2 days -00:00:01'), ('interval', '-1 year -2 mons +3 days -04:05:06'), ('interval', '1 year -1 day'),
('interval', '1 mon -1 day +00:00:00.000001'), ('interval', '-00:00:00.000001'), ('interval', '-00:00:59.5'), ('interval', '00:01'), ('interval', '100:00:00'),
('interval', '-00:05:00'), ('interval', '2562047788:00:54.775807'), ('interval', '178000000 years'), ('interval', '-178000000 years'), ('interval(3)', '1.23456 s'),
('interval day to second', '3 days 04:05:06'), ('interval year to month', '1-2'), ('interval', '-1 year +1 mon'), ('interval', '1 day 00:00:00.1'),
('int4range', '[1,5]'), ('int4range', 'empty'), ('tsrange', '["2019-03-31 15:30:00",infinity)'), ('numrange', '(,1.5]'), ('daterange', '[2020-01-01,2020-02-01)'), ('int4multirange', '{[1,3),[5,8)}'),
('point', '(1.5,-2)'), ('point', '(1e300,-0)'), ('point', '(NaN,Infinity)'), ('box', '((0,0),(1,1))'), ('lseg', '((0,0),(1,1))'), ('circle', '<(10,20),10>'), ('polygon', '((0,0),(0,1),(1,1))'),
('pg_lsn', '16/B374D848'), ('xid', '123'), ('xid8', '12345678901'), ('regclass', 'pg_type'), ('int2vector', '1 2 3'), ('pg_snapshot', '10:20:10,14'), ('tid', '(1,2)'),
('hstore', ''), ('hstore', 'a=>1, b=>NULL'), ('hstore', '"a \"quoted\" key"=>"back\\slash", "ü"=>"NULL", ""=>""'), ('hstore', E'"tab\there"=>"line\nbreak", "x=>y"=>"1,2"'),
('mood', 'so so'), ('mood', 'happy "!"'), ('pair', '(1,"a ""b"" c")'), ('price', '12.5'), ('net_price', '12'), ('instant', '2016-11-04 13:51:30.1234+02'), ('switch', '1'),
('path_of_ints', '{1,2}'), ('attributes', 'k=>v'),
('smallint[]', '{1,-2,NULL}'), ('integer[]', '{}'), ('integer[]', '{{1,2},{3,4}}'), ('integer[]', '[2:3]={7,8}'), ('integer[]', '[-1:0][5:6]={{1,2},{3,4}}'), ('integer[]', '{{{1},{2}},{{3},{NULL}}}'),
('bigint[]', '{9223372036854775807}'), ('oid[]', '{4000000000}'), ('real[]', '{1.5,NaN,Infinity,-Infinity,NULL}'), ('double precision[]', '{1e20,-0,NaN}'),
('numeric[]', '{199.99,NaN,1.10}'), ('numeric(5,2)[]', '{1.1,NULL}'), ('money[]', '{1234.11,-5,"($1234567.89)"}'), ('boolean[]', '{t,f,NULL}'),
('bit(2)[]', '{11,01}'), ('bit(1)[]', '{1,0}'), ('varbit[]', '{101,""}'), ('bytea[]', '{"\\x010203","\\x",NULL}'),
('text[]', '{a,"",NULL,"NULL","null"," sp ace ","comma, and {braces}","quote \" and backslash \\"}'), ('text[]', E'{"tab\t","line\nbreak",ü🙂}'), ('text[]', '{{a,b},{"c d",NULL}}'),
('character(3)[]', '{a,abc}'), ('character varying(3)[]', '{a,abc}'), ('name[]', '{a,b}'), ('citext[]', '{Ab,"c d"}'), ('uuid[]', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}'),
('inet[]', '{10.0.0.1,::1}'), ('json[]', '{"{\"a\": \"b c\"}","1",NULL}'), ('jsonb[]', '{"{\"a\": [1, \"x\\\"y\"]}","null",NULL}'), ('xml[]', '{"<a b=\"c\"/>"}'),
('date[]', '{2016-11-04,infinity,"4714-11-24 BC"}'), ('time[]', '{13:51:30.5,24:00:00}'), ('timetz[]', '{13:51:30.5+02}'), ('timestamp[]', '{"2016-11-04 13:51:30.5",infinity}'),
('timestamp(3)[]', '{"2016-11-04 13:51:30.5"}'), ('timestamptz[]', '{"2016-11-04 13:51:30+02",NULL}'), ('interval[]', '{"1 year -1 day",0,NULL,04:05:06}'),
('point[]', '{"(1,2)","(3.5,-4)"}'), ('box[]', '{(1,1),(0,0);(2,2),(1,1)}'), ('int4range[]', '{"[1,5)",empty}'), ('hstore[]', '{"a=>1, b=>\"x y\"","",NULL}'), ('hstore[]', '{"\"q\\\"\"=>\"\\\\\\\\\""}'),
('mood[]', '{sad,"so so","happy \"!\""}'), ('pair[]', '{"(1,\"a b\")",NULL}'), ('price[]', '{1,2.5}'), ('instant[]', '{"2016-11-04 13:51:30.1234+02"}'), ('path_of_ints[]', '{"{1,2}","{3,NULL}",NULL}');

-- The expression over v that yields, by the server's own functions, the JSON that LiveDB should write.
CREATE TABLE oracle (type text, expr text);
INSERT INTO oracle VALUES
('smallint', 'to_json(v)::text'), ('integer', 'to_json(v)::text'), ('bigint', 'to_json(v)::text'), ('oid', 'v::text'),
('real', 'to_json(v)::text'), ('double precision', 'to_json(v)::text'), ('numeric', 'to_json(v::text)::text'), ('money', 'to_json(v::numeric::text)::text'), ('boolean', 'to_json(v)::text'),
('text', 'to_json(v)::text'), ('character', 'to_json(v)::text'), ('character varying', 'to_json(v)::text'), ('uuid', 'to_json(v)::text'), ('inet', 'to_json(v)::text'),
('json', 'to_json(v::text)::text'), ('jsonb', 'to_json(v::text)::text'),
('bytea', 'to_json(translate(encode(v, ''base64''), E''\n'', ''''))::text'),
('interval', 'to_json(v)::text'), ('hstore', 'to_json(v::json::text)::text'),
('integer[]', 'to_json(v)::text'), ('smallint[]', 'to_json(v)::text'), ('bigint[]', 'to_json(v)::text'), ('real[]', 'to_json(v)::text'), ('double precision[]', 'to_json(v)::text'),
('boolean[]', 'to_json(v)::text'), ('text[]', 'to_json(v)::text'), ('character[]', 'to_json(v)::text'), ('character varying[]', 'to_json(v)::text'), ('uuid[]', 'to_json(v)::text'), ('inet[]', 'to_json(v)::text'),
('numeric[]', 'to_json(v::text[])::text'), ('json[]', 'to_json(v::text[])::text'), ('jsonb[]', 'to_json(v::text[])::text'), ('mood[]', 'to_json(v)::text'), ('mood', 'to_json(v)::text'),
('date', 'case when isfinite(v) and v between ''0001-01-01'' and ''9999-12-31'' then to_json(v)::text end'),
('timestamp without time zone', 'case when isfinite(v) and v between ''0001-01-01'' and ''9999-12-31'' then to_json(to_char(v, ''YYYY-MM-DD"T"HH24:MI:SS.US''))::text end'),
('timestamp with time zone', 'case when isfinite(v) and v between ''0001-01-01'' and ''9999-12-31'' then to_json(to_char(v, ''YYYY-MM-DD"T"HH24:MI:SS.US"Z"''))::text end'),
('timestamp(3) without time zone', 'case when isfinite(v) then to_json(to_char(v, ''YYYY-MM-DD"T"HH24:MI:SS.MS''))::text end'),
('timestamp(3) with time zone', 'case when isfinite(v) then to_json(to_char(v, ''YYYY-MM-DD"T"HH24:MI:SS.MS"Z"''))::text end'),
('time with time zone', 'case when v::text not like ''24%'' then to_json(rtrim(rtrim(to_char((date ''2000-01-01'' + v) at time zone ''UTC'', ''HH24:MI:SS.US''), ''0''), ''.'') || ''Z'')::text end');

CREATE FUNCTION record(type text, literal text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  oid oid; modifier int; name text; declared text; printed text; expr text; says text;
BEGIN
  EXECUTE format('CREATE TEMP TABLE one (v %s)', type);
  EXECUTE format('INSERT INTO one VALUES (%L)', literal);
  SELECT a.atttypid, a.atttypmod, n.nspname || '.' || t.typname, format_type(a.atttypid, a.atttypmod) INTO oid, modifier, name, declared
    FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace n ON n.oid = t.typnamespace
    WHERE a.attrelid = 'one'::regclass AND a.attnum = 1;
  -- format's %s is the type's output function, which is what pgoutput sends; a cast to text is not, for boolean and char(n).
  SELECT format('%s', v) INTO printed FROM one;
  SELECT o.expr INTO expr FROM oracle o
    WHERE o.type IN (declared, format_type(oid, NULL)) ORDER BY o.type <> declared LIMIT 1;
  IF expr IS NOT NULL AND declared NOT LIKE 'timestamp(0)%' THEN
    SET LOCAL IntervalStyle = 'iso_8601';
    EXECUTE format('SELECT %s FROM one', expr) INTO says;
    SET LOCAL IntervalStyle = 'postgres';
  END IF;
  DROP TABLE one;
  RETURN concat_ws(chr(1), 'value', declared, oid::text, modifier::text, name, literal, printed, coalesce(says, chr(2)));
END $$;

COPY (SELECT 'server', version()) TO STDOUT;

COPY (
  SELECT 'type', t.oid, n.nspname || '.' || t.typname, t.typbasetype,
         CASE WHEN t.typcategory = 'A' AND t.typbasetype = 0 THEN t.typelem ELSE 0 END, t.typtypmod, t.typdelim
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE n.nspname = 'public' AND t.typtype IN ('b', 'd', 'e', 'c') AND (t.typrelid = 0 OR t.typname = 'pair')
    AND t.typname NOT IN ('_sample', '_oracle') ORDER BY t.oid
) TO STDOUT;

COPY (
  SELECT f[1], f[2], f[3], f[4], f[5], f[6], f[7], nullif(f[8], chr(2))
  FROM (SELECT id, string_to_array(record(type, literal), chr(1)) AS f FROM sample) r ORDER BY id
) TO STDOUT;
