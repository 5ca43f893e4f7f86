package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/postrider/postrider/hack/local/receiver"
)

// tell prints what happened to the event, and what to try next.
func (l *local) tell() {
	t, s, q := l.terminal, &l.story, &l.question
	yes := t.good("✓")
	t.say("",
		t.title("1. A producer posted an event")+"  "+t.quiet("(its body: "+shorten(s.eventFile)+")"), "",
		"    POST "+s.url, "",
		"   Postrider stored it on disk, and answered:", "",
		indent(s.answer), "",
		t.title("2. The receiver got it")+"  "+t.quiet(fmt.Sprintf("(%d ms after the post)", s.took.Milliseconds())), "",
		indent(request(s.delivery)), "",
		"   "+yes+" signature verified   "+yes+" bearer token correct", "",
		t.title("3. Each webhook knows what became of it"), "",
		"    $ kubectl get webhooks --namespace "+samplesNamespace,
		indent(s.webhooks), "",
		"   The address of search-index is wrong on purpose: its receiver answers 404. Postrider",
		"   tries again, later and later, for more than a day, or until the address is repaired.", "",
		t.title("4. Its operator had it tested, and asked why"), "",
		"    POST "+q.webhook+"/test", "",
		"    "+q.answer, "",
		t.title("Now you"), "",
		"   Post another event:  "+t.quiet("(edit its body first, if you like)"), "",
		"    curl -i "+s.url+` \`,
		`      -H "Authorization: Bearer $(cat `+word(s.tokenFile)+`)" \`,
		`      -H "Content-Type: application/json" --data @`+word(s.eventFile), "",
		"   Ask as the operator:  "+t.quiet("(GET /deliveries, /dead-letters; POST /test, /dead-letters/redrive; docs/http.md)"), "",
		"    curl "+q.webhook+`/deliveries \`,
		`      -H "Authorization: Bearer $(cat `+word(q.tokenFile)+`)"`, "",
		"   Look around with any kubectl, or with the one that was built for you:", "",
		"    export KUBECONFIG="+word(l.state.kubeconfig()),
		"    "+word(filepath.Join(l.assets, "kubectl"))+" get webhooks", "",
		"   Logs are in "+shorten(l.state.logs())+". Deliveries follow as they come. "+t.title("Press Ctrl-C to stop."), "")
}

// request renders what arrived as the HTTP request that it was, its
// credentials shortened.
func request(d receiver.Delivery) string {
	var b strings.Builder
	fmt.Fprintf(&b, "POST %s\n", d.Path)
	for _, name := range slices.Sorted(maps.Keys(d.Header)) {
		value := strings.Join(d.Header[name], ", ")
		if name == "Authorization" || name == "Webhook-Signature" {
			value = ellipsis(value, 20)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, value)
	}
	return b.String() + "\n" + pretty(d.Body)
}

// follow prints each further delivery until ctx is done.
func (l *local) follow(ctx context.Context) error {
	for _, d := range l.story.others {
		l.terminal.say(l.line(d))
	}
	for {
		select {
		case d := <-l.deliveries:
			l.terminal.say(l.line(d))
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// line tells of one delivery.
func (l *local) line(d receiver.Delivery) string {
	verdict := l.terminal.good("✓") + " signature verified, bearer token correct"
	switch {
	case !d.Taken():
		verdict = l.terminal.bad("✗") + fmt.Sprintf(" answered %d %s: %s", d.Status, http.StatusText(d.Status), d.Problem)
	case d.Path == receiver.Review:
		verdict = l.terminal.good("✓") + " signature verified, command consented to"
	}
	return fmt.Sprintf("%s  %s  %s\n          %s", d.Time.Format(time.TimeOnly), d.Path, d.Header.Get("Webhook-Id"), verdict)
}

// ellipsis keeps the first n bytes of s.
func ellipsis(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}

// shorten makes path relative to where the command was started, if it is below.
func shorten(path string) string {
	if wd, err := os.Getwd(); err == nil {
		if rel, err := filepath.Rel(wd, path); err == nil && filepath.IsLocal(rel) {
			return rel
		}
	}
	return path
}

// word is path as one word for a shell.
func word(path string) string {
	if strings.ContainsFunc(path, func(r rune) bool { return r <= ' ' || strings.ContainsRune("\"$&'()*;<>?[\\]`{|}~#!", r) }) {
		return "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	}
	return path
}
