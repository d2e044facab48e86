package workload

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// plan is one transaction to be written.
type plan struct {
	kind   Kind
	begin  string // "" writes the steps without a transaction block
	steps  []step
	second []step // on another connection, whose COMMIT follows at once
	end    ending
	gid    string // of end prepare, without the workload's prefix
	away   bool   // in the noise database
}

// step is one statement.
type step struct {
	sql     string
	dropped bool // taken back by a ROLLBACK TO SAVEPOINT

	copied string // of a COPY FROM STDIN: its rows
}

// ending is how a transaction ends.
type ending int

const (
	commit ending = iota
	rollback
	prepare
	resolveByCommit // of somebody's prepared transaction; so the next
	resolveByRollback
)

// planner makes a writer's plans. It is pure: a seed, a number of the writer and a mix make one line of plans, whatever
// the database holds. So the statements name rows that may or may not exist.
type planner struct {
	dice
	cfg    Config
	number int // of the writer, from 0
	mix    []Kind
	deck   []Kind
	serial int // of what must not come twice: gids
	drops  int // of columns, still allowed
}

func newPlanner(cfg Config, number int, without map[Kind]string) *planner {
	p := &planner{dice: dice{rand.New(rand.NewPCG(cfg.Seed, uint64(number)))}, cfg: cfg, number: number}
	p.drops = changing * columnsPerTable / cfg.Writers
	for _, d := range deal {
		if without[d.kind] == "" && (d.kind != Big || number == 0) {
			p.mix = append(p.mix, slices.Repeat([]Kind{d.kind}, d.cards)...)
		}
	}
	return p
}

// next plans the next transaction of the mix.
func (p *planner) next() *plan {
	if len(p.deck) == 0 {
		p.deck = slices.Clone(p.mix)
		p.Shuffle(len(p.deck), func(i, j int) { p.deck[i], p.deck[j] = p.deck[j], p.deck[i] })
	}
	kind := p.deck[0]
	p.deck = p.deck[1:]
	return p.plan(kind)
}

// plan plans a transaction of a kind.
func (p *planner) plan(kind Kind) *plan {
	t := &plan{kind: kind, begin: "BEGIN"}
	if p.IntN(3) == 0 {
		t.begin = one(p.dice, "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE")
	}
	switch kind {
	case Insert:
		t.add(p.insert(p.stripe()))
	case Update:
		t.add(p.update(p.stripe()))
	case Delete:
		t.add(p.delete(p.stripe()))
	case KeyChange:
		t.add(p.changeKey()...)
	case ToastKept, ToastChanged:
		t.add(p.toast(kind == ToastChanged)...)
	case Savepoint:
		p.savepoints(t)
	case Rollback:
		t.add(p.several()...)
		t.end = rollback
	case Big:
		t.begin = "BEGIN"
		t.add(p.big())
	case Prepare:
		t.add(p.prepared()...)
		t.end, t.gid = prepare, fmt.Sprintf("%d-%d", p.number, p.serial)
		p.serial++
	case Resolve:
		t.begin, t.end = "", one(p.dice, resolveByCommit, resolveByCommit, resolveByRollback)
	case CrossTable:
		t.add(p.several()...)
	case Partition, PartitionMove:
		t.add(p.partitions(kind == PartitionMove)...)
	case NoKey:
		t.add(p.keyless())
	case Copy:
		t.steps = append(t.steps, p.copies()...)
	case AddColumn, DropColumn, RenameColumn, ChangeType, RolledBackDDL:
		p.ddl(t)
	case Truncate, TruncateMany:
		p.truncate(t)
	case Message, MessageInTx:
		p.message(t)
	case BackToBack:
		t.begin = "BEGIN"
		t.add(p.touchAdjacent(0))
		t.second = []step{{sql: p.touchAdjacent(1)}}
	case Noise, NoiseDatabase:
		t.add(p.noise())
		t.away = kind == NoiseDatabase
	}
	return t
}

func (t *plan) add(statements ...string) {
	for _, sql := range statements {
		t.steps = append(t.steps, step{sql: sql})
	}
}

// drop adds statements between a savepoint and the return to it.
func (t *plan) drop(name string, statements ...string) {
	t.add("SAVEPOINT " + name)
	for _, sql := range statements {
		t.steps = append(t.steps, step{sql: sql, dropped: true})
	}
	t.add("ROLLBACK TO SAVEPOINT " + name)
}

// fixed is the case whose outcome is known: 505 rows of 1005.
func (p *planner) fixed() *plan {
	t := &plan{kind: Fixed, begin: "BEGIN"}
	insert := func(first, last int) string {
		return fmt.Sprintf("INSERT INTO fixed SELECT %d, n, repeat(md5(n::text), 16) FROM generate_series(%d, %d) AS n", p.serial, first, last)
	}
	t.add(insert(1, 500))
	t.drop("s", insert(501, 1000))
	t.add(insert(1001, 1005))
	p.serial++
	return t
}

const (
	stripeSize = 500 // rows of a table that belong to one writer
	stripeStep = 1000
)

// stripe chooses whose rows to write to: mostly those of the writer, at times another's, so that writers meet.
func (p *planner) stripe() int {
	if p.IntN(8) == 0 {
		return p.IntN(p.cfg.Writers)
	}
	return p.number
}

// ids are n different ids of a stripe in ascending order, so that few writers deadlock.
func (p *planner) ids(stripe, n int) []string {
	chosen := p.Perm(stripeSize)[:n]
	slices.Sort(chosen)
	ids := make([]string, n)
	for i, id := range chosen {
		ids[i] = fmt.Sprint(stripe*stripeStep + id)
	}
	return ids
}

func list(values []string) string { return "(" + strings.Join(values, ", ") + ")" }

// lines writes a row for each id.
func lines(ids []string, row func(id string) string) string {
	rows := make([]string, len(ids))
	for i, id := range ids {
		rows[i] = "(" + row(id) + ")"
	}
	return strings.Join(rows, ", ")
}

// insert makes rows. One that exists already stays, so that the statement never fails.
func (p *planner) insert(stripe int) string {
	ids := p.ids(stripe, p.size())
	var table string
	var row func(id string) string
	switch p.IntN(5) {
	case 0:
		table, row = "plain", func(id string) string { return fmt.Sprintf("%s, %d, %s", id, p.IntN(1000), p.note()) }
	case 1:
		table, row = "indexed", func(id string) string { return fmt.Sprintf("%s, 'code-%s', %d", p.note(), id, p.IntN(1000)) }
	case 2:
		table, row = "pairs", func(id string) string { return fmt.Sprintf("%s, 'b%d', %d, %s", id, p.IntN(3), p.IntN(1000), p.note()) }
	default:
		table, row = "general", p.generalRow
	}
	return "INSERT INTO " + table + " VALUES " + lines(ids, row) + " ON CONFLICT DO NOTHING"
}

func (p *planner) generalRow(id string) string {
	values := []string{id, fmt.Sprint(p.IntN(1000)), p.note()}
	for _, s := range specials {
		values = append(values, p.value(s))
	}
	return strings.Join(values, ", ")
}

func (p *planner) update(stripe int) string {
	ids := p.ids(stripe, p.size())
	switch p.IntN(5) {
	case 0:
		return fmt.Sprintf("UPDATE plain SET n = n + 1, note = %s WHERE id IN %s", p.note(), list(ids))
	case 1:
		return fmt.Sprintf("UPDATE indexed SET n = n + 1, note = %s WHERE code IN ('code-%s')", p.note(), strings.Join(ids, "', 'code-"))
	case 2:
		return fmt.Sprintf("UPDATE pairs SET n = n + 1, note = %s WHERE a IN %s", p.note(), list(ids))
	default:
		changed := []string{"n = n + 1"}
		for range 1 + p.IntN(4) {
			s := specials[p.IntN(len(specials))]
			if !slices.ContainsFunc(changed, func(c string) bool { return strings.HasPrefix(c, quoteName(s.name)+" =") }) {
				changed = append(changed, quoteName(s.name)+" = "+p.value(s))
			}
		}
		return fmt.Sprintf("UPDATE general SET %s WHERE id IN %s", strings.Join(changed, ", "), list(ids))
	}
}

func (p *planner) delete(stripe int) string {
	ids := p.ids(stripe, p.size())
	switch p.IntN(5) {
	case 0:
		return "DELETE FROM plain WHERE id IN " + list(ids)
	case 1:
		return fmt.Sprintf("DELETE FROM indexed WHERE code IN ('code-%s')", strings.Join(ids, "', 'code-"))
	case 2:
		return "DELETE FROM pairs WHERE a IN " + list(ids)
	default:
		return "DELETE FROM general WHERE id IN " + list(ids)
	}
}

// several are 2 to 5 changes of several tables.
func (p *planner) several() []string {
	var statements []string
	for range 2 + p.IntN(4) {
		stripe := p.stripe()
		statements = append(statements, one(p.dice, p.insert, p.update, p.delete, p.measure)(stripe))
	}
	return statements
}

// savepoints takes some of the changes back, at times in a savepoint within one that is kept.
func (p *planner) savepoints(t *plan) {
	t.add(p.several()...)
	if p.IntN(2) == 0 {
		t.add("SAVEPOINT outside")
		t.add(p.insert(p.number))
		t.drop("inside", p.several()...)
		t.add(p.update(p.number), "RELEASE SAVEPOINT outside")
	}
	for range 1 + p.IntN(2) {
		t.drop("s", p.several()...)
		t.add(p.several()...)
	}
}

// big writes all rows of its table at once, or deletes them.
func (p *planner) big() string {
	if p.IntN(3) == 0 {
		return "DELETE FROM bulk"
	}
	return fmt.Sprintf("INSERT INTO bulk SELECT id, %d, md5(id::text) FROM generate_series(1, %d) AS id ON CONFLICT (id) DO UPDATE SET n = excluded.n",
		p.IntN(1000), p.cfg.Big)
}

// prepared changes rows that no other kind touches, for they stay locked until somebody resolves it.
func (p *planner) prepared() []string {
	id := (p.cfg.Writers+p.number)*stripeStep + p.serial%stripeStep
	return []string{
		fmt.Sprintf("INSERT INTO plain VALUES (%d, %d, %s) ON CONFLICT (id) DO UPDATE SET n = excluded.n", id, p.IntN(1000), p.note()),
		fmt.Sprintf("INSERT INTO pairs VALUES (%d, 'prepared', %d, %s) ON CONFLICT (a, b) DO UPDATE SET n = excluded.n", id, p.IntN(1000), p.note()),
		fmt.Sprintf("UPDATE plain SET note = %s WHERE id = %d", p.note(), id),
	}
}

// noise is what the stream never shows. The table does not grow for ever.
func (p *planner) noise() string {
	if p.IntN(8) == 0 {
		return "DELETE FROM noise WHERE id < (SELECT max(id) - 1000 FROM noise)"
	}
	return fmt.Sprintf("INSERT INTO noise (n, note) SELECT n, %s FROM generate_series(1, %d) AS n", p.note(), p.size())
}
