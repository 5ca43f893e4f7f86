package cli

import (
	"github.com/spf13/cobra"
)

func (p *plugin) test() *cobra.Command {
	var f eventFlags
	var out output
	cmd := &cobra.Command{
		Use: "test WEBHOOK", GroupID: do, Args: cobra.ExactArgs(1), ValidArgsFunction: p.completeWebhook(false),
		Short: "Attempt one delivery over the real road, and see what happens",
		Long: `Attempt one delivery over the real road, and see what happens: whatever patterns and
condition of the webhook say, and also when it is disabled. Nothing is stored. Without
flags the event is of type postrider.test.`,
		Example: `  kubectl postrider test page-created -n cms
  kubectl postrider test page-created -n cms -f event.json -o json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := out.check(); err != nil {
				return err
			}
			namespace, err := p.namespace()
			if err != nil {
				return err
			}
			var media string
			var body []byte
			if f.given() {
				if media, body, err = f.read(cmd.Context(), p.In); err != nil {
					return err
				}
			}
			d, err := p.dispatcher(cmd.Context(), namespace)
			if err != nil {
				return err
			}
			tested, err := d.Test(cmd.Context(), namespace, args[0], media, body)
			if err != nil {
				return err
			}
			if done, err := out.document(p.Out, tested); err != nil {
				return err
			} else if !done {
				if err := p.say("%s", printable(tested.Explanation)); err != nil {
					return err
				}
			}
			if !tested.Passed {
				return badNews{}
			}
			return nil
		},
	}
	f.bind(cmd)
	out.bind(cmd, asJSON, asYAML)
	return cmd
}
