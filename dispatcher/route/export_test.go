package route

// Questions are the names of the functions that ask about items.
func Questions() []string {
	names := make([]string, len(questions))
	for i, q := range questions {
		names[i] = q.name
	}
	return names
}
