package debezium

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
)

// Part is what a Setting is of.
type Part string

// The parts, as Connect's standalone mode has them.
const (
	Java      Part = "java"      // flags of the virtual machine
	Worker    Part = "worker"    // Connect's properties
	Connector Part = "connector" // Debezium's properties, and its producer's
)

// Setting is one that Debezium runs with. All others have their defaults.
type Setting struct {
	Part        Part
	Name, Value string // a flag of Java has no value
	Why         string
}

// String is the setting as it would be written, behind its part.
func (s Setting) String() string {
	if s.Part == Java {
		return string(s.Part) + " " + s.Name
	}
	return string(s.Part) + " " + s.Name + "=" + s.Value
}

const (
	isLoad  = "the load's"
	isNeed  = "must be set"
	isAlike = "LiveDB's events have no schema either; with schemas, the default, each is several times as large"
	isShell = "as Kafka's connect-standalone.sh has it"
)

// Settings are those that Debezium runs with, by part. What is of the load stands in angle brackets.
func Settings(tuned bool) []Setting {
	c := Config{Brokers: []string{"<brokers>"}, Slot: "<slot>", Publication: "<publication>", Table: "<schema.table>", Prefix: "<prefix>", Tuned: tuned}
	names := []string{"hostname", "port", "user", "password", "dbname", "sslmode", "sslrootcert"}
	var of []Setting
	for _, name := range names {
		of = append(of, Setting{Connector, "database." + name, "<" + name + ">", isLoad})
	}
	return settings(c, of, "<folder>")
}

// settings are all of a run, by part. What it keeps is in dir.
func settings(c Config, database []Setting, dir string) []Setting {
	all := []Setting{
		{Worker, "bootstrap.servers", strings.Join(c.Brokers, ","), isLoad},
		{Worker, "key.converter", jsonConverter, "as LiveDB writes"},
		{Worker, "key.converter.schemas.enable", "false", isAlike},
		{Worker, "value.converter", jsonConverter, "as LiveDB writes"},
		{Worker, "value.converter.schemas.enable", "false", isAlike},
		{Worker, "offset.storage.file.filename", dir + "/offsets", isNeed},
		{Worker, "listeners", "http://127.0.0.1:0", "any free port of loopback, not 8083 of all addresses"},
		{Worker, "plugin.discovery", "service_load", "a faster start, which is not measured"},

		{Connector, "name", "debezium", isNeed},
		{Connector, "connector.class", "io.debezium.connector.postgresql.PostgresConnector", isNeed},
		{Connector, "plugin.name", "pgoutput", "the slot's; the default is a plugin that Postgres does not have"},
		{Connector, "slot.name", c.Slot, isLoad},
		{Connector, "publication.name", c.Publication, isLoad},
		{Connector, "publication.autocreate.mode", "disabled", "the publication exists"},
		{Connector, "snapshot.mode", "no_data", "what the slot holds is measured, not a copy of the tables"},
		{Connector, "table.include.list", c.Table, isLoad},
		{Connector, "tombstones.on.delete", "false", "a count of its records is then one of events; LiveDB does write tombstones"},
		{Connector, "topic.prefix", c.Prefix, isLoad},
	}
	all = append(all, database...)
	if c.Tuned {
		all = append(all, tuned...)
	} else {
		all = append(all, untuned...)
	}
	order := []Part{Java, Worker, Connector}
	slices.SortStableFunc(all, func(a, b Setting) int {
		return cmp.Compare(slices.Index(order, a.Part), slices.Index(order, b.Part))
	})
	return all
}

const jsonConverter = "org.apache.kafka.connect.json.JsonConverter"

// untuned are what a Connect started by Kafka's own scripts has and a virtual machine has not.
var untuned = []Setting{
	{Java, "-Xms256M", "", isShell},
	{Java, "-Xmx2G", "", isShell},
	{Java, "-server", "", isShell},
	{Java, "-XX:+UseG1GC", "", isShell},
	{Java, "-XX:MaxGCPauseMillis=20", "", isShell},
	{Java, "-XX:InitiatingHeapOccupancyPercent=35", "", isShell},
	{Java, "-XX:+ExplicitGCInvokesConcurrent", "", isShell},
	{Java, "-Djava.awt.headless=true", "", isShell},
}

var tuned = []Setting{
	{Java, "-Xms2G", "", "the heap is there from the start, and holds the larger queue"},
	{Java, "-Xmx2G", "", isShell},
	{Java, "-XX:+UseParallelGC", "", "Java's collector for throughput: long pauses do no harm here"},
	{Java, "-Djava.awt.headless=true", "", isShell},

	{Connector, "max.batch.size", "20480", "Debezium: events to a batch, 2048 by default; ten times as many to a poll"},
	{Connector, "max.queue.size", "81920", "Debezium: always larger than max.batch.size, 8192 by default; its reader seldom waits for the producer"},
	{Connector, "schema.refresh.mode", "columns_diff_exclude_unchanged_toast", "Debezium: significantly faster where updates leave large values as they are"},
	{Connector, "extended.headers.enabled", "false", "Debezium: no headers of its context on each record, on by default"},
	{Connector, "statistics.metrics.enabled", "false", "Debezium: no statistics of each event, on by default"},
	{Connector, "producer.override.acks", "all", "Connect's default, here to be seen: as LiveDB"},
	{Connector, "producer.override.enable.idempotence", "true", "Kafka: order and no duplicates with several requests in flight; Connect turns it off"},
	{Connector, "producer.override.max.in.flight.requests.per.connection", "5", "Kafka: the most that idempotence allows; Connect sets 1"},
	{Connector, "producer.override.linger.ms", "20", "Kafka: fuller batches under load, 5 by default"},
	{Connector, "producer.override.batch.size", "262144", "Kafka: larger batches mean fewer requests and better compression, 16384 by default"},
	{Connector, "producer.override.buffer.memory", "67108864", "Kafka: room for the larger batches, 33554432 by default"},
	{Connector, "producer.override.compression.type", "lz4", "Kafka: whole batches are compressed; none by default"},
}

// flags are Java's.
func flags(all []Setting) []string {
	var flags []string
	for _, s := range all {
		if s.Part == Java {
			flags = append(flags, s.Name)
		}
	}
	return flags
}

// properties writes the settings of the part as a properties file, which Java reads as Latin 1.
func properties(all []Setting, part Part) string {
	var b strings.Builder
	for _, s := range all {
		if s.Part != part {
			continue
		}
		b.WriteString(s.Name + "=")
		for i, r := range s.Value {
			switch {
			case r == '\\', r == ' ' && i == 0:
				b.WriteString(`\` + string(r))
			case r < ' ' || r > '~':
				for _, unit := range utf16.Encode([]rune{r}) {
					fmt.Fprintf(&b, `\u%04x`, unit)
				}
			default:
				b.WriteRune(r)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
