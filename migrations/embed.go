// Package migrations makes the tables that the demo and the burst writer use, in a schema of their own: nothing outside
// that schema is touched. An applied migration is never edited; a change is a new file.
package migrations

import "embed"

// FS holds the migrations as goose reads them.
//
//go:embed *.sql
var FS embed.FS
