package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/livedb/livedb/cdc/envelope"
	"github.com/livedb/livedb/cdc/postgres"
	"github.com/livedb/livedb/internal/capture"
)

func quoteTable(name string) string {
	schema, table, _ := strings.Cut(name, ".")
	return pgx.Identifier{schema, table}.Sanitize()
}

func fullSQL(t *table) string {
	return fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL;", t.quoted())
}

// publicationRules judge the publication, or the one that the start would make.
func (f *facts) publicationRules() (all []Finding) {
	c := f.c.Stream.Source
	object := "publication " + c.Publication
	for _, name := range c.Tables {
		if !strings.Contains(name, ".") {
			all = append(all, found("table_malformed", "table "+name, fmt.Sprintf("the table %q has no schema", name), "write it as schema.table"))
		}
	}
	if f.publication == nil {
		return append(all, f.wantedRules(object)...)
	}
	held := map[string]bool{}
	for _, t := range f.publication.Tables {
		held[t.Schema+"."+t.Name] = true
	}
	for _, name := range c.Tables {
		if strings.Contains(name, ".") && !held[name] {
			all = append(all, found("table_not_published", "table "+name, fmt.Sprintf("the publication %s does not hold the table %s", c.Publication, name), "add it, or name another publication with --publication").
				with(fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s;", ident(c.Publication), quoteTable(name))))
		}
	}
	if len(held) == 0 && len(c.Tables) == 0 {
		finding := found("publication_empty", object, fmt.Sprintf("the publication %s holds no table, so there is nothing to stream", c.Publication), "add the tables that are to be streamed")
		if len(f.candidates) > 0 && !f.flags.AllTables {
			finding = finding.with(fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s;", ident(c.Publication), strings.Join(f.candidates, ", ")))
		}
		all = append(all, finding)
	}
	return append(all, f.publicationOptions(object)...)
}

// wantedRules judge whether the start could make the publication.
func (f *facts) wantedRules(object string) (all []Finding) {
	c := f.c.Stream.Source
	if f.begun() {
		return nil // publication_missing, among the stream's rules
	}
	for _, name := range c.Tables {
		if strings.Contains(name, ".") && !slices.ContainsFunc(f.tables, func(t table) bool { return t.String() == name }) {
			all = append(all, found("table_missing", "table "+name, "the source has no table "+name, "create it, or correct --tables"))
		}
	}
	foreign := slices.ContainsFunc(f.tables, func(t table) bool { return !t.Owned })
	s := f.server
	if len(all) > 0 || s.Superuser || s.MayCreate && len(c.Tables) > 0 && !foreign || f.neon && len(c.Tables) == 0 {
		return all // on Neon a role of the console may publish all tables
	}
	why := "a publication of all tables takes a superuser"
	if len(c.Tables) > 0 {
		why = "it takes the right to create in the database, and to own the tables"
	}
	return append(all, found("publication_refused", object, fmt.Sprintf("there is no publication %s and the role %s may not make it: %s", c.Publication, s.User, why),
		"run the SQL as an administrator, or name the tables you own with --tables").with(postgres.CreatePublicationSQL(c)+";"))
}

// publicationOptions judge how the publication was made. What would change a stream that has begun is told, and no SQL for it
// is given: the start refuses an altered publication.
func (f *facts) publicationOptions(object string) (all []Finding) {
	name := f.c.Stream.Source.Publication
	alter := func(finding Finding, option string) Finding {
		if f.begun() {
			finding.Remedy = "begin the next stream with a publication that has it; this one must stay as it is"
			return finding.as(Info)
		}
		return finding.with(fmt.Sprintf("ALTER PUBLICATION %s SET (%s);", ident(name), option))
	}
	if p := f.flags; !p.Insert || !p.Update || !p.Delete || !p.Truncate {
		all = append(all, alter(found("publication_partial", object, fmt.Sprintf("the publication %s leaves out some of insert, update, delete and truncate, so these changes never arrive", name),
			"have it publish all of them"), "publish = 'insert, update, delete, truncate'"))
	}
	if !f.flags.ViaRoot && slices.ContainsFunc(f.tables, func(t table) bool { return t.IsPartition }) {
		all = append(all, alter(found("publish_via_root_not_set", object, fmt.Sprintf("the publication %s publishes partitions as tables of their own, each with its own topic", name),
			"have it publish them as the table that they are parts of"), "publish_via_partition_root = true"))
	}
	return all
}

// tableRules judge each table that is published, or would be.
func (f *facts) tableRules() (all []Finding) {
	changes := f.publication == nil || f.flags.Update || f.flags.Delete
	for i := range f.tables {
		t := &f.tables[i]
		object := "table " + t.String()
		if !t.Readable {
			all = append(all, found("select_denied", object, fmt.Sprintf("the role %s may not read the table %s, so its rows can be neither audited nor read for a snapshot", f.server.User, t), "run the SQL as an administrator").
				with(fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s;\nGRANT SELECT ON TABLE %s TO %s;", ident(t.Schema), ident(f.server.User), t.quoted(), ident(f.server.User))))
		}
		if changes {
			all = append(all, identityRules(t)...)
		}
		if len(t.Key) == 0 && t.Identity != "i" {
			finding := found("table_without_key", object, fmt.Sprintf("the table %s has no primary key: its events have no key, and all go to partition 0", t), "give it a primary key before the stream begins")
			if len(t.Unique) > 0 {
				var columns []string
				for _, column := range t.Unique {
					columns = append(columns, ident(column))
				}
				finding = finding.with(fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (%s);", t.quoted(), strings.Join(columns, ", ")))
			}
			all = append(all, finding)
		}
	}
	if changes && (f.publication == nil || f.flags.ViaRoot) {
		all = append(all, f.leafRules()...)
	}
	return append(all, f.topicNames()...)
}

// identityRules judge what UPDATE and DELETE of a table carry.
func identityRules(t *table) []Finding {
	object := "table " + t.String()
	switch {
	case t.full():
		return nil
	case !t.HasIdentity && t.Kind == "r":
		return []Finding{found("no_replica_identity", object, fmt.Sprintf("the table %s has no replica identity, so publishing it makes the application's UPDATE and DELETE fail", t),
			"run the SQL, give it a primary key, or leave it out with --tables").with(fullSQL(t))}
	case len(t.Wide) > 0:
		return []Finding{found("toast_columns_without_full", object, fmt.Sprintf("updates of the table %s will lack the columns %s where they are large and unchanged, and never tell what the row was before", t, names(t.Wide)),
			"run the SQL").with(fullSQL(t))}
	default:
		return []Finding{found("replica_identity_not_full", object, fmt.Sprintf("updates and deletes of the table %s do not tell what the row was before, which views need", t), "run the SQL").with(fullSQL(t))}
	}
}

// leafRules judge partitions that are published as their root: they are written with their own identity.
func (f *facts) leafRules() (all []Finding) {
	for i := range f.leaves {
		leaf := &f.leaves[i]
		at := slices.IndexFunc(f.tables, func(t table) bool { return t.OID == leaf.Root })
		if at < 0 {
			continue
		}
		root := &f.tables[at]
		object := "table " + leaf.String()
		switch {
		case !leaf.HasIdentity:
			all = append(all, found("no_replica_identity", object, fmt.Sprintf("the partition %s has no replica identity, so publishing %s makes the application's UPDATE and DELETE fail", leaf, root),
				"run the SQL, or give it a primary key").with(fullSQL(leaf)))
		case leaf.Identity != root.Identity, !leaf.full() && !slices.Equal(leaf.Key, root.Key):
			all = append(all, found("partition_identity_differs", object, fmt.Sprintf("the partition %s has another replica identity than %s, as which it is published: its changes tell another part of the row", leaf, root),
				"run the SQL").with(fullSQL(root)+"\n"+fullSQL(leaf)))
		}
	}
	return all
}

// names writes columns for people.
func names(columns []string) string {
	if len(columns) > 5 {
		return strings.Join(columns[:5], ", ") + fmt.Sprintf(" and %d more", len(columns)-5)
	}
	return strings.Join(columns, ", ")
}

// topicNames judge the names of the tables' topics.
func (f *facts) topicNames() (all []Finding) {
	c := f.c.Stream
	topics := envelope.Topics(c.Prefix)
	owner := map[string]string{}
	for i := range f.tables {
		t := &f.tables[i]
		leave := func(finding Finding) Finding {
			if f.publication != nil && !f.flags.AllTables && !f.begun() {
				finding = finding.with(fmt.Sprintf("ALTER PUBLICATION %s DROP TABLE %s;", ident(c.Source.Publication), t.quoted()))
			}
			return finding
		}
		topic, err := topics.Table(t.Schema, t.Name)
		if err != nil {
			all = append(all, leave(found("topic_name_too_long", "table "+t.String(), err.Error(), "leave the table out of the publication")))
			continue
		}
		if other, taken := owner[capture.Alike(topic)]; taken {
			all = append(all, leave(found("topic_shared", "table "+t.String(), fmt.Sprintf("the tables %s and %s would share the topic %s", other, t, topic), "rename one of them, or leave it out of the publication")))
			continue
		}
		owner[capture.Alike(topic)] = t.String()
	}
	return all
}
