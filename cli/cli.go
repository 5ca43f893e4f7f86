// Package cli is the commands of the kubectl plugin: flags and arguments in, text or
// objects out. What they ask and order is done in the packages below it.
package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/klog/v2"

	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/face"
)

// The exit codes. They are API: scripts act on them.
const (
	ExitBadNews     = 1   // it was done, and what came of it is bad: a test failed, the doctor found something
	ExitUsage       = 2   // the command line is wrong
	ExitFailed      = 3   // it could not be done, or not all of it
	ExitInterrupted = 130 // by Ctrl-C
)

// badNews is an error that says nothing more: what is bad has been shown.
type badNews struct{ says string }

func (b badNews) Error() string { return b.says }

// usageError is a mistake in the command line.
type usageError struct{ says string }

func (u usageError) Error() string { return u.says }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// Run runs the plugin with args, which do not hold its own name, until it is done or
// ctx is, and returns the exit code. version is that of the plugin.
func Run(ctx context.Context, version string, args []string, streams genericiooptions.IOStreams) int {
	klog.SetLogger(logr.Discard()) // client-go would speak on its own
	p := newPlugin(version, streams)
	root := p.command()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code, says := p.judge(ctx, err)
	if says != "" {
		p.note("error: %s", says)
	}
	return code
}

// judge makes an exit code and a text of how a command ended.
func (p *plugin) judge(ctx context.Context, err error) (code int, says string) {
	var bad badNews
	var usage usageError
	switch {
	case errors.As(err, &bad):
		return ExitBadNews, bad.says
	case ctx.Err() != nil:
		return ExitInterrupted, ""
	case errors.As(err, &usage) || !p.begun:
		return ExitUsage, strings.TrimSpace(err.Error()) + "\nSee 'kubectl postrider --help'."
	default:
		return ExitFailed, p.remedy(err).Error()
	}
}

// remedy adds the commands that grant what the dispatcher has refused.
func (p *plugin) remedy(err error) error {
	problem, ok := errors.AsType[*face.Problem](err)
	if !ok || !problem.Named("forbidden") || p.account == nil {
		return err
	}
	role := cluster.RoleOperator
	if strings.Contains(problem.Detail, " create events.") {
		role = cluster.RoleProducer
	}
	return &cluster.Lack{Problem: strings.TrimSuffix(err.Error(), "."), Commands: p.account.Grant(role)}
}

// command is the plugin with all its commands.
func (p *plugin) command() *cobra.Command {
	root := &cobra.Command{
		Use:   "kubectl-postrider",
		Short: "See, test and repair webhooks of Postrider",
		Long: `See, test and repair webhooks of Postrider.

Webhooks are read from the API server with your own rights. The dispatcher is reached
by a port-forward through the API server, and called as a ServiceAccount: your own
credentials never go to it.`,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl postrider"},
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRun: func(*cobra.Command, []string) {
			p.begun = true
		},
	}
	root.SetIn(p.In)
	root.SetOut(p.Out)
	root.SetErr(p.ErrOut)
	p.bind(root)
	root.SetUsageFunc(briefly(root.UsageFunc()))
	root.AddGroup(&cobra.Group{ID: see, Title: "See:"}, &cobra.Group{ID: do, Title: "Do:"})
	root.AddCommand(
		p.list(), p.describe(), p.deliveries(), p.explainMatch(), p.doctor(),
		p.send(), p.test(), p.redeliver(), p.replay(), p.deadLetters(),
		p.showVersion(),
	)
	return root
}

// briefly shows the flags that all commands have, which are many, for the plugin
// alone. A template would be shorter, and with it the linker leaves nothing out: the
// binary grows by a third.
func briefly(usage func(*cobra.Command) error) func(*cobra.Command) error {
	return func(cmd *cobra.Command) error {
		if !cmd.HasParent() {
			return usage(cmd)
		}
		cmd.InheritedFlags().VisitAll(func(f *pflag.Flag) { f.Hidden = true })
		if err := usage(cmd); err != nil {
			return err
		}
		_, err := fmt.Fprintln(cmd.OutOrStdout(), `
Use "kubectl postrider --help" for the flags of all commands.`)
		return err
	}
}

// connection is the flags that say where the API server and the dispatcher are, and who
// the user is, as they were given: for a command that is to be run next. The namespace
// is left out, and a token, which nobody is to see.
func (p *plugin) connection() []string {
	var all []string
	p.flags.VisitAll(func(f *pflag.Flag) {
		if !f.Changed || f.Name == "namespace" || f.Name == "token" {
			return
		}
		values := []string{f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			values = list.GetSlice()
		}
		for _, v := range values {
			all = append(all, "--"+f.Name+"="+cluster.Quote(v))
		}
	})
	return all
}

// The groups of commands.
const see, do = "see", "do"

// bind defines the flags of all commands.
func (p *plugin) bind(root *cobra.Command) {
	p.config = genericclioptions.NewConfigFlags(true)
	p.config.APIServer = nil // --server is that of the dispatcher
	p.config.CacheDir = nil
	flags := root.PersistentFlags()
	p.flags = flags
	p.config.AddFlags(flags)
	flags.StringVar(&p.system, "postrider-namespace", "postrider-system", "namespace in which Postrider is installed")
	flags.StringVar(&p.serviceAccount, "service-account", cluster.DefaultServiceAccount, "ServiceAccount, in the namespace of the webhooks, that the dispatcher is called as")
	flags.StringVar(&p.tokenFile, "token-file", "", "file with a token for the audience postrider, instead of one of the ServiceAccount")
	flags.StringVar(&p.server, "server", "", "address of the dispatcher, such as https://postrider.example.com, instead of a port-forward")
	flags.StringVar(&p.caFile, "ca-file", "", "file with the certificates that the dispatcher's is verified by; default: those that Postrider publishes, or with --server those of this machine")
	p.complete(root, "namespace", p.completeNamespaces)
	p.complete(root, "postrider-namespace", p.completeNamespaces)
}
