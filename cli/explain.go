package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli/match"
	"github.com/postrider/postrider/dispatcher/event"
)

func (p *plugin) explainMatch() *cobra.Command {
	var f eventFlags
	var out output
	cmd := &cobra.Command{
		Use: "explain-match [WEBHOOK...]", GroupID: see, ValidArgsFunction: p.completeWebhook(true),
		Short: "Say why an event does or does not go to each webhook",
		Long: `Say why an event does or does not go to each webhook of the namespace: pattern by
pattern, condition by condition. Nothing is sent: it is found out here, by the code of
the manager and the dispatcher, from the webhooks that you may read.`,
		Example: `  kubectl postrider explain-match -n cms --type order.created --data '{"total": 120.5}'
  kubectl postrider explain-match page-created -n cms -f event.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			namespace, err := p.namespace()
			if err != nil {
				return err
			}
			events, err := f.events(cmd.Context(), p, namespace)
			if err != nil {
				return err
			}
			webhooks, err := p.named(cmd.Context(), namespace, args)
			if err != nil {
				return err
			}
			var all []explained
			for i := range events {
				all = append(all, explained{ID: events[i].ID, Type: events[i].Type, Refusal: refusal(&events[i]), Webhooks: match.Explain(&events[i], webhooks)})
			}
			if done, err := out.document(p.Out, items[explained]{all}); done {
				return err
			}
			return p.printExplained(all, namespace)
		},
	}
	f.bind(cmd)
	out.bind(cmd, asJSON, asYAML)
	return cmd
}

// explained is what becomes of one event.
type explained struct {
	ID       string              `json:"id"`
	Type     string              `json:"type"`
	Refusal  string              `json:"refusal,omitempty"` // why a dispatcher would not take it
	Webhooks []match.Explanation `json:"webhooks"`
}

func refusal(e *event.Event) string {
	if err := match.Refusal(e); err != nil {
		return err.Error()
	}
	return ""
}

// named returns the webhooks of the names, or all of the namespace.
func (p *plugin) named(ctx context.Context, namespace string, names []string) ([]v1alpha1.Webhook, error) {
	c, err := p.cluster()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		list, err := c.Webhooks(ctx, namespace, "", "")
		if err != nil {
			return nil, err
		}
		return list.Items, nil
	}
	var all []v1alpha1.Webhook
	for _, name := range names {
		w, err := c.Webhook(ctx, namespace, name)
		if err != nil {
			return nil, err
		}
		all = append(all, *w)
	}
	return all, nil
}

func (p *plugin) printExplained(all []explained, namespace string) error {
	var b strings.Builder
	for i, e := range all {
		if i > 0 {
			b.WriteString("\n")
		}
		fmt.Fprintf(&b, "Event of type %s in namespace %s\n", e.Type, namespace)
		if e.Refusal != "" {
			fmt.Fprintf(&b, "  The dispatcher would refuse it: %s\n", e.Refusal)
		}
		if len(e.Webhooks) == 0 {
			b.WriteString("  There is no webhook.\n")
		}
		for _, x := range e.Webhooks {
			writeExplanation(&b, x)
		}
	}
	_, err := fmt.Fprint(p.Out, printable(b.String()))
	return err
}

var resultTexts = map[match.Result]string{
	match.Delivers: "delivers", match.Waits: "waits", match.Asks: "is asked", match.Ignores: "does not match",
}

func writeExplanation(b *strings.Builder, x match.Explanation) {
	fmt.Fprintf(b, "\n%s: %s, for %s\n", x.Webhook, resultTexts[x.Result], x.Because)
	for _, t := range x.Patterns {
		fmt.Fprintf(b, "  %s pattern    %s\n", mark(t.Selects), t.Pattern)
	}
	for _, c := range x.Conditions {
		fmt.Fprintf(b, "  %s %-9s  %s\n", mark(c.Holds), strings.TrimPrefix(c.Field, "spec."), strings.ReplaceAll(c.Text, "\n", "\n               "))
		for _, why := range slices.DeleteFunc([]string{c.Lacks, c.Error}, func(s string) bool { return s == "" }) {
			fmt.Fprintf(b, "               %s\n", why)
		}
	}
	for _, o := range x.Obstacles {
		fmt.Fprintf(b, "  ! %s: %s\n", o.Reason, o.Detail)
	}
}

func mark(yes bool) string {
	if yes {
		return "+"
	}
	return "-"
}
