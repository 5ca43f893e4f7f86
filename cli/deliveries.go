package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/face"
)

// maxPage is how many items a dispatcher returns at once.
const maxPage = 200

func (p *plugin) deliveries() *cobra.Command {
	var follow, failed bool
	limit := 50
	var out output
	cmd := &cobra.Command{
		Use: "deliveries WEBHOOK", Aliases: []string{"attempts"}, GroupID: see, Args: cobra.ExactArgs(1), ValidArgsFunction: p.completeWebhook(false),
		Short: "Show the attempts to deliver to a webhook, newest first",
		Example: `  kubectl postrider deliveries page-created -n cms --failed
  kubectl postrider deliveries page-created -n cms -f`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if limit < 1 || limit > 10_000 {
				return usagef("--limit is %d; give 1 to 10000", limit)
			}
			d, namespace, err := p.reach(cmd.Context())
			if err != nil {
				return err
			}
			l := &attemptLog{dispatcher: d, namespace: namespace, name: args[0]}
			if failed {
				l.outcome = "failed"
			}
			found, err := l.newest(cmd.Context(), limit)
			if err != nil {
				return err
			}
			if follow {
				return p.follow(cmd.Context(), l, found, &out)
			}
			return p.printAttempts(&out, found, namespace, args[0])
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&follow, "follow", "f", false, "Show what there is, oldest first, and then each attempt as it is made, until Ctrl-C.")
	flags.BoolVar(&failed, "failed", false, "Show those that failed.")
	flags.IntVar(&limit, "limit", limit, "How many to show at most, or to begin with.")
	out.bind(cmd, asWide, asJSON, asYAML, asName)
	return cmd
}

// An attemptLog is that of one webhook, whole or what a filter lets pass.
type attemptLog struct {
	dispatcher               *face.Client
	namespace, name, outcome string
	seen                     []attemptKey // of the newest, newest first
}

// attemptKey tells attempts apart.
type attemptKey struct {
	delivery string
	attempt  int
	started  time.Time
}

func keyOf(a *face.Attempt) attemptKey { return attemptKey{a.Delivery, a.Attempt, a.Started} }

// pages calls visit with the attempts of the log, newest first, until it returns
// false. A page may be short or empty although there are more.
func (l *attemptLog) pages(ctx context.Context, limit int, visit func(face.Attempt) bool) error {
	q := face.Query{Limit: min(limit, maxPage), Outcome: l.outcome}
	for {
		page, err := l.dispatcher.Attempts(ctx, l.namespace, l.name, q)
		if err != nil {
			return err
		}
		for _, a := range page.Items {
			if !visit(a) {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Before = page.Next
	}
}

// newest returns the newest attempts, newest first.
func (l *attemptLog) newest(ctx context.Context, limit int) ([]face.Attempt, error) {
	var found []face.Attempt
	err := l.pages(ctx, limit, func(a face.Attempt) bool {
		found = append(found, a)
		return len(found) < limit
	})
	l.remember(found)
	return found, err
}

// since returns what is newer than all that was returned so far, newest first.
func (l *attemptLog) since(ctx context.Context) ([]face.Attempt, error) {
	var found []face.Attempt
	err := l.pages(ctx, maxPage, func(a face.Attempt) bool {
		if slices.Contains(l.seen, keyOf(&a)) || len(found) >= maxNews {
			return false
		}
		found = append(found, a)
		return true
	})
	if err == nil {
		l.remember(found)
	}
	return found, err
}

const (
	// maxSeen bounds what is remembered of a log: more than a page can hold of what
	// is logged at the same moment.
	maxSeen = 2 * maxPage
	// maxNews is more than a log holds.
	maxNews = 1000
)

func (l *attemptLog) remember(found []face.Attempt) {
	fresh := make([]attemptKey, len(found), len(found)+len(l.seen))
	for i := range found {
		fresh[i] = keyOf(&found[i])
	}
	fresh = append(fresh, l.seen...)
	l.seen = fresh[:min(len(fresh), maxSeen)]
}

var attemptColumns = []column{
	{name: "Started"}, {name: "Event Type"}, {name: "Attempt"}, {name: "Outcome"}, {name: "Status"}, {name: "Took"}, {name: "Next"}, {name: "Delivery"},
	{name: "Event ID", wide: true}, {name: "Host", wide: true}, {name: "Detail", wide: true},
}

func attemptRows(all []face.Attempt) [][]string {
	rows := make([][]string, len(all))
	for i := range all {
		a := &all[i]
		number, delivery := strconv.Itoa(a.Attempt), a.Delivery
		if a.Test {
			number, delivery = "test", ""
		}
		rows[i] = []string{
			moment(a.Started), a.EventType, number, a.Reason, statusOf(a), took(a.Timings.Total), moment(a.Next), delivery,
			a.EventID, a.Request.Host, a.Detail,
		}
	}
	return rows
}

func statusOf(a *face.Attempt) string {
	if a.Response == nil {
		return ""
	}
	return strconv.Itoa(a.Response.Status)
}

func took(d time.Duration) string {
	if d <= 0 {
		return ""
	}
	return max(d.Round(time.Millisecond), time.Millisecond).String()
}

// items is a list as -o json shows it.
type items[T any] struct {
	Items []T `json:"items"`
}

func (p *plugin) printAttempts(out *output, found []face.Attempt, namespace, name string) error {
	if found == nil {
		found = []face.Attempt{}
	}
	if done, err := out.document(p.Out, items[face.Attempt]{found}); done {
		return err
	}
	if out.format == asName {
		for i := range found {
			if err := p.sayName(&found[i]); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		p.none("attempts to "+name, namespace)
		return nil
	}
	if err := out.table(p.Out, attemptColumns, attemptRows(found)); err != nil {
		return err
	}
	skipped := 0
	for i := range found {
		skipped += found[i].Skipped
	}
	p.noteSkipped(skipped)
	return nil
}

// noteSkipped says how many attempts the log has left out, lest those that it has be
// taken for all.
func (p *plugin) noteSkipped(n int) {
	if n > 0 {
		p.note("%s in between are not in the log, which does not keep all of a busy webhook.", plural(n, "attempt", "attempts"))
	}
}

// sayName says which delivery a was for. A test was for none that could be sent again.
func (p *plugin) sayName(a *face.Attempt) error {
	if a.Test {
		return nil
	}
	return p.say("%s", a.Delivery)
}

// The pauses between two looks at a log: short while something happens.
const (
	shortPause = 200 * time.Millisecond
	longPause  = 2 * time.Second
)

// follow prints found and then what comes, oldest first.
func (p *plugin) follow(ctx context.Context, l *attemptLog, found []face.Attempt, out *output) error {
	if out.format == "" && !out.noHeaders || out.format == asWide && !out.noHeaders {
		if err := p.printLine(out, []string{"STARTED", "EVENT TYPE", "ATTEMPT", "OUTCOME", "STATUS", "TOOK", "NEXT", "DELIVERY", "EVENT ID", "HOST", "DETAIL"}); err != nil {
			return err
		}
	}
	pause := shortPause
	for {
		for _, a := range slices.Backward(found) {
			if err := p.printOne(out, &a); err != nil {
				return err
			}
		}
		if len(found) > 0 {
			pause = shortPause
		}
		if err := wait(ctx, pause); err != nil {
			return err
		}
		pause = min(2*pause, longPause)
		var err error
		if found, err = p.patiently(ctx, func() ([]face.Attempt, error) { return l.since(ctx) }); err != nil {
			return err
		}
	}
}

// patiently repeats a look that failed for a reason that may pass, such as a
// dispatcher that is being replaced.
func (p *plugin) patiently(ctx context.Context, look func() ([]face.Attempt, error)) ([]face.Attempt, error) {
	const tries = 30
	for n := 1; ; n++ {
		found, err := look()
		if err == nil || n == tries || !passing(err) {
			return found, err
		}
		if n == 1 {
			p.note("%v; trying again", err)
		}
		if err := wait(ctx, longPause); err != nil {
			return nil, err
		}
	}
}

// printOne prints an attempt on a line of its own.
func (p *plugin) printOne(out *output, a *face.Attempt) error {
	switch out.format {
	case asJSON:
		return p.sayJSON(a)
	case asYAML:
		if err := p.say("---"); err != nil {
			return err
		}
		_, err := out.document(p.Out, a)
		return err
	case asName:
		return p.sayName(a)
	}
	p.noteSkipped(a.Skipped)
	return p.printLine(out, attemptRows([]face.Attempt{*a})[0])
}

// printLine prints cells in columns that do not depend on what is to come.
func (p *plugin) printLine(out *output, cells []string) error {
	for i, cell := range cells {
		cells[i] = oneLine(cell)
	}
	line := fmt.Sprintf("%-20s  %-24s  %-7s  %-16s  %-6s  %-8s  %-20s  %s", cells[0], cells[1], cells[2], cells[3], cells[4], cells[5], cells[6], cells[7])
	if out.format == asWide {
		line += fmt.Sprintf("  %-36s  %-24s  %s", cells[8], cells[9], cells[10])
	}
	return p.say("%s", line)
}
