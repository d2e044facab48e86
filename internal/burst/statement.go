package burst

import (
	"fmt"
	"strings"

	"github.com/livedb/livedb/internal/burst/ledger"
)

// statement is SQL that changes many rows in one round trip and answers, for each of its parts, how many rows it changed
// and the sum of their hashes. Rows that another session has locked are skipped, so that no two writers wait for each
// other: what the ledger counts is what was changed, not what was asked for.
type statement struct {
	name  string
	sql   string
	parts []part // in the order of the answer's first column
}

// part is a common table expression that changes one table in one way and returns the row hash as h.
type part struct {
	cte   string
	table ledger.Table
	kind  ledger.Kind
}

func newStatement(name, ctes string, parts ...part) *statement {
	answers := make([]string, len(parts))
	for i, p := range parts {
		// Halves, because the sum of bigints is a numeric.
		answers[i] = fmt.Sprintf("SELECT %d, count(*), coalesce(sum(h & 4294967295), 0)::bigint, coalesce(sum(h >> 32), 0)::bigint FROM %s", i, p.cte)
	}
	return &statement{name: name, sql: "WITH " + ctes + "\n" + strings.Join(answers, "\nUNION ALL "), parts: parts}
}

var (
	// $1 id, $2 name, $3 email, $4 country, $5 balance in cents, $6 profile, each an array; $7 the time.
	insertCustomers = newStatement("livedb_insert_customers", `n AS (
	INSERT INTO customers AS n (id, name, email, country, balance, profile, signed_up_at)
	SELECT v.id, v.name, v.email, v.country, v.cents * 0.01, v.profile::jsonb, $7
	FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::text[]) AS v (id, name, email, country, cents, profile)
	RETURNING `+ledger.RowHash(ledger.Inserted, ledger.Customers, "n")+` AS h)`,
		part{"n", ledger.Customers, ledger.Inserted})

	// Orders: $1 id, $2 customer, $3 total in cents, $4 note, $5 details, $6 reference, each an array; $7 the time.
	// Their items: $8 order, $9 line, $10 sku, $11 quantity, $12 price in cents, each an array.
	insertOrders = newStatement("livedb_insert_orders", `o AS (
	INSERT INTO orders AS n (id, customer_id, total, note, details, reference, created_at)
	SELECT v.id, v.customer, v.cents * 0.01, v.note, v.details::jsonb, v.reference, $7
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[], $6::uuid[]) AS v (id, customer, cents, note, details, reference)
	RETURNING `+ledger.RowHash(ledger.Inserted, ledger.Orders, "n")+` AS h
), i AS (
	INSERT INTO order_items AS n (order_id, line, sku, quantity, price)
	SELECT v.order_id, v.line, v.sku, v.quantity, v.cents * 0.01
	FROM unnest($8::bigint[], $9::smallint[], $10::text[], $11::integer[], $12::bigint[]) AS v (order_id, line, sku, quantity, cents)
	RETURNING `+ledger.RowHash(ledger.Inserted, ledger.Items, "n")+` AS h)`,
		part{"o", ledger.Orders, ledger.Inserted}, part{"i", ledger.Items, ledger.Inserted})

	// $1 id, $2 status, $3 note or null, $4 what to lay over the details or null, each an array.
	moveOrders = newStatement("livedb_move_orders", `v AS (
	SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS v (id, status, note, patch)
), o AS (
	SELECT * FROM orders WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED
), n AS (
	UPDATE orders AS n SET status = v.status::order_status, note = coalesce(v.note, n.note),
		details = coalesce(n.details || v.patch::jsonb, n.details)
	FROM o JOIN v ON v.id = o.id WHERE n.id = o.id
	RETURNING `+ledger.RowHash(ledger.Updated, ledger.Orders, "o", "n")+` AS h)`,
		part{"n", ledger.Orders, ledger.Updated})

	// $1 order, $2 how many more of its first item, each an array. The order is locked first, its item then, as all do.
	changeItems = newStatement("livedb_change_items", `v AS (
	SELECT * FROM unnest($1::bigint[], $2::integer[]) AS v (id, more)
), oo AS (
	SELECT * FROM orders WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED
), oi AS (
	SELECT i.* FROM order_items AS i JOIN oo ON i.order_id = oo.id WHERE i.line = 1 FOR NO KEY UPDATE OF i
), i AS (
	UPDATE order_items AS n SET quantity = least(greatest(n.quantity + v.more, 1), 99)
	FROM oi JOIN v ON v.id = oi.order_id WHERE n.order_id = oi.order_id AND n.line = oi.line
	RETURNING n.order_id, (n.quantity - oi.quantity) * n.price AS more, `+ledger.RowHash(ledger.Updated, ledger.Items, "oi", "n")+` AS h
), o AS (
	UPDATE orders AS n SET total = n.total + i.more
	FROM oo JOIN i ON i.order_id = oo.id WHERE n.id = oo.id
	RETURNING `+ledger.RowHash(ledger.Updated, ledger.Orders, "oo", "n")+` AS h)`,
		part{"i", ledger.Items, ledger.Updated}, part{"o", ledger.Orders, ledger.Updated})

	// $1 id, $2 change of the balance in cents, $3 what to lay over the profile, each an array.
	changeCustomers = newStatement("livedb_change_customers", `v AS (
	SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS v (id, cents, patch)
), o AS (
	SELECT * FROM customers WHERE id = ANY ($1) FOR NO KEY UPDATE SKIP LOCKED
), n AS (
	UPDATE customers AS n SET balance = n.balance + v.cents * 0.01, profile = n.profile || v.patch::jsonb, active = v.cents >= 0
	FROM o JOIN v ON v.id = o.id WHERE n.id = o.id
	RETURNING `+ledger.RowHash(ledger.Updated, ledger.Customers, "o", "n")+` AS h)`,
		part{"n", ledger.Customers, ledger.Updated})

	// $1 ids.
	deleteOrders = newStatement("livedb_delete_orders", `v AS (
	SELECT id FROM orders WHERE id = ANY ($1::bigint[]) FOR UPDATE SKIP LOCKED
), i AS (
	DELETE FROM order_items AS o USING v WHERE o.order_id = v.id RETURNING `+ledger.RowHash(ledger.Deleted, ledger.Items, "o")+` AS h
), o AS (
	DELETE FROM orders AS o USING v WHERE o.id = v.id RETURNING `+ledger.RowHash(ledger.Deleted, ledger.Orders, "o")+` AS h)`,
		part{"i", ledger.Items, ledger.Deleted}, part{"o", ledger.Orders, ledger.Deleted})

	// $1 ids. Those whom an order names stay.
	deleteCustomers = newStatement("livedb_delete_customers", `v AS (
	SELECT id FROM customers AS c WHERE id = ANY ($1::bigint[]) AND NOT EXISTS (SELECT FROM orders WHERE customer_id = c.id)
	FOR UPDATE SKIP LOCKED
), o AS (
	DELETE FROM customers AS o USING v WHERE o.id = v.id RETURNING `+ledger.RowHash(ledger.Deleted, ledger.Customers, "o")+` AS h)`,
		part{"o", ledger.Customers, ledger.Deleted})

	// $1 writer, $2 the last n to go.
	trimLedger = newStatement("livedb_trim_ledger", `o AS (
	DELETE FROM burst_ledger AS o WHERE writer = $1::uuid AND n <= $2 RETURNING `+ledger.RowHash(ledger.Deleted, ledger.Entries, "o")+` AS h)`,
		part{"o", ledger.Entries, ledger.Deleted})

	changes = []*statement{insertCustomers, insertOrders, moveOrders, changeItems, changeCustomers, deleteOrders, deleteCustomers, trimLedger}
)

// The rest of what a writer says to Postgres.
const (
	begin        = "BEGIN"
	commit       = "COMMIT"
	rollback     = "ROLLBACK"
	savepoint    = "SAVEPOINT livedb"
	rollbackTo   = "ROLLBACK TO SAVEPOINT livedb"
	enterSQL     = "INSERT INTO burst_ledger (writer, n, counts, hash_sum, rows_total) VALUES ($1, $2, $3, $4::text::numeric, $5)"
	lastEntrySQL = "SELECT n, rows_total FROM burst_ledger WHERE writer = $1 ORDER BY n DESC LIMIT 1"
	takeIDsSQL   = "SELECT nextval(pg_get_serial_sequence($1, 'id')) FROM generate_series(1, $2::integer)"

	// Each connection has its share: the rows whose id leaves its number when divided.
	loadOrdersSQL = `SELECT o.id, o.customer_id, o.status::text, count(i.order_id)
		FROM orders AS o LEFT JOIN order_items AS i ON i.order_id = o.id
		WHERE o.id % $1 = $2 GROUP BY o.id ORDER BY o.id LIMIT $3`
	loadCustomersSQL = `SELECT id FROM customers WHERE id % $1 = $2 ORDER BY id LIMIT $3`
)
