package queue

import (
	"fmt"
	"strings"
)

// The subject of what belongs to a route ends with the route,
// "namespace.name": a namespace has no dot, so what follows the first one is
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
	return prefix + namespace + "." + name, nil
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

func routeOf(prefix, subject string) string {
	return strings.Replace(strings.TrimPrefix(subject, prefix), ".", "/", 1)
}
