package envelope

// OIDs of the types of pg_catalog that are not written as plain text, or not always. They are the same in every
// Postgres.
const (
	boolOID        = 16
	byteaOID       = 17
	int8OID        = 20
	int2OID        = 21
	int4OID        = 23
	oidOID         = 26
	pointOID       = 600
	boxOID         = 603
	float4OID      = 700
	float8OID      = 701
	moneyOID       = 790
	dateOID        = 1082
	timeOID        = 1083
	timestampOID   = 1114
	timestamptzOID = 1184
	intervalOID    = 1186
	timetzOID      = 1266
	bitOID         = 1560
	varbitOID      = 1562
	numericOID     = 1700
	uuidOID        = 2950
)

// builtin describes a type of pg_catalog: its name for error texts, and the OID of its arrays.
type builtin struct {
	oid, array uint32
	name       string
}

// builtins are the types that a table's column can have. SELECT oid, typarray, format_type(oid, NULL) FROM pg_type.
var builtins = []builtin{
	{boolOID, 1000, "boolean"},
	{byteaOID, 1001, "bytea"},
	{18, 1002, `"char"`},
	{19, 1003, "name"},
	{int8OID, 1016, "bigint"},
	{int2OID, 1005, "smallint"},
	{22, 1006, "int2vector"},
	{int4OID, 1007, "integer"},
	{24, 1008, "regproc"},
	{25, 1009, "text"},
	{oidOID, 1028, "oid"},
	{27, 1010, "tid"},
	{28, 1011, "xid"},
	{29, 1012, "cid"},
	{30, 1013, "oidvector"},
	{114, 199, "json"},
	{142, 143, "xml"},
	{pointOID, 1017, "point"},
	{601, 1018, "lseg"},
	{602, 1019, "path"},
	{boxOID, 1020, "box"},
	{604, 1027, "polygon"},
	{628, 629, "line"},
	{650, 651, "cidr"},
	{float4OID, 1021, "real"},
	{float8OID, 1022, "double precision"},
	{718, 719, "circle"},
	{774, 775, "macaddr8"},
	{moneyOID, 791, "money"},
	{829, 1040, "macaddr"},
	{869, 1041, "inet"},
	{1033, 1034, "aclitem"},
	{1042, 1014, "character"},
	{1043, 1015, "character varying"},
	{dateOID, 1182, "date"},
	{timeOID, 1183, "time without time zone"},
	{timestampOID, 1115, "timestamp without time zone"},
	{timestamptzOID, 1185, "timestamp with time zone"},
	{intervalOID, 1187, "interval"},
	{timetzOID, 1270, "time with time zone"},
	{bitOID, 1561, "bit"},
	{varbitOID, 1563, "bit varying"},
	{numericOID, 1231, "numeric"},
	{1790, 2201, "refcursor"},
	{2202, 2207, "regprocedure"},
	{2203, 2208, "regoper"},
	{2204, 2209, "regoperator"},
	{2205, 2210, "regclass"},
	{2206, 2211, "regtype"},
	{uuidOID, 2951, "uuid"},
	{2970, 2949, "txid_snapshot"},
	{3220, 3221, "pg_lsn"},
	{3614, 3643, "tsvector"},
	{3615, 3645, "tsquery"},
	{3734, 3735, "regconfig"},
	{3769, 3770, "regdictionary"},
	{3802, 3807, "jsonb"},
	{3904, 3905, "int4range"},
	{3906, 3907, "numrange"},
	{3908, 3909, "tsrange"},
	{3910, 3911, "tstzrange"},
	{3912, 3913, "daterange"},
	{3926, 3927, "int8range"},
	{4072, 4073, "jsonpath"},
	{4089, 4090, "regnamespace"},
	{4096, 4097, "regrole"},
	{4191, 4192, "regcollation"},
	{4451, 6150, "int4multirange"},
	{4532, 6151, "nummultirange"},
	{4533, 6152, "tsmultirange"},
	{4534, 6153, "tstzmultirange"},
	{4535, 6155, "datemultirange"},
	{4536, 6157, "int8multirange"},
	{5038, 5039, "pg_snapshot"},
	{5069, 271, "xid8"},
}

// builtinNames and builtinElements find a type's name, and the type of an array's elements.
var builtinNames, builtinElements = func() (map[uint32]string, map[uint32]uint32) {
	names, elements := make(map[uint32]string), make(map[uint32]uint32)
	for _, b := range builtins {
		names[b.oid], names[b.array] = b.name, b.name+"[]"
		elements[b.array] = b.oid
	}
	return names, elements
}()
