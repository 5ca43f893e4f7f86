package cluster

import (
	"errors"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// A Lack is something that the user needs and that is not there or not allowed.
type Lack struct {
	Problem  string   // one sentence, without a full stop
	Commands []string // that make it good, for who may run them
	Or       string   // what to do instead, a sentence; may be empty
	cause    error
}

// Error shows the commands each on a line of its own.
func (l *Lack) Error() string {
	var b strings.Builder
	b.WriteString(l.Problem)
	if len(l.Commands) > 0 {
		b.WriteString(". Run, or have run by who may:\n")
		for _, c := range l.Commands {
			b.WriteString("\n  " + c)
		}
		b.WriteString("\n")
	}
	if l.Or != "" {
		b.WriteString("\n" + l.Or)
	}
	return strings.TrimRight(b.String(), "\n")
}

// Unwrap returns what the API server said.
func (l *Lack) Unwrap() error { return l.cause }

// IsUnseen reports whether err is that the user may not look.
func IsUnseen(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err)
}

// Brief is the first line of what err says.
func Brief(err error) string {
	if lack, ok := errors.AsType[*Lack](err); ok {
		return lack.Problem
	}
	line, _, _ := strings.Cut(err.Error(), "\n")
	return line
}
