package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/printers"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/face"
	"github.com/postrider/postrider/cli/words"
)

func (p *plugin) describe() *cobra.Command {
	attempts := 5
	cmd := &cobra.Command{
		Use: "describe WEBHOOK", GroupID: see, Args: cobra.ExactArgs(1), ValidArgsFunction: p.completeWebhook(false),
		Short: "Say what a webhook does, how it fares and what to do next",
		Example: `  kubectl postrider describe page-created -n cms
  kubectl postrider describe page-created --attempts 0   # does not ask the dispatcher`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if attempts < 0 || attempts > maxPage {
				return usagef("--attempts is %d; give 0 to %d", attempts, maxPage)
			}
			namespace, err := p.namespace()
			if err != nil {
				return err
			}
			c, err := p.cluster()
			if err != nil {
				return err
			}
			w, err := c.Webhook(cmd.Context(), namespace, args[0])
			if err != nil {
				return err
			}
			if err := p.writeDescription(p.Out, subject(cmd.Context(), c, w)); err != nil || attempts == 0 {
				return err
			}
			return p.describeAttempts(cmd.Context(), w, attempts)
		},
	}
	cmd.Flags().IntVar(&attempts, "attempts", attempts, "How many of the last attempts to show.")
	return cmd
}

// subject reads what w refers to. What the user may not read is left out.
func subject(ctx context.Context, c *cluster.Cluster, w *v1alpha1.Webhook) words.Subject {
	s := words.Subject{Webhook: w}
	if ref := w.Spec.PolicyRef; ref != nil {
		s.Policy, _ = c.Policy(ctx, w.Namespace, ref.Name) // else it is said that it cannot be read
	}
	if ref := w.Spec.AuthorizationRef; ref != nil {
		s.Item, _ = c.AuthorizationItem(ctx, w.Namespace, ref.Name) // else its name is all that is said
	}
	return s
}

// writeDescription writes all that the objects tell.
func (p *plugin) writeDescription(out io.Writer, s words.Subject) error {
	w := s.Webhook
	var b strings.Builder
	fmt.Fprintf(&b, "Name:          %s\nNamespace:     %s\nType:          %s\nState:         %s", w.Name, w.Namespace, w.Spec.Type, words.StateOf(w))
	if why := words.Reason(w); why != "" {
		fmt.Fprintf(&b, " (%s)", why)
	}
	b.WriteString("\n")
	if w.Spec.Description != "" {
		fmt.Fprintf(&b, "Description:   %s\n", strings.ReplaceAll(w.Spec.Description, "\n", "\n               "))
	}
	if d := w.Status.LastDelivery; d != nil {
		fmt.Fprintf(&b, "Last delivery: %s ago, attempt %d of %s, %s\n", p.age(&d.Time), d.Attempt, d.EventType, d.Outcome)
	}
	if text := words.StandingError(w); text != "" {
		fmt.Fprintf(&b, "Last error:    %s, %s ago\n", text, p.age(w.Status.LastErrorTime))
	}
	fmt.Fprintf(&b, "Pending:       %d\nDead letters:  %d\n", w.Status.Pending, w.Status.DeadLetters)

	b.WriteString("\nWhat it does:\n")
	for _, line := range s.Meaning() {
		b.WriteString("  " + line + "\n")
	}
	b.WriteString("\nConditions:\n")
	conditions(&b, w)
	b.WriteString("\nWhat to do next:\n")
	steps := words.Steps(w)
	if len(steps) == 0 {
		steps = []string{"Nothing."}
	}
	for _, step := range steps {
		b.WriteString("  " + step + "\n")
	}
	_, err := io.WriteString(out, printable(b.String()))
	return err
}

func conditions(b *strings.Builder, w *v1alpha1.Webhook) {
	aligned := printers.GetNewTabWriter(b)
	for _, j := range words.Judgements(w) {
		says := j.Reason
		if j.Message != "" {
			says += ": " + j.Message
		}
		_, _ = fmt.Fprintf(aligned, "  %s?\t%s\t%s\n", j.About, j.Answer, says) // a Builder takes everything
	}
	_ = aligned.Flush() // likewise
}

// describeAttempts adds the last attempts. Whoever may not read the log, or cannot
// reach the dispatcher, gets the rest all the same.
func (p *plugin) describeAttempts(ctx context.Context, w *v1alpha1.Webhook, n int) error {
	if err := p.say("\nLast attempts:"); err != nil {
		return err
	}
	page, err := p.lastAttempts(ctx, w, n)
	if err != nil && ctx.Err() == nil {
		return p.say("  (not known: %s)", cluster.Brief(p.remedy(err)))
	}
	if err != nil {
		return err
	}
	if len(page.Items) == 0 {
		return p.say("  none")
	}
	var table strings.Builder
	if err := new(output).table(&table, attemptColumns, attemptRows(page.Items)); err != nil {
		return err
	}
	return p.say("  %s", strings.ReplaceAll(strings.TrimSuffix(table.String(), "\n"), "\n", "\n  "))
}

func (p *plugin) lastAttempts(ctx context.Context, w *v1alpha1.Webhook, n int) (face.Page[face.Attempt], error) {
	d, err := p.dispatcher(ctx, w.Namespace)
	if err != nil {
		return face.Page[face.Attempt]{}, err
	}
	return d.Attempts(ctx, w.Namespace, w.Name, face.Query{Limit: n})
}
