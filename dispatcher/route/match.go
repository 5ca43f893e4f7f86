package route

// A Match is a route that an event goes to.
type Match struct {
	Entry *Entry
	// Key orders the delivery among others to the route; see [Entry.Key].
	Key Key
	// Unchecked tells that nobody has evaluated the condition of the route yet:
	// that is to be done before the attempt.
	Unchecked bool
}
