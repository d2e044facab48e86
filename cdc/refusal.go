package cdc

// Refusal is a named reason not to run. Name is stable: documentation, tests and scripts refer to it.
type Refusal struct {
	Name    string // such as pooled_endpoint
	Problem string // one sentence: what is wrong, with the name of the thing
	Remedy  string // one sentence: what to do
	Unsafe  bool   // going on would break a promise (a gap, another database); retrying will not help
	Err     error  // what was seen, if an error
}

// Error returns the problem, the remedy and the name.
func (r *Refusal) Error() string { return r.Problem + "; " + r.Remedy + " [" + r.Name + "]" }

// Unwrap returns what was seen.
func (r *Refusal) Unwrap() error { return r.Err }
