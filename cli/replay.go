package cli

import (
	"context"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/face"
)

// chunk is how many deliveries one call makes: few enough that Ctrl-C is heard soon.
// maxChunk is how many it may make.
const chunk, maxChunk = 1000, 10_000

func (p *plugin) replay() *cobra.Command {
	o := replayOrder{plugin: p}
	cmd := &cobra.Command{
		Use: "replay [WEBHOOK]", GroupID: do, Args: cobra.MaximumNArgs(1), ValidArgsFunction: p.completeWebhook(false),
		Short: "Send the events of a time range again",
		Long: `Send the events of a time range again, to one webhook or with --all to all of the
namespace: to those that want them now, by pattern and condition. Receivers see the
webhook-id that they saw before. Ctrl-C stops, and says how to go on.`,
		Example: `  kubectl postrider replay page-created -n cms --since 2h --dry-run
  kubectl postrider replay page-created -n cms --from 2026-01-31T12:00:00Z --to 2026-01-31T13:00:00Z --type 'item:*'
  kubectl postrider replay --all -n cms --since 15m`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				o.name = args[0]
			}
			if o.all == (o.name != "") {
				return usagef("name a webhook, or give --all for all of the namespace")
			}
			order, err := o.order(p.now())
			if err != nil {
				return err
			}
			if o.dispatcher, o.namespace, err = p.reach(cmd.Context()); err != nil {
				return err
			}
			return o.run(cmd.Context(), order)
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&o.since, "since", 0, "Events accepted in this time until now, such as 2h.")
	flags.StringVar(&o.from, "from", "", "Events accepted from this moment on, such as 2026-01-31T12:00:00Z.")
	flags.StringVar(&o.to, "to", "", "Events accepted before this moment. Default: now.")
	flags.StringArrayVar(&o.types, "type", nil, "Events of this type, or of those that a glob such as 'item:*' selects; repeatable. Default: all.")
	flags.BoolVar(&o.dryRun, "dry-run", false, "Count only.")
	flags.BoolVar(&o.all, "all", false, "To all webhooks of the namespace.")
	flags.IntVar(&o.batch, "batch", chunk, "How many deliveries to enqueue in one call; Ctrl-C is heard between two.")
	flags.StringVar(&o.cursor, "cursor", "", "Go on where an earlier run, which said so, has stopped.")
	return cmd
}

// A replayOrder is a replay: its flags, and how it goes.
type replayOrder struct {
	*plugin
	dispatcher             *face.Client
	namespace, name        string
	since                  time.Duration
	from, to, cursor       string
	types                  []string
	dryRun, all            bool
	batch                  int
	events, made, enqueued int
}

// order is what the flags ask for. Its range is fixed, so that it can be gone on with.
func (o *replayOrder) order(now time.Time) (face.Replay, error) {
	r := face.Replay{To: now.UTC(), Types: o.types, DryRun: o.dryRun, Limit: o.batch, Cursor: o.cursor}
	var err error
	switch {
	case o.batch < 1 || o.batch > maxChunk:
		return r, usagef("--batch is %d; give 1 to %d", o.batch, maxChunk)
	case (o.since != 0) == (o.from != ""):
		return r, usagef("give --since or --from, to say from when on")
	case o.since < 0:
		return r, usagef("--since is %s; give a time such as 2h", o.since)
	case o.since != 0 && o.to != "":
		return r, usagef("--since is until now; use --from with --to")
	case o.since != 0:
		r.From = r.To.Add(-o.since)
	default:
		if r.From, err = readMoment("--from", o.from); err != nil {
			return r, err
		}
	}
	if o.to != "" {
		if r.To, err = readMoment("--to", o.to); err != nil {
			return r, err
		}
	}
	if !r.From.Before(r.To) {
		return r, usagef("the range ends, at %s, before it begins; correct --from or --to", r.To.Format(time.RFC3339))
	}
	return r, nil
}

func readMoment(flag, s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return t, usagef("%s is %q; write it like 2026-01-31T12:00:00Z", flag, s)
	}
	return t, nil
}

func (o *replayOrder) run(ctx context.Context, r face.Replay) error {
	total := 0
	if !o.dryRun && r.Cursor == "" {
		var err error
		if total, err = o.count(ctx, r); err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if total == 0 {
			return o.say("no event of the range makes a delivery")
		}
	}
	bar := o.progress("deliveries "+map[bool]string{true: "counted", false: "enqueued"}[o.dryRun], total)
	next, err := o.pass(ctx, r, func() { bar.at(o.made) })
	bar.end()
	if next != r.Cursor && next != "" {
		r.Cursor = next
		o.note("stopped. Go on with:\n  %s", o.continuation(r))
	}
	if err != nil && o.events == 0 {
		return err
	}
	if said := o.tell(); said != nil {
		return said
	}
	return err
}

// count is how many deliveries r makes.
func (o *replayOrder) count(ctx context.Context, r face.Replay) (int, error) {
	counting := *o
	r.DryRun, r.Limit = true, maxChunk
	_, err := counting.pass(ctx, r, func() {})
	return counting.made, err
}

// pass calls until the end of the range, and returns the cursor to go on with when
// it does not come that far. A Ctrl-C lets the call under way end: it says where it
// stopped.
func (o *replayOrder) pass(ctx context.Context, r face.Replay, each func()) (next string, err error) {
	for {
		done, err := whenFree(ctx, o.plugin, func() (face.Replayed, error) {
			return o.dispatcher.Replay(context.WithoutCancel(ctx), o.namespace, o.name, r)
		})
		if err != nil {
			return r.Cursor, err
		}
		o.events += done.Events
		o.made += done.Deliveries
		o.enqueued += done.Enqueued
		each()
		if done.Next == "" {
			return "", nil
		}
		r.Cursor = done.Next
		if ctx.Err() != nil {
			return r.Cursor, context.Cause(ctx)
		}
	}
}

func (o *replayOrder) tell() error {
	events := plural(o.events, "event", "events")
	if o.dryRun {
		return o.say("%s would make %s", events, plural(o.made, "delivery", "deliveries"))
	}
	return o.say("%s, %s enqueued", events, plural(o.enqueued, "delivery", "deliveries"))
}

// continuation is the command that goes on with r.
func (o *replayOrder) continuation(r face.Replay) string {
	words := []string{"kubectl postrider replay"}
	if o.name != "" {
		words = append(words, cluster.Quote(o.name))
	} else {
		words = append(words, "--all")
	}
	words = append(words, "-n "+cluster.Quote(o.namespace),
		"--from "+r.From.Format(time.RFC3339Nano), "--to "+r.To.Format(time.RFC3339Nano))
	for _, t := range r.Types {
		words = append(words, "--type "+cluster.Quote(t))
	}
	if r.DryRun {
		words = append(words, "--dry-run")
	}
	words = append(words, "--cursor "+cluster.Quote(r.Cursor))
	return strings.Join(append(words, o.connection()...), " ")
}
