package queue

import "strings"

// The subject of a dead letter ends with its route, "namespace.name": a
// namespace has no dot, so what follows the first one is the name.

func subjectOfDead(route string) string {
	return subjectDead + strings.Replace(route, "/", ".", 1)
}

func routeOfDead(subject string) string {
	return strings.Replace(strings.TrimPrefix(subject, subjectDead), ".", "/", 1)
}
