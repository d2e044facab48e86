package workload

import (
	"fmt"
	"strings"
)

// changeKey changes keys of rows of one of the tables. The new key may be taken: then the statement does nothing.
func (p *planner) changeKey() []string {
	from, to := p.ids(p.stripe(), 1)[0], p.ids(p.number, 1)[0]
	switch p.IntN(6) {
	case 0:
		return []string{fmt.Sprintf("UPDATE plain SET id = %s, n = n + 1 WHERE id = %s AND NOT EXISTS (SELECT FROM plain WHERE id = %[1]s)", to, from)}
	case 1: // one of the two columns, of several rows; at times to and back
		statement := fmt.Sprintf("UPDATE pairs SET b = b || 'x' WHERE a BETWEEN %s AND %[1]s + 20 AND length(b) < 8", from)
		if p.IntN(2) == 0 {
			return []string{statement, fmt.Sprintf("UPDATE pairs SET b = left(b, -1) WHERE a BETWEEN %s AND %[1]s + 20 AND b LIKE '%%x'", from)}
		}
		return []string{statement}
	case 2:
		return []string{fmt.Sprintf(`UPDATE indexed SET code = 'code-%s' WHERE code = 'code-%s'
			AND NOT EXISTS (SELECT FROM indexed WHERE code = 'code-%[1]s')`, to, from)}
	case 3: // the large column is unchanged and not part of the identity
		return []string{
			fmt.Sprintf("INSERT INTO toasted_default VALUES (%s, 0, '%s') ON CONFLICT DO NOTHING", from, p.large(3000)),
			fmt.Sprintf("UPDATE toasted_default SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM toasted_default WHERE id = %[1]s)", to, from),
		}
	case 4: // a key stored out of line, unchanged and then changed
		end := fmt.Sprintf("-%d-%d", p.number, p.IntN(20))
		return []string{
			fmt.Sprintf("INSERT INTO toasted_key VALUES ('%s%s', 0)", p.large(2300), end),
			fmt.Sprintf("UPDATE toasted_key SET n = n + 1 WHERE code LIKE '%%%s'", end),
			fmt.Sprintf("UPDATE toasted_key SET code = 'k' || code WHERE code LIKE '%%%s' AND length(code) < 2320", end),
			"DELETE FROM toasted_key WHERE n > 3",
		}
	default:
		return []string{fmt.Sprintf("UPDATE general SET id = %s WHERE id = %s AND NOT EXISTS (SELECT FROM general WHERE id = %[1]s)", to, from)}
	}
}

// toast changes rows with large values, with or without touching these.
func (p *planner) toast(change bool) []string {
	id := p.ids(p.stripe(), 1)[0]
	size := 2100 + p.IntN(10_000)
	insert := []string{
		fmt.Sprintf("INSERT INTO toasted VALUES (%s, 0, '%s', decode('%s', 'hex'), ARRAY['%s', NULL]) ON CONFLICT DO NOTHING",
			id, p.large(size), p.large(6000), p.large(2500)),
		fmt.Sprintf("INSERT INTO toasted_default VALUES (%s, 0, '%s') ON CONFLICT DO NOTHING", id, p.large(size)),
	}
	if !change {
		return append(insert,
			fmt.Sprintf("UPDATE toasted SET n = n + 1 WHERE id BETWEEN %s AND %[1]s + 10", id),
			fmt.Sprintf("UPDATE toasted_default SET n = n + 1 WHERE id BETWEEN %s AND %[1]s + 10", id))
	}
	big := one(p.dice, "NULL", "'short'", "'"+p.large(size+1)+"'")
	statements := []string{
		fmt.Sprintf("UPDATE toasted SET n = n + 1, big = %s WHERE id = %s", big, id),
		fmt.Sprintf("UPDATE toasted_default SET n = n + 1, big = %s WHERE id = %s", big, id),
		fmt.Sprintf("UPDATE toasted SET blob = decode('%s', 'hex') WHERE id = %s", p.large(7000), id),
		fmt.Sprintf("DELETE FROM toasted WHERE id = %s", id),
		fmt.Sprintf("DELETE FROM toasted_default WHERE id = %s", id),
	}
	return append(insert, statements[:2+p.IntN(len(statements)-1)]...)
}

var regions = []string{"north", "south", "east", "elsewhere"}

// measure is one change of the partitioned table.
func (p *planner) measure(stripe int) string {
	ids := p.ids(stripe, p.size())
	switch p.IntN(3) {
	case 0:
		return fmt.Sprintf("UPDATE measured SET n = n + 1, note = %s WHERE id IN %s", p.note(), list(ids))
	case 1:
		return "DELETE FROM measured WHERE id IN " + list(ids)
	default:
		return "INSERT INTO measured (id, region, n, note) VALUES " + lines(ids, func(id string) string {
			return fmt.Sprintf("%s, '%s', %d, %s", id, one(p.dice, regions...), p.IntN(1000), p.note())
		}) + " ON CONFLICT DO NOTHING"
	}
}

// partitions changes the partitioned table, with or without a row that moves from one partition to another. A row that is
// already where it should go to stays as it is.
func (p *planner) partitions(move bool) []string {
	statements := []string{p.measure(p.stripe())}
	if move {
		id, from := p.ids(p.number, 1)[0], p.IntN(len(regions))
		to := regions[(from+1+p.IntN(len(regions)-1))%len(regions)]
		statements = append(statements,
			fmt.Sprintf("INSERT INTO measured (id, region, n, note) VALUES (%s, '%s', 0, %s) ON CONFLICT DO NOTHING", id, regions[from], p.note()),
			fmt.Sprintf(`UPDATE measured SET region = '%s' WHERE id = %s AND region = '%s'
				AND NOT EXISTS (SELECT FROM measured WHERE id = %[2]s AND region = '%[1]s')`, to, id, regions[from]))
	}
	return append(statements, p.measure(p.number))
}

// copies writes rows by COPY: Postgres puts as many of them into one WAL record as a page takes.
func (p *planner) copies() []step {
	var keyless, plain strings.Builder
	for range p.size() {
		fmt.Fprintf(&keyless, "%d\tcopied\n", p.IntN(20))
	}
	ids := p.ids(p.number, p.size())
	for _, id := range ids {
		fmt.Fprintf(&plain, "%s\t%d\t\\N\n", id, p.IntN(1000))
	}
	return []step{
		{sql: "COPY keyless FROM STDIN", copied: keyless.String()},
		{sql: "DELETE FROM plain WHERE id IN " + list(ids)},
		{sql: "COPY plain FROM STDIN", copied: plain.String()},
	}
}

// keyless changes the table without a key. Equal rows are common; some are changed and some stay.
func (p *planner) keyless() string {
	n := p.IntN(50)
	switch p.IntN(4) {
	case 0:
		return fmt.Sprintf("UPDATE keyless SET note = %s WHERE ctid IN (SELECT ctid FROM keyless WHERE n = %d LIMIT 2)", p.note(), n)
	case 1:
		return fmt.Sprintf("DELETE FROM keyless WHERE ctid IN (SELECT ctid FROM keyless WHERE n = %d LIMIT %d)", n, 1+p.IntN(50))
	default:
		return fmt.Sprintf("INSERT INTO keyless SELECT %d, %s FROM generate_series(1, %d)", n, one(p.dice, "NULL", "'equal'"), p.size())
	}
}

// ddl changes the shape of a table, with rows before and after. It ends by an update of every row: DDL makes no events,
// so only then does the stream alone tell what the table holds.
func (p *planner) ddl(t *plan) {
	t.begin = "BEGIN"
	table := fmt.Sprintf("changing_%d", p.IntN(changing))
	extra := fmt.Sprintf("extra_%d", p.IntN(6))
	rows := func() string {
		id := p.IntN(100)
		return fmt.Sprintf("INSERT INTO %s (id, n) SELECT id, %d FROM generate_series(%d, %d) AS id ON CONFLICT (id) DO UPDATE SET n = excluded.n",
			table, p.IntN(1000), id, id+1+p.IntN(5))
	}
	column := one(p.dice, "int DEFAULT 7", "text DEFAULT 'new'", "numeric NOT NULL DEFAULT 0.10", "timestamptz DEFAULT '2024-01-01'",
		"bigint DEFAULT (random() * 1000)::bigint") // the last one rewrites the table
	add := fmt.Sprintf("ALTER TABLE %s ADD COLUMN IF NOT EXISTS %s %s", table, extra, column)
	kind := one(p.dice, "bigint", "numeric", "text", "int")
	retype := fmt.Sprintf("ALTER TABLE %s ALTER COLUMN flexible TYPE %s USING coalesce(flexible::text, '%d')::%[2]s", table, kind, p.IntN(1000))

	t.add(rows())
	switch {
	case t.kind == AddColumn:
		t.add(add)
	case t.kind == DropColumn && p.drops > 0:
		p.drops--
		t.add(add, rows(), fmt.Sprintf("ALTER TABLE %s DROP COLUMN %s", table, extra))
	case t.kind == RenameColumn:
		// Which of the two names stands is up to what committed before.
		t.add(fmt.Sprintf(`DO $$ BEGIN ALTER TABLE %s RENAME COLUMN label TO renamed;
			EXCEPTION WHEN undefined_column THEN ALTER TABLE %[1]s RENAME COLUMN renamed TO label; END $$`, table))
	case t.kind == RolledBackDDL:
		t.drop("s", add, rows(), retype, rows())
		t.add(rows())
	default:
		t.kind = ChangeType
		t.add(retype)
	}
	t.add(rows(), fmt.Sprintf("UPDATE %s SET n = coalesce(n, 0) + 1", table))
}

// truncate empties tables, with rows before and after.
func (p *planner) truncate(t *plan) {
	rows := func() []string {
		return []string{
			fmt.Sprintf("INSERT INTO cleared_0 (n) SELECT n FROM generate_series(1, %d) AS n", p.size()),
			fmt.Sprintf("INSERT INTO cleared_1 (n) SELECT n FROM generate_series(1, %d) AS n", p.size()),
		}
	}
	t.begin = "BEGIN"
	t.add(rows()...)
	options := one(p.dice, "", " RESTART IDENTITY", " CASCADE")
	if t.kind == Truncate {
		t.add("TRUNCATE " + one(p.dice, "cleared_0", "cleared_1", "keyless") + options)
	} else {
		t.add("TRUNCATE " + one(p.dice, "cleared_0, cleared_1", "measured, cleared_1, cleared_0") + options)
	}
	if p.IntN(2) == 0 {
		t.add(rows()...)
	}
}

// message writes logical messages: outside of transactions, in those that are rolled back, alone and between rows.
func (p *planner) message(t *plan) {
	text := quote(fmt.Sprintf("content %x", p.Uint32()))
	if t.kind == MessageInTx {
		t.add(fmt.Sprintf("SELECT pg_logical_emit_message(true, 'workload', %s)", text))
		if p.IntN(2) == 0 {
			t.add(p.update(p.stripe()), fmt.Sprintf("SELECT pg_logical_emit_message(true, 'workload', %s)", text))
		}
		return
	}
	statement := fmt.Sprintf("SELECT pg_logical_emit_message(false, 'workload', %s)", text)
	switch p.IntN(3) {
	case 0:
		t.begin = ""
		t.add(statement)
	case 1:
		t.add(p.update(p.stripe()), statement)
		t.end = rollback
	default:
		t.add(p.update(p.stripe()), statement)
	}
}

// touchAdjacent changes one row of the table for commits that follow one another at once. Each writer has two rows.
func (p *planner) touchAdjacent(place int) string {
	return touchAdjacent(2*p.number+place, p.IntN(1000))
}

func touchAdjacent(id, n int) string {
	return fmt.Sprintf("INSERT INTO adjacent VALUES (%d, %d) ON CONFLICT (id) DO UPDATE SET n = excluded.n", id, n)
}
