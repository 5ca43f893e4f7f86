package cli

import (
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli/words"
)

func (p *plugin) list() *cobra.Command {
	var all bool
	var labels, fields, state string
	var out output
	names := make([]string, len(words.States))
	for i, s := range words.States {
		names[i] = string(s)
	}
	cmd := &cobra.Command{
		Use: "list", GroupID: see, Args: cobra.NoArgs,
		Short: "List webhooks, and how they fare",
		Example: `  kubectl postrider list -A
  kubectl postrider list -n cms --state Failing
  kubectl postrider list -l team=search -o wide`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			if state != "" && !slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, state) }) {
				return usagef("--state is %q; use one of %s", state, strings.Join(names, ", "))
			}
			namespace, err := p.namespace()
			if err != nil {
				return err
			}
			if all {
				namespace = ""
			}
			c, err := p.cluster()
			if err != nil {
				return err
			}
			webhooks, err := c.Webhooks(cmd.Context(), namespace, labels, fields)
			if err != nil {
				return err
			}
			webhooks.Items = slices.DeleteFunc(webhooks.Items, func(w v1alpha1.Webhook) bool {
				return state != "" && !strings.EqualFold(state, string(words.StateOf(&w)))
			})
			return p.printWebhooks(&out, webhooks, namespace)
		},
	}
	flags := cmd.Flags()
	flags.BoolVarP(&all, "all-namespaces", "A", false, "List those of all namespaces.")
	flags.StringVarP(&labels, "selector", "l", "", "Selector (label query) to filter on, such as team=search.")
	flags.StringVar(&fields, "field-selector", "", "Selector (field query) to filter on, such as metadata.name=page-created.")
	flags.StringVar(&state, "state", "", "List those in one state: "+strings.Join(names, ", ")+".")
	p.complete(cmd, "state", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp))
	out.bind(cmd, asWide, asJSON, asYAML, asName)
	return cmd
}

var webhookColumns = []column{{name: "Name"}, {name: "Type"}, {name: "State"}, {name: "Reason"}, {name: "Pending"}, {name: "Dead"}, {name: "Last Delivery"}, {name: "Last Error"}, {name: "URL", wide: true}, {name: "Age", wide: true}}

func (p *plugin) printWebhooks(out *output, webhooks *v1alpha1.WebhookList, namespace string) error {
	if done, err := out.document(p.Out, webhooks); done {
		return err
	}
	if out.format == asName {
		for i := range webhooks.Items {
			if err := p.say("webhook.postrider.dev/%s", webhooks.Items[i].Name); err != nil {
				return err
			}
		}
		return nil
	}
	if len(webhooks.Items) == 0 {
		p.none("webhooks", namespace)
		return nil
	}
	columns := webhookColumns
	if namespace == "" {
		columns = append([]column{{name: "Namespace"}}, columns...)
	}
	rows := make([][]string, len(webhooks.Items))
	for i := range webhooks.Items {
		w := &webhooks.Items[i]
		if namespace == "" {
			rows[i] = []string{w.Namespace}
		}
		rows[i] = append(rows[i], p.webhookRow(w)...)
	}
	return out.table(p.Out, columns, rows)
}

func (p *plugin) webhookRow(w *v1alpha1.Webhook) []string {
	last := ""
	if d := w.Status.LastDelivery; d != nil {
		last = p.age(&d.Time)
	}
	return []string{
		w.Name, string(w.Spec.Type), string(words.StateOf(w)), words.Reason(w),
		strconv.Itoa(int(w.Status.Pending)), strconv.Itoa(int(w.Status.DeadLetters)), last, words.StandingError(w),
		w.Spec.Endpoint.URL, p.age(&w.CreationTimestamp),
	}
}
