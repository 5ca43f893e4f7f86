package migration

// Condition translates a rule, with the names of fields that items have.
func Condition(text string, items ...Item) (string, []string, error) {
	return condition(text, newLibrary(items))
}
