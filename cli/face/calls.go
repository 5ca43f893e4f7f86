package face

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Accepted is an event that is on disk.
type Accepted struct {
	ID        string `json:"id"`
	Source    string `json:"source"`
	WebhookID string `json:"webhookID"`
}

// Send posts events: a body in any of the forms that a dispatcher takes, with the
// media type that says which.
func (c *Client) Send(ctx context.Context, namespace, mediaType string, body []byte) ([]Accepted, error) {
	var answer struct{ Events []Accepted }
	err := c.do(ctx, request{method: http.MethodPost, path: namespacePath(namespace) + "/events", contentType: mediaType, body: body}, &answer)
	return answer.Events, err
}

// Tested says how a test went.
type Tested struct {
	Passed      bool    `json:"passed"`
	Explanation string  `json:"explanation"`
	Attempt     Attempt `json:"attempt"`
}

// Test attempts one event, the default one when body is nil.
func (c *Client) Test(ctx context.Context, namespace, name, mediaType string, body []byte) (Tested, error) {
	r := request{method: http.MethodPost, path: webhookPath(namespace, name) + "/test"}
	if body != nil {
		r.contentType, r.body = mediaType, body
	}
	var answer Tested
	err := c.do(ctx, r, &answer)
	return answer, err
}

// An Attempt is a record of the attempt log.
type Attempt struct {
	Delivery  string    `json:"delivery"`
	Route     string    `json:"route"`
	EventID   string    `json:"eventID"`
	EventType string    `json:"eventType"`
	WebhookID string    `json:"webhookID"`
	Attempt   int       `json:"attempt"`
	Test      bool      `json:"test,omitempty"`
	Started   time.Time `json:"started"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	Next      time.Time `json:"next,omitzero"` // zero: there is none
	Request   struct {
		Host   string      `json:"host"`
		Header http.Header `json:"header"`
		Bytes  int         `json:"bytes"`
	} `json:"request"`
	Response *Response `json:"response,omitempty"`
	Timings  struct {
		DNS       time.Duration `json:"dns,omitempty"`
		Connect   time.Duration `json:"connect,omitempty"`
		TLS       time.Duration `json:"tls,omitempty"`
		FirstByte time.Duration `json:"firstByte,omitempty"`
		Total     time.Duration `json:"total"`
		Reused    bool          `json:"reused,omitempty"`
	} `json:"timings"`
	Skipped int `json:"skipped,omitempty"`
}

// Response is what a receiver answered.
type Response struct {
	Status int         `json:"status"`
	Header http.Header `json:"header"`
	Body   string      `json:"body,omitempty"`
	Bytes  int         `json:"bytes"`
}

// reasonDelivered is how an attempt ends well.
const reasonDelivered = "Delivered"

// Delivered reports whether the receiver took it.
func (a *Attempt) Delivered() bool { return a.Reason == reasonDelivered }

// GivenUp reports whether no other attempt will follow.
func (a *Attempt) GivenUp() bool { return !a.Test && !a.Delivered() && a.Next.IsZero() }

// Page is part of a list, newest first; without Next there is no more.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// Query says which page.
type Query struct {
	Limit   int    // 0 = 50
	Before  string // the Next of the page before
	Outcome string // "failed" or "delivered"; empty = both
}

func (q Query) values() url.Values {
	v := url.Values{}
	for name, value := range map[string]string{"before": q.Before, "outcome": q.Outcome} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return v
}

// Attempts returns a page of the attempt log.
func (c *Client) Attempts(ctx context.Context, namespace, name string, q Query) (Page[Attempt], error) {
	var page Page[Attempt]
	err := c.do(ctx, request{method: http.MethodGet, path: webhookPath(namespace, name) + "/deliveries", query: q.values()}, &page)
	return page, err
}

// A DeadLetter is a delivery that was given up.
type DeadLetter struct {
	ID        string    `json:"id"`
	Delivery  string    `json:"delivery"`
	WebhookID string    `json:"webhookID"`
	EventID   string    `json:"eventID"`
	EventType string    `json:"eventType"`
	Accepted  time.Time `json:"accepted"`
	Bytes     int       `json:"bytes"`
	Attempts  int       `json:"attempts"`
	Reason    string    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	Status    int       `json:"status,omitempty"`
	At        time.Time `json:"at"`

	Event json.RawMessage `json:"event,omitempty"` // of a single one: a CloudEvent in JSON
}

// DeadLetters returns a page of them, without their events.
func (c *Client) DeadLetters(ctx context.Context, namespace, name string, q Query) (Page[DeadLetter], error) {
	var page Page[DeadLetter]
	err := c.do(ctx, request{method: http.MethodGet, path: webhookPath(namespace, name) + "/dead-letters", query: q.values()}, &page)
	return page, err
}

// DeadLetter returns one, with its event.
func (c *Client) DeadLetter(ctx context.Context, namespace, name, id string) (DeadLetter, error) {
	var letter DeadLetter
	err := c.do(ctx, request{method: http.MethodGet, path: webhookPath(namespace, name) + "/dead-letters/" + url.PathEscape(id)}, &letter)
	return letter, err
}

// Redriven says what a call did.
type Redriven struct{ Enqueued, Remaining int }

// Redrive sends a dead letter again.
func (c *Client) Redrive(ctx context.Context, namespace, name, id string) (Redriven, error) {
	return c.redrive(ctx, webhookPath(namespace, name)+"/dead-letters/"+url.PathEscape(id)+"/redrive", nil)
}

// RedriveAll sends the oldest ones again, limit of them at most.
func (c *Client) RedriveAll(ctx context.Context, namespace, name string, limit int) (Redriven, error) {
	return c.redrive(ctx, webhookPath(namespace, name)+"/dead-letters/redrive", map[string]int{"limit": limit})
}

// Redeliver sends the event of a delivery again.
func (c *Client) Redeliver(ctx context.Context, namespace, name, delivery string) (Redriven, error) {
	return c.redrive(ctx, webhookPath(namespace, name)+"/deliveries/"+url.PathEscape(delivery)+"/redeliver", nil)
}

func (c *Client) redrive(ctx context.Context, path string, body any) (Redriven, error) {
	var done Redriven
	err := c.do(ctx, request{method: http.MethodPost, path: path, body: body}, &done)
	return done, err
}

// Replay is an order to send a time range again.
type Replay struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to,omitzero"`
	Types  []string  `json:"types,omitempty"`
	DryRun bool      `json:"dryRun,omitempty"`
	Limit  int       `json:"limit,omitempty"` // of deliveries in this call
	Cursor string    `json:"cursor,omitempty"`
}

// Replayed says what one call did; without Next all is done.
type Replayed struct {
	Events     int    `json:"events"`
	Deliveries int    `json:"deliveries"`
	Enqueued   int    `json:"enqueued"`
	Next       string `json:"next"`
}

// Replay sends again to one webhook, or to all of the namespace when name is empty.
func (c *Client) Replay(ctx context.Context, namespace, name string, r Replay) (Replayed, error) {
	path := namespacePath(namespace)
	if name != "" {
		path = webhookPath(namespace, name)
	}
	var done Replayed
	err := c.do(ctx, request{method: http.MethodPost, path: path + "/replay", body: r}, &done)
	return done, err
}
