package check

// OwnRules has a check rely on its own rules alone, and not ask the start what it would refuse.
func OwnRules(c Config) Config {
	c.ownRules = true
	return c
}
