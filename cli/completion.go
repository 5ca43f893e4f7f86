package cli

import (
	"context"
	"time"

	"github.com/spf13/cobra"
)

// completionTime bounds what a shell waits for.
const completionTime = 3 * time.Second

// complete has values of a flag completed. That it is not there is a mistake in here.
func (p *plugin) complete(cmd *cobra.Command, flag string, with cobra.CompletionFunc) {
	if err := cmd.RegisterFlagCompletionFunc(flag, with); err != nil {
		panic(err)
	}
}

// completeWebhook completes the first argument, or with more each.
func (p *plugin) completeWebhook(more bool) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 && !more {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		namespace, err := p.namespace()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		c, err := p.cluster()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(contextOf(cmd), completionTime)
		defer cancel()
		webhooks, err := c.Webhooks(ctx, namespace, "", "")
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		names := make([]string, len(webhooks.Items))
		for i := range webhooks.Items {
			names[i] = webhooks.Items[i].Name
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	}
}

func (p *plugin) completeNamespaces(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c, err := p.cluster()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(contextOf(cmd), completionTime)
	defer cancel()
	names, err := c.Namespaces(ctx)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// contextOf is that of the command line: cobra gives the command that is completed none.
func contextOf(cmd *cobra.Command) context.Context {
	if ctx := cmd.Context(); ctx != nil {
		return ctx
	}
	return cmd.Root().Context()
}
