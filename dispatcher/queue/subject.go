package queue

import (
	"fmt"
	"strconv"
	"strings"
)

// What belongs to a route has a subject that holds the route as
// "namespace.name". A namespace has no dot, so what follows the first one is
// the name.

// subjectOf refuses what is no route. Whoever asks for one may have made it up:
// "cms/*" would be the subject of everybody's.
func subjectOf(prefix, route string) (string, error) {
	namespace, name, ok := strings.Cut(route, "/")
	if !ok || !isToken(namespace) {
		return "", errNoRoute(route)
	}
	for token := range strings.SplitSeq(name, ".") {
		if !isToken(token) {
			return "", errNoRoute(route)
		}
	}
	return subjectOfKnown(prefix, route), nil
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

func errNoRoute(route string) error {
	return fmt.Errorf("%q is no route: a route is namespace/name, each as Kubernetes names things", route)
}

// The subject of a pack in a route's queue ends with how many deliveries it
// holds, so that counting them takes no reading.

func subjectOfPack(route string, count int) string {
	return subjectOfKnown(subjectWaiting, route) + "." + strconv.Itoa(count)
}

// subjectsOfWaiting is the filter for every pack of a route.
func subjectsOfWaiting(route string) string { return subjectOfKnown(subjectWaiting, route) + ".*" }

// packOfSubject takes a subject of [subjectOfPack] apart.
func packOfSubject(subject string) (route string, count int, ok bool) {
	tokens, ok := strings.CutPrefix(subject, subjectWaiting)
	dot := strings.LastIndexByte(tokens, '.')
	if !ok || dot < 0 {
		return "", 0, false
	}
	count, err := strconv.Atoi(tokens[dot+1:])
	return routeOf("", tokens[:dot]), count, err == nil && count > 0
}
