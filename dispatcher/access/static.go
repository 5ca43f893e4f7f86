package access

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// minToken keeps a token of a file from being guessed.
const minToken = 16

// Static is the [Authority] of a token file, for runs without a cluster. The
// file is CSV, one right a line:
//
//	# token, user, namespace or *, verb or verb:resource or * ...
//	f3b2c8de91a04b77, shop-backend, shop, create:events
//	5d1c7e0b9a2f4863, shop-support, shop, create:webhooks/test, get:webhooks/deliveries
//	0a9e8d7c6b5a4f3e, manager, *, get:/report
//
// A verb alone is good for every resource and path. A path belongs to no
// namespace, so it needs "*". A token may have several lines, of one user.
type Static struct {
	// Looking a token up by its SHA-256 takes a time that says nothing about
	// the tokens: who guesses cannot steer a prefix of the hash.
	callers map[digest]*caller
}

type caller struct {
	user   string
	rights []right
}

type right struct {
	namespace string
	verbs     []string
}

// ReadStatic reads a token file. No error shows a token.
func ReadStatic(path string) (*Static, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the token file: %w", err)
	}
	s, err := ParseStatic(bytes.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("token file %s: %w", path, err)
	}
	return s, nil
}

// ParseStatic reads the text of a token file.
func ParseStatic(text io.Reader) (*Static, error) {
	lines := csv.NewReader(text)
	lines.Comment = '#'
	lines.TrimLeadingSpace = true
	lines.FieldsPerRecord = -1
	s := &Static{callers: map[digest]*caller{}}
	for {
		fields, err := lines.Read()
		if errors.Is(err, io.EOF) {
			return s, nil
		}
		if err != nil {
			return nil, fmt.Errorf("reading CSV: %w", err) // says where, not what
		}
		for i := range fields {
			fields[i] = strings.TrimSpace(fields[i])
		}
		if err := s.add(fields); err != nil {
			line, _ := lines.FieldPos(0)
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

func (s *Static) add(fields []string) error {
	if len(fields) < 4 || slices.Contains(fields, "") {
		return errors.New(`write "token, user, namespace or *, verb or verb:resource or * ..." and leave none empty`)
	}
	token, user, namespace, verbs := fields[0], fields[1], fields[2], fields[3:]
	if len(token) < minToken || len(token) > maxToken {
		return fmt.Errorf("the token has %d characters: use %d to %d", len(token), minToken, maxToken)
	}
	key := digest(sha256.Sum256([]byte(token)))
	known, ok := s.callers[key]
	if !ok {
		known = &caller{user: user}
		s.callers[key] = known
	}
	if known.user != user {
		return fmt.Errorf("users %q and %q have the same token: give each its own", known.user, user)
	}
	known.rights = append(known.rights, right{namespace, slices.Clone(verbs)})
	return nil
}

// Decide implements [Authority]. It never fails.
func (s *Static) Decide(_ context.Context, token string, a Attributes) (Decision, error) {
	known, ok := s.callers[digest(sha256.Sum256([]byte(token)))]
	if !ok {
		return Decision{Verdict: Unauthenticated, Remedy: "Send a token of the dispatcher's token file."}, nil
	}
	for _, right := range known.rights {
		if right.covers(a) {
			return Decision{Verdict: Allowed, User: known.user}, nil
		}
	}
	namespace := a.Namespace
	if namespace == "" {
		namespace = "*"
	}
	return Decision{
		Verdict: Denied,
		User:    known.user,
		Remedy:  fmt.Sprintf("Add a line to the dispatcher's token file: TOKEN,%s,%s,%s", known.user, namespace, a.verbAndObject()),
	}, nil
}

func (r right) covers(a Attributes) bool {
	return (r.namespace == "*" || r.namespace == a.Namespace) &&
		slices.ContainsFunc(r.verbs, func(v string) bool { return v == "*" || v == a.Verb || v == a.verbAndObject() })
}

// verbAndObject is how a token file names what a wants, e.g. "create:events".
func (a Attributes) verbAndObject() string {
	if a.NonResourcePath != "" {
		return a.Verb + ":" + a.NonResourcePath
	}
	return a.Verb + ":" + a.resource()
}
