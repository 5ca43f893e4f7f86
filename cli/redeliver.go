package cli

import (
	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/face"
)

func (p *plugin) redeliver() *cobra.Command {
	return &cobra.Command{
		Use: "redeliver WEBHOOK DELIVERY...", GroupID: do, Args: cobra.MinimumNArgs(2), ValidArgsFunction: p.completeWebhook(false),
		Short: "Send the events of deliveries again",
		Long: `Send the events of deliveries again, with the webhook-id that they had. The ids of
deliveries are those that "deliveries" shows.`,
		Example: `  kubectl postrider redeliver page-created 17-msg_06e9w3a6gk5h0cxn2rm8yq4bkv -n cms
  kubectl postrider redeliver page-created -n cms $(kubectl postrider deliveries page-created -n cms --failed -o name | sort -u)`,
		RunE: func(cmd *cobra.Command, args []string) error {
			d, namespace, err := p.reach(cmd.Context())
			if err != nil {
				return err
			}
			name := args[0]
			for _, delivery := range args[1:] {
				if _, err := whenFree(cmd.Context(), p, func() (face.Redriven, error) {
					return d.Redeliver(cmd.Context(), namespace, name, delivery)
				}); err != nil {
					return err
				}
				if err := p.say("delivery %s enqueued", printable(delivery)); err != nil {
					return err
				}
			}
			return nil
		},
	}
}
