package operate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/postrider/postrider/dispatcher/ingest"
	"github.com/postrider/postrider/dispatcher/problem"
)

const (
	// maxOrder bounds a body that is no event, in bytes: the longest has as many
	// patterns as a webhook may.
	maxOrder = 32 << 10
	// bodyTime is how long a body may take.
	bodyTime = 10 * time.Second

	defaultPage, maxPage = 50, 200 // items
)

// readBody returns the body, of at most limit bytes.
func readBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	// Without a connection beneath, as in a recorder, there is nothing to bound.
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(bodyTime))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		return nil, err
	}
	// Else net/http would take the deadline, while a receiver takes its time,
	// for a caller that has left.
	_ = connection.SetReadDeadline(time.Time{})
	return body, nil
}

// readOrder reads a JSON body into order, which it leaves as it is when there is
// no body.
func readOrder(w http.ResponseWriter, r *http.Request, order any) error {
	body, err := readBody(w, r, maxOrder)
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return refusal{Problem: problem.Problem{
			Name: problem.BodyTooLarge, Limit: int(tooLarge.Limit),
			Detail: fmt.Sprintf("The body of this call has at most %d bytes: send fewer patterns.", tooLarge.Limit),
		}}
	}
	if err != nil {
		return refusal{Problem: ingest.Problem(err)}
	}
	return decodeOrder(body, order)
}

func decodeOrder(body []byte, order any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return nil
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(order)
	if err == nil {
		if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the object")
		}
	}
	if err == nil {
		return nil
	}
	name := problem.InvalidRequest
	if _, ok := errors.AsType[*json.SyntaxError](err); ok || errors.Is(err, io.ErrUnexpectedEOF) {
		name = problem.InvalidJSON
	}
	what := strings.TrimPrefix(err.Error(), "json: ")
	if wrong, ok := errors.AsType[*time.ParseError](err); ok {
		what = strconv.Quote(wrong.Value) + ` is no time: write one like "2026-01-31T12:00:00Z"`
	}
	return refuse(name, "The body is not valid: "+what+". Send one JSON object with the members that the documentation names, or no body.")
}

// A page is what a caller wants to see of a list.
type page struct {
	limit  int
	before uint64 // a cursor, 0 for the newest
}

// readPage reads the query of a list. Its parameters are limit, before, and
// those of others, whose values it leaves to the caller.
func readPage(query url.Values, others ...string) (page, error) {
	p := page{limit: defaultPage}
	for name, values := range query {
		if name != "limit" && name != "before" && !slices.Contains(others, name) || len(values) != 1 {
			return p, refuse(problem.InvalidQuery, fmt.Sprintf("%q is no parameter of this list, or is there twice: send limit and before%s, each once.",
				name, strings.Join(append([]string{""}, others...), ", ")))
		}
	}
	if text := query.Get("limit"); query.Has("limit") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxPage {
			return p, refuse(problem.InvalidQuery, fmt.Sprintf(`"limit" is not a number from 1 to %d.`, maxPage))
		}
		p.limit = n
	}
	if text := query.Get("before"); query.Has("before") {
		n, ok := parseNumber(text)
		if !ok {
			return p, refuse(problem.InvalidQuery, `"before" is no cursor: send the "next" of the page before, or leave it out for the newest.`)
		}
		p.before = n
	}
	return p, nil
}

// parseNumber reads a positive number in the one way in which it is written.
func parseNumber(text string) (uint64, bool) {
	n, err := strconv.ParseUint(text, 10, 64)
	return n, err == nil && n > 0 && formatNumber(n) == text
}

func formatNumber(n uint64) string { return strconv.FormatUint(n, 10) }

// A list is a page of items and, when there are more, the cursor to go on with.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty"`
}

func newList[T any](items []T, next uint64) list[T] {
	l := list[T]{Items: items}
	if items == nil {
		l.Items = []T{} // which is a list in JSON too
	}
	if next > 0 {
		l.Next = formatNumber(next)
	}
	return l
}
