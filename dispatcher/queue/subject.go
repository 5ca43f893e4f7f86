package queue

import (
	"fmt"
	"strconv"
	"strings"
	"unique"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/route"
)

// What belongs to a route has a subject that holds the route as
// "namespace.name". A namespace has no dot, so what follows the first one is
// the name.

// subjectOf refuses what is no route. Whoever asks for one may have made it up:
// "cms/*" would be the subject of everybody's.
func subjectOf(prefix, route string) (string, error) {
	if !isRoute(route) {
		return "", errNoRoute(route)
	}
	return subjectOfKnown(prefix, route), nil
}

func isRoute(route string) bool {
	namespace, name, ok := strings.Cut(route, "/")
	if !ok || !isToken(namespace) {
		return false
	}
	for token := range strings.SplitSeq(name, ".") {
		if !isToken(token) {
			return false
		}
	}
	return true
}

// subjectOfKnown is for routes of the table, which are routes for sure.
func subjectOfKnown(prefix, route string) string { return prefix + strings.Replace(route, "/", ".", 1) }

func routeOf(prefix, subject string) string {
	return strings.Replace(strings.TrimPrefix(subject, prefix), ".", "/", 1)
}

// isToken reports whether s may stand between two dots of a subject. Kubernetes
// names are of these bytes.
func isToken(s string) bool {
	for _, c := range []byte(s) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return s != ""
}

// errNoRoute is the error of what is named as if it were a route.
type errNoRoute string

func (name errNoRoute) Error() string {
	return fmt.Sprintf("%q is no route: a route is namespace/name, each as Kubernetes names things", string(name))
}

// What waits is under a subject from which it is counted without reading it.
// That of a pack in the queue of a route ends with how many deliveries it holds.
// A delivery that has a key is alone, and its subject, which is of another space,
// ends with the key: what ends a name cannot be taken for either.

func subjectOfPack(id deliver.QueueID, count int) string {
	if id.Key != 0 {
		return subjectsOfQueue(id)
	}
	return subjectOfKnown(subjectWaiting, id.Route) + "." + strconv.Itoa(count)
}

// subjectsOfQueue is the filter for all that is in a queue.
func subjectsOfQueue(id deliver.QueueID) string {
	if id.Key != 0 {
		return fmt.Sprintf("%s.%016x", subjectOfKnown(subjectOrdered, id.Route), uint64(id.Key))
	}
	return subjectOfKnown(subjectWaiting, id.Route) + ".*"
}

// subjectsOfKeys is the filter for all that a route is owed under any key.
func subjectsOfKeys(route string) string { return subjectOfKnown(subjectOrdered, route) + ".*" }

// packOfSubject takes a subject of [subjectOfPack] apart.
func packOfSubject(subject string) (id deliver.QueueID, count int, ok bool) {
	tokens, unordered := strings.CutPrefix(subject, subjectWaiting)
	if !unordered {
		if tokens, ok = strings.CutPrefix(subject, subjectOrdered); !ok {
			return deliver.QueueID{}, 0, false
		}
	}
	dot := strings.LastIndexByte(tokens, '.')
	if dot < 0 {
		return deliver.QueueID{}, 0, false
	}
	id.Route = unique.Make(routeOf("", tokens[:dot])).Value() // rather than one copy each
	if !unordered {
		id.Key, ok = parseKey(tokens[dot+1:])
		return id, 1, ok
	}
	count, err := strconv.Atoi(tokens[dot+1:])
	return id, count, err == nil && count > 0
}

// parseKey reads a key as subjects and tallies have it: 16 digits.
func parseKey(digits string) (route.Key, bool) {
	key, err := strconv.ParseUint(digits, 16, 64)
	return route.Key(key), err == nil && len(digits) == 16 && key != 0
}
