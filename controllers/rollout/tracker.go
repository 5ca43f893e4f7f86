// Package rollout knows how far the table has come: it asks each dispatcher
// for its report and folds what they say.
package rollout

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

// maxDetail bounds what is repeated of a dispatcher's error.
const maxDetail = 512

// A Phase is how far one generation of one Webhook has come.
type Phase string

// The phases.
const (
	Pending     Phase = "Pending"     // a dispatcher has yet to confirm it
	Programmed  Phase = "Programmed"  // every dispatcher has confirmed a table that holds it
	Unpublished Phase = "Unpublished" // the newest table could not be published, and nobody has confirmed it
	Rejected    Phase = "Rejected"    // a dispatcher refuses the newest table
	Unreachable Phase = "Unreachable" // a dispatcher is silent, or none is known
	Behind      Phase = "Behind"      // a dispatcher answers, and has not got it for long
)

// Progress is a phase and what a person wants to know about it.
type Progress struct {
	Phase  Phase
	Detail string // empty when Pending or Programmed
}

// Facts are what is known about one Webhook.
type Facts struct {
	Progress Progress
	// Complete says that every dispatcher has reported, and has counted what it
	// is owed from before its start, so that a number in Summary is the whole
	// number and not what has been heard so far.
	Complete bool
	// Started is when the oldest process among the dispatchers did, zero when
	// none has reported. Summary knows nothing from before it.
	Started time.Time
	Summary outcome.Summary
}

// A Version is one generation of one object. The UID tells an object from one
// of the same name that was deleted.
type Version struct {
	UID        string
	Generation int64
}

// A Tracker compares what was published with what the dispatchers confirm. It
// is told of both and asked for [Facts]; it does nothing by itself.
type Tracker struct {
	grace   time.Duration
	now     func() time.Time
	changed func(routes []string)

	mu          sync.Mutex
	history     history
	routes      map[string]published
	dispatchers map[string]*dispatcher // by URL
	departed    departed
	aloneSince  time.Time // since when no dispatcher is known; zero while one is, and before Follow
	failure     string    // why the last publication failed, empty when it did not
}

type published struct {
	Version
	since    uint64 // the number of the first table that held this version
	progress Progress
}

type dispatcher struct {
	report    outcome.Report // the newest, without its summaries
	heard     bool           // it has reported
	summaries map[string]outcome.Summary

	silentSince  time.Time // zero while it answers
	refusedSince time.Time // zero while it accepts

	confirmed   uint64    // the number of its table, 0 when that is unknown
	behindSince time.Time // zero while it has the newest table, is catching up, or is silent
}

// complete reports whether what it says is the whole truth.
func (d *dispatcher) complete() bool { return d.heard && d.report.Counted }

// place notes where it stands among the tables.
func (d *dispatcher) place(h *history, now time.Time) {
	before := d.confirmed
	d.confirmed = h.number(d.report.Digest)
	switch {
	case d.confirmed == h.last, !d.heard, !d.silentSince.IsZero():
		d.behindSince = time.Time{}
	case d.behindSince.IsZero(), d.confirmed > before:
		d.behindSince = now
	}
}

// NewTracker makes a Tracker. A dispatcher may be silent, without the newest
// table, or refuse one that changes nothing for a Webhook, for as long as grace
// before that shows: restarts and repairs come and go. changed is called, without any lock held,
// with the routes about which there is news.
func NewTracker(grace time.Duration, now func() time.Time, changed func(routes []string)) *Tracker {
	return &Tracker{
		grace: grace, now: now, changed: changed,
		routes: map[string]published{}, dispatchers: map[string]*dispatcher{},
	}
}

// Published tells that the table with the digest, which holds these versions,
// is on its way.
func (t *Tracker) Published(digest string, versions map[string]Version) {
	t.update(func() []string {
		t.enter(versions, t.history.publish(digest))
		return nil
	})
}

// PublishFailed tells that a table with these versions could not be published:
// no dispatcher will see it before [Tracker.PublishSucceeded].
func (t *Tracker) PublishFailed(versions map[string]Version, err error) {
	t.update(func() []string {
		t.failure = "the table cannot be published: " + cut(err.Error(), maxDetail)
		t.enter(versions, t.history.last+1)
		return nil
	})
}

// PublishSucceeded tells that the table which was announced last is where the
// dispatchers look for it.
func (t *Tracker) PublishSucceeded() {
	t.update(func() []string {
		t.failure = ""
		return nil
	})
}

// enter notes the versions that the table with the number holds.
func (t *Tracker) enter(versions map[string]Version, number uint64) {
	for id, v := range versions {
		// One that was to come with a later table has come with this one.
		if r := t.routes[id]; r.Version != v || r.since > number {
			t.routes[id] = published{Version: v, since: number, progress: Progress{Phase: Pending}}
		}
	}
	maps.DeleteFunc(t.routes, func(id string, _ published) bool { _, ok := versions[id]; return !ok })
	for _, d := range slices.AppendSeq(slices.Clone(t.departed), maps.Values(t.dispatchers)) {
		maps.DeleteFunc(d.summaries, func(id string, _ outcome.Summary) bool { _, ok := versions[id]; return !ok })
	}
}

// Follow tells which dispatchers there are, by URL.
func (t *Tracker) Follow(urls []string) {
	t.update(func() []string {
		for url, d := range t.dispatchers {
			if !slices.Contains(urls, url) {
				t.departed.add(d)
				delete(t.dispatchers, url)
			}
		}
		for _, url := range urls {
			if t.dispatchers[url] == nil {
				t.dispatchers[url] = &dispatcher{summaries: map[string]outcome.Summary{}}
			}
		}
		switch {
		case len(t.dispatchers) > 0:
			t.aloneSince = time.Time{}
		case t.aloneSince.IsZero():
			t.aloneSince = t.now()
		}
		return nil
	})
}

// Heard tells what the dispatcher at url reported. A complete report replaces
// everything that it said before.
func (t *Tracker) Heard(url string, r outcome.Report, complete bool) {
	t.update(func() []string {
		d := t.dispatchers[url]
		if d == nil {
			return nil // it has been let go meanwhile
		}
		if complete {
			if d.report.Instance != r.Instance || !d.report.Started.Equal(r.Started) {
				t.departed.add(d) // another process answers in its place
			}
			clear(d.summaries)
		}
		news := make([]string, len(r.Summaries))
		for i, s := range r.Summaries {
			d.summaries[s.Route], news[i] = s, s.Route
			t.departed.succeeded(s)
		}
		whole := d.complete()
		r.Summaries = nil
		d.report, d.heard, d.silentSince = r, true, time.Time{}
		switch {
		case r.TableError == "":
			d.refusedSince = time.Time{}
		case d.refusedSince.IsZero():
			d.refusedSince = t.now()
		}
		if complete || whole != d.complete() {
			// What it does not speak of is nothing now, and was not before.
			return slices.Collect(maps.Keys(t.routes))
		}
		return news
	})
}

// Silent tells that the dispatcher at url did not answer, and reports whether
// that is new.
func (t *Tracker) Silent(url string) (news bool) {
	t.update(func() []string {
		if d := t.dispatchers[url]; d != nil && d.silentSince.IsZero() {
			d.silentSince, news = t.now(), true
		}
		return nil
	})
	return news
}

// Review notices that grace is over for somebody. Call it every now and then.
func (t *Tracker) Review() { t.update(func() []string { return nil }) }

// Facts are what is known about a version of the Webhook with the route, and
// about the failures of its epoch.
func (t *Tracker) Facts(route string, v Version, epoch string) Facts {
	t.mu.Lock()
	defer t.mu.Unlock()
	f := Facts{Progress: Progress{Phase: Pending}, Complete: len(t.dispatchers) > 0}
	if p := t.routes[route]; p.Version == v {
		f.Progress = p.progress
	}
	var known []outcome.Summary
	live := t.processes()
	for _, d := range live {
		f.Complete = f.Complete && d.complete()
		if d.heard && (f.Started.IsZero() || d.report.Started.Before(f.Started)) {
			f.Started = d.report.Started
		}
		if s, ok := d.summaries[route]; ok {
			known = append(known, s)
		}
	}
	for _, d := range t.departed {
		_, back := live[d.process()] // such as a pod that was not ready for a moment
		if s, ok := d.summaries[route]; ok && !back {
			known = append(known, s)
		}
	}
	f.Summary = Fold(epoch, known...)
	return f
}

// processes are the dispatchers, each once even if it is known by two URLs, such
// as one that was given and one of the Service.
func (t *Tracker) processes() map[process]*dispatcher {
	newest := make(map[process]*dispatcher, len(t.dispatchers))
	for url, d := range t.dispatchers {
		p := d.process()
		if d.report.Instance == "" { // it has not said who it is
			p.instance = url
		}
		if o := newest[p]; o == nil || o.report.Revision < d.report.Revision {
			newest[p] = d
		}
	}
	return newest
}

// update changes something, judges every route again and announces those with
// news: what change returns, and those that have come further or fallen back.
func (t *Tracker) update(change func() []string) {
	t.mu.Lock()
	news := change()
	judge := t.judge()
	for id, p := range t.routes {
		if now := judge(p.since); now != p.progress {
			p.progress = now
			t.routes[id] = p
			news = append(news, id)
		}
	}
	t.mu.Unlock()
	if len(news) > 0 {
		t.changed(news)
	}
}

// judge returns how far a version is that was first published with a number.
func (t *Tracker) judge() func(since uint64) Progress {
	type standing struct {
		confirmed uint64
		refuses   bool // for longer than grace
		fault     string
		behind    string // why it is behind, for longer than grace
	}
	now := t.now()
	overdue := func(since time.Time) bool { return !since.IsZero() && now.Sub(since) >= t.grace }
	var all []standing
	silence := ""
	if overdue(t.aloneSince) {
		silence = "no dispatcher is known; start one, and tell the manager with --dispatcher-url or --dispatcher-service"
	}
	for _, url := range slices.Sorted(maps.Keys(t.dispatchers)) {
		d := t.dispatchers[url]
		d.place(&t.history, now)
		s := standing{confirmed: d.confirmed, refuses: overdue(d.refusedSince)}
		if d.report.TableError != "" {
			s.fault = fmt.Sprintf("dispatcher %s refuses the newest table: %s", d.report.Instance, cut(d.report.TableError, maxDetail))
		}
		if overdue(d.behindSince) {
			s.behind = fmt.Sprintf("dispatcher %s answers, and has not got the newest table; see whether it may read the Secrets of its namespace", cut(d.report.Instance, maxDetail))
		}
		if overdue(d.silentSince) && silence == "" {
			silence = "the dispatcher at " + url + " does not answer; the manager's log says why"
		}
		all = append(all, s)
	}
	return func(since uint64) Progress {
		confirmed, anybody, behind := len(all) > 0, false, ""
		for _, s := range all {
			has := s.confirmed >= since
			if s.fault != "" && (s.refuses || !has) {
				return Progress{Rejected, s.fault}
			}
			confirmed, anybody = confirmed && has, anybody || has
			if !has && behind == "" {
				behind = s.behind
			}
		}
		switch {
		case t.failure != "" && !anybody:
			return Progress{Unpublished, t.failure}
		case silence != "":
			return Progress{Unreachable, silence}
		case behind != "":
			return Progress{Behind, behind}
		case !confirmed:
			return Progress{Phase: Pending}
		}
		return Progress{Phase: Programmed}
	}
}

func cut(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
