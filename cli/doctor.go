package cli

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/doctor"
	"github.com/postrider/postrider/cli/face"
)

func (p *plugin) doctor() *cobra.Command {
	var all bool
	var admin string
	var out output
	cmd := &cobra.Command{
		Use: "doctor", GroupID: see, Args: cobra.NoArgs,
		Short: "Look at the whole installation, and say what is wrong and what to do",
		Long: `Look at the whole installation, and say what is wrong and what to do. The exit code is
1 when something is.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := out.check(); err != nil {
				return err
			}
			patient, err := p.patient(all, admin)
			if err != nil {
				return err
			}
			findings := patient.Examine(cmd.Context())
			if err := cmd.Context().Err(); err != nil {
				return context.Cause(cmd.Context())
			}
			return p.printFindings(&out, findings)
		},
	}
	cmd.Flags().BoolVarP(&all, "all-namespaces", "A", false, "Look at the webhooks of all namespaces, and at no ServiceAccount, which is of one.")
	cmd.Flags().StringVar(&admin, "admin-server", "", "Address of the admin listener of the dispatcher, such as http://127.0.0.1:8081, instead of a port-forward.")
	out.bind(cmd, asJSON, asYAML)
	return cmd
}

func (p *plugin) patient(all bool, admin string) (*doctor.Patient, error) {
	namespace, err := p.namespace()
	if err != nil {
		return nil, err
	}
	c, err := p.cluster()
	if err != nil {
		return nil, err
	}
	patient := &doctor.Patient{Cluster: c, System: p.system, Namespace: namespace, Forwards: p.server == "", Version: p.version, Now: p.now()}
	if p.tokenFile == "" && !all {
		patient.Account = &cluster.Account{Namespace: namespace, Name: p.serviceAccount}
	}
	if all {
		patient.Namespace = ""
	}
	patient.Ready = func(ctx context.Context) ([]face.Check, *x509.Certificate, error) { return p.ready(ctx, c, admin) }
	return patient, nil
}

// ready asks the admin listener, which wants no token, for its readiness.
func (p *plugin) ready(ctx context.Context, c *cluster.Cluster, admin string) ([]face.Check, *x509.Certificate, error) {
	if admin != "" {
		t, err := p.direct(admin)
		if err != nil {
			return nil, nil, err
		}
		return face.Ready(ctx, client(t), admin)
	}
	tunnel := c.AdminTunnel(ctx, p.system)
	server, t, err := p.through(ctx, c, tunnel)
	if err != nil {
		return nil, nil, err
	}
	t.DialContext = tunnel.Dial
	return face.Ready(ctx, client(t), server)
}

func (p *plugin) printFindings(out *output, findings []doctor.Finding) error {
	wrong := 0
	var b strings.Builder
	for _, f := range findings {
		if f.Level == doctor.Wrong {
			wrong++
		}
		fmt.Fprintf(&b, "%-8s%-15s%s\n", f.Level, f.About, f.Says)
		for _, do := range f.Do {
			fmt.Fprintf(&b, "%23s→ %s\n", "", strings.ReplaceAll(do, "\n", "\n                         "))
		}
	}
	done, err := out.document(p.Out, items[doctor.Finding]{findings})
	if !done {
		_, err = fmt.Fprint(p.Out, printable(b.String()))
	}
	if err == nil && wrong > 0 {
		err = badNews{plural(wrong, "thing is wrong", "things are wrong")}
	}
	return err
}
