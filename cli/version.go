package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/doctor"
)

func (p *plugin) showVersion() *cobra.Command {
	var out output
	var clientOnly bool
	cmd := &cobra.Command{
		Use: "version", GroupID: see, Args: cobra.NoArgs,
		Short: "Show the versions of the plugin and of what is installed",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			v := versions{Plugin: p.version}
			if !clientOnly {
				v.Manager, v.Dispatcher = p.installed(cmd.Context(), cluster.ManagerDeployment), p.installed(cmd.Context(), cluster.DispatcherDeployment)
			}
			if done, err := out.document(p.Out, v); done {
				return err
			}
			for _, line := range []struct{ name, version string }{{"plugin", v.Plugin}, {"manager", v.Manager}, {"dispatcher", v.Dispatcher}} {
				if line.version != "" {
					if err := p.say("%-11s %s", line.name+":", line.version); err != nil {
						return err
					}
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&clientOnly, "client", false, "Show that of the plugin alone.")
	out.bind(cmd, asJSON, asYAML)
	return cmd
}

type versions struct {
	Plugin     string `json:"plugin"`
	Manager    string `json:"manager,omitempty"`
	Dispatcher string `json:"dispatcher,omitempty"`
}

// installed is the version of a program in the cluster, or why it is not known.
func (p *plugin) installed(ctx context.Context, name string) string {
	c, err := p.cluster()
	if err != nil {
		return fmt.Sprintf("not known (%s)", cluster.Brief(err))
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	d, err := c.Deployment(ctx, p.system, name)
	switch {
	case err != nil:
		return fmt.Sprintf("not known (%s)", strings.TrimSpace(cluster.Brief(err)))
	case d == nil:
		return "not installed in namespace " + p.system
	}
	return doctor.VersionOf(d)
}
