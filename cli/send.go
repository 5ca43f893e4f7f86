package cli

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/face"
	"github.com/postrider/postrider/cli/match"
	"github.com/postrider/postrider/dispatcher/event"
)

func (p *plugin) send() *cobra.Command {
	var f eventFlags
	var follow bool
	timeout := time.Minute
	var out output
	cmd := &cobra.Command{
		Use: "send", GroupID: do, Args: cobra.NoArgs,
		Short: "Post an event, and see what becomes of it",
		Example: `  kubectl postrider send -n shop --type order:paid --data '{"number": 4711}'
  kubectl postrider send -n shop --type order:paid --data @order.json --wait
  kubectl postrider send -n shop -f event.json`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			namespace, err := p.namespace()
			if err != nil {
				return err
			}
			media, body, err := f.read(cmd.Context(), p.In)
			if err != nil {
				return err
			}
			var wanted []owed
			if follow { // before it is sent: nothing would come of failing afterwards
				if wanted, err = p.wanted(cmd.Context(), namespace, media, body); err != nil {
					return err
				}
			}
			d, err := p.dispatcher(cmd.Context(), namespace)
			if err != nil {
				return err
			}
			accepted, err := d.Send(cmd.Context(), namespace, media, body)
			if err != nil {
				return err
			}
			if err := p.printAccepted(&out, accepted); err != nil || !follow {
				return err
			}
			ctx, cancel := context.WithTimeoutCause(cmd.Context(), timeout, errLate)
			defer cancel()
			a := awaited{plugin: p, namespace: namespace, aside: out.format != "", open: map[string][]string{}, busy: map[string]bool{}}
			return a.follow(ctx, d, accepted, wanted)
		},
	}
	f.bind(cmd)
	cmd.Flags().BoolVar(&follow, "wait", false, "Wait until each webhook that wants the event has it, or it is given up; exit code 1 unless all have it.")
	cmd.Flags().DurationVar(&timeout, "timeout", timeout, "How long --wait waits.")
	out.bind(cmd, asJSON, asYAML, asName)
	return cmd
}

func (p *plugin) printAccepted(out *output, accepted []face.Accepted) error {
	if done, err := out.document(p.Out, struct {
		Events []face.Accepted `json:"events"`
	}{accepted}); done {
		return err
	}
	for _, a := range accepted {
		if out.format == asName {
			if err := p.say("%s", a.WebhookID); err != nil {
				return err
			}
			continue
		}
		if err := p.say("event %s accepted, webhook-id %s", printable(a.ID), a.WebhookID); err != nil {
			return err
		}
	}
	return nil
}

// An owed is a delivery that an event makes.
type owed struct {
	webhook string
	event   int // its place in what is sent
	waits   string
}

// wanted finds out which webhooks will have the events of a body.
func (p *plugin) wanted(ctx context.Context, namespace, media string, body []byte) ([]owed, error) {
	events, err := match.Read(namespace, media, body, p.now())
	if err != nil {
		return nil, err
	}
	c, err := p.cluster()
	if err != nil {
		return nil, err
	}
	webhooks, err := c.Webhooks(ctx, namespace, "", "")
	if err != nil {
		return nil, err
	}
	var all []owed
	for i := range events {
		for _, x := range match.Explain(&events[i], webhooks.Items) {
			switch x.Result {
			case match.Delivers:
				all = append(all, owed{webhook: x.Webhook, event: i})
			case match.Waits:
				all = append(all, owed{webhook: x.Webhook, event: i, waits: x.Because})
			case match.Asks, match.Ignores:
			}
		}
	}
	return all, nil
}

var errLate = errors.New("the time is up")

// An awaited is what is known of deliveries that are waited for.
type awaited struct {
	*plugin
	namespace string
	aside     bool                // standard output is for a document
	open      map[string][]string // webhook-ids that are not settled, by webhook
	busy      map[string]bool     // webhooks whose log does not keep every attempt
	said      []attemptKey
	bad       bool
}

// follow follows the deliveries to their ends.
func (a *awaited) follow(ctx context.Context, d *face.Client, accepted []face.Accepted, wanted []owed) error {
	if len(wanted) == 0 {
		return badNews{"no webhook of the namespace wants it; see why: kubectl postrider explain-match with the same flags"}
	}
	for _, o := range wanted {
		if o.waits != "" {
			a.note("%s: %s", o.webhook, o.waits)
			a.bad = true
			continue
		}
		a.open[o.webhook] = append(a.open[o.webhook], accepted[o.event].WebhookID)
	}
	pause := shortPause
	for len(a.open) > 0 {
		for webhook := range a.open {
			if err := a.look(ctx, d, webhook); err != nil && !passing(err) {
				return err
			}
		}
		if len(a.open) == 0 {
			break
		}
		if err := wait(ctx, pause); errors.Is(err, errLate) {
			a.late()
			break
		} else if err != nil {
			return err
		}
		pause = min(pause*3/2, longPause)
	}
	if a.bad {
		return badNews{"not every webhook has it"}
	}
	return nil
}

// look reads the newest attempts of a webhook, and says those that are news.
func (a *awaited) look(ctx context.Context, d *face.Client, webhook string) error {
	l := &attemptLog{dispatcher: d, namespace: a.namespace, name: webhook}
	found, err := l.newest(ctx, maxPage)
	if err != nil {
		return err
	}
	for _, t := range slices.Backward(found) {
		a.busy[webhook] = a.busy[webhook] || t.Skipped > 0
		if !slices.Contains(a.open[webhook], t.WebhookID) || slices.Contains(a.said, keyOf(&t)) || t.Test {
			continue
		}
		a.said = append(a.said, keyOf(&t))
		if err := a.tell(webhook, &t); err != nil {
			return err
		}
		if t.Delivered() || t.GivenUp() {
			a.bad = a.bad || !t.Delivered()
			a.settle(webhook, t.WebhookID)
		}
	}
	return nil
}

func (a *awaited) tell(webhook string, t *face.Attempt) error {
	how := t.Reason
	if t.Detail != "" {
		how += ": " + t.Detail
	}
	if status := statusOf(t); status != "" {
		how += " (" + status + ")"
	}
	switch {
	case t.Delivered():
	case t.GivenUp():
		how += ", given up; see: kubectl postrider dead-letters list " + webhook + " -n " + a.namespace
	default:
		how += ", next attempt " + moment(t.Next)
	}
	if a.aside {
		a.note("%s: attempt %d %s", webhook, t.Attempt, how)
		return nil
	}
	return a.say("%s: attempt %d %s", webhook, t.Attempt, printable(how))
}

func (a *awaited) settle(webhook, id string) {
	left := slices.DeleteFunc(a.open[webhook], func(s string) bool { return s == id })
	if len(left) == 0 {
		delete(a.open, webhook)
		return
	}
	a.open[webhook] = left
}

// late says what is still open when the time is up.
func (a *awaited) late() {
	a.bad = true
	for webhook, ids := range a.open {
		unless := ""
		if a.busy[webhook] {
			unless = ", or settled by attempts that the log has not kept, for there are too many"
		}
		a.note("%s: %s not settled yet%s; go on with: kubectl postrider deliveries %s -n %s -f",
			webhook, plural(len(ids), "delivery is", "deliveries are"), unless, webhook, a.namespace)
	}
}

// events reads the one event, or the batch, that the flags make.
func (f *eventFlags) events(ctx context.Context, p *plugin, namespace string) ([]event.Event, error) {
	media, body, err := f.read(ctx, p.In)
	if err != nil {
		return nil, err
	}
	return match.Read(namespace, media, body, p.now())
}
