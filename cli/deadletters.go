package cli

import (
	"context"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/face"
)

func (p *plugin) deadLetters() *cobra.Command {
	cmd := &cobra.Command{
		Use: "dead-letters", Aliases: []string{"dead", "deadletters"}, GroupID: do,
		Short: "List, show and send again what was given up",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("unknown command %q; use list, show or redrive", args[0])
			}
			return cmd.Help()
		},
	}
	cmd.AddCommand(p.listDead(), p.showDead(), p.redriveDead())
	return cmd
}

func (p *plugin) listDead() *cobra.Command {
	limit := 50
	var out output
	cmd := &cobra.Command{
		Use: "list WEBHOOK", Args: cobra.ExactArgs(1), ValidArgsFunction: p.completeWebhook(false),
		Short:   "List the dead letters of a webhook, newest first",
		Example: `  kubectl postrider dead-letters list page-created -n cms`,
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
			found, err := newestDead(cmd.Context(), d, namespace, args[0], limit)
			if err != nil {
				return err
			}
			return p.printDead(&out, found, namespace, args[0])
		},
	}
	cmd.Flags().IntVar(&limit, "limit", limit, "How many to show at most.")
	out.bind(cmd, asWide, asJSON, asYAML, asName)
	return cmd
}

func newestDead(ctx context.Context, d *face.Client, namespace, name string, limit int) ([]face.DeadLetter, error) {
	found := []face.DeadLetter{}
	q := face.Query{Limit: min(limit, maxPage)}
	for {
		page, err := d.DeadLetters(ctx, namespace, name, q)
		if err != nil {
			return nil, err
		}
		found = append(found, page.Items...)
		if q.Before = page.Next; q.Before == "" || len(found) >= limit {
			return found[:min(len(found), limit)], nil
		}
	}
}

var deadColumns = []column{
	{name: "ID"}, {name: "Given Up"}, {name: "Event Type"}, {name: "Attempts"}, {name: "Reason"}, {name: "Status"}, {name: "Bytes"},
	{name: "Event ID", wide: true}, {name: "Webhook-ID", wide: true}, {name: "Detail", wide: true},
}

func (p *plugin) printDead(out *output, found []face.DeadLetter, namespace, name string) error {
	if done, err := out.document(p.Out, items[face.DeadLetter]{found}); done {
		return err
	}
	if out.format == asName {
		for _, l := range found {
			if err := p.say("%s", l.ID); err != nil {
				return err
			}
		}
		return nil
	}
	if len(found) == 0 {
		p.none("dead letters of "+name, namespace)
		return nil
	}
	rows := make([][]string, len(found))
	for i, l := range found {
		status := ""
		if l.Status != 0 {
			status = strconv.Itoa(l.Status)
		}
		rows[i] = []string{l.ID, moment(l.At), l.EventType, strconv.Itoa(l.Attempts), l.Reason, status, strconv.Itoa(l.Bytes), l.EventID, l.WebhookID, l.Detail}
	}
	return out.table(p.Out, deadColumns, rows)
}

func (p *plugin) showDead() *cobra.Command {
	out := output{}
	eventOnly := false
	cmd := &cobra.Command{
		Use: "show WEBHOOK ID", Args: cobra.ExactArgs(2), ValidArgsFunction: p.completeWebhook(false),
		Short: "Show a dead letter, with its event",
		Long:  "Show a dead letter, with its event: its data may be confidential.",
		Example: `  kubectl postrider dead-letters show page-created 17 -n cms
  kubectl postrider dead-letters show page-created 17 -n cms --event | kubectl postrider explain-match page-created -n cms -f -`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			d, namespace, err := p.reach(cmd.Context())
			if err != nil {
				return err
			}
			letter, err := d.DeadLetter(cmd.Context(), namespace, args[0], args[1])
			if err != nil {
				return err
			}
			if out.format == "" {
				out.format = asYAML
			}
			if eventOnly {
				out.format = asJSON
				_, err = out.document(p.Out, letter.Event)
				return err
			}
			_, err = out.document(p.Out, letter)
			return err
		},
	}
	cmd.Flags().BoolVar(&eventOnly, "event", false, "Show the event alone, as a CloudEvent in JSON that can be posted again.")
	out.bind(cmd, asYAML, asJSON)
	return cmd
}

func (p *plugin) redriveDead() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use: "redrive WEBHOOK [ID...]", Args: cobra.MinimumNArgs(1), ValidArgsFunction: p.completeWebhook(false),
		Short: "Send dead letters again, and remove them",
		Example: `  kubectl postrider dead-letters redrive page-created 17 -n cms
  kubectl postrider dead-letters redrive page-created -n cms --all`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 1) {
				return usagef("name the dead letters to send again, or give --all")
			}
			d, namespace, err := p.reach(cmd.Context())
			if err != nil {
				return err
			}
			if all {
				return p.redriveAll(cmd.Context(), d, namespace, args[0])
			}
			for _, id := range args[1:] {
				if _, err := whenFree(cmd.Context(), p, func() (face.Redriven, error) { return d.Redrive(cmd.Context(), namespace, args[0], id) }); err != nil {
					return err
				}
				if err := p.say("dead letter %s enqueued", printable(id)); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "Send all of the webhook again, oldest first.")
	return cmd
}

// redriveAll calls until there are no more. A Ctrl-C lets the call under way end: it
// says what is done.
func (p *plugin) redriveAll(ctx context.Context, d *face.Client, namespace, name string) error {
	done := 0
	for {
		got, err := whenFree(ctx, p, func() (face.Redriven, error) {
			return d.RedriveAll(context.WithoutCancel(ctx), namespace, name, chunk)
		})
		done += got.Enqueued
		switch {
		case err != nil:
		case got.Remaining == 0:
			return p.say("%s enqueued", plural(done, "dead letter", "dead letters"))
		case ctx.Err() == nil:
			p.note("%d enqueued, about %d left", done, got.Remaining)
			continue
		default:
			p.note("about %d are left; the same command goes on", got.Remaining)
			err = context.Cause(ctx)
		}
		if said := p.say("%s enqueued", plural(done, "dead letter", "dead letters")); said != nil {
			return said
		}
		return err
	}
}
