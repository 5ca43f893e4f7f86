// Command sitecore-convert reads webhooks of Sitecore XM or XM Cloud as "dotnet
// sitecore ser pull" writes their items, and writes them as Webhooks,
// AuthorizationItems and a WebhookPolicy.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/postrider/postrider/migration"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "sitecore-convert:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "sitecore-convert:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, stderr io.Writer) error {
	f, err := parse(args, stderr)
	if err != nil {
		return err
	}
	items, err := read(f.inputs)
	if err != nil {
		return err
	}
	result := migration.Convert(append(items, f.known...), f.options)
	for _, note := range result.Notes {
		if _, err := fmt.Fprintln(stderr, note); err != nil {
			return err
		}
	}
	if len(result.Objects) == 0 {
		return fmt.Errorf("none of the %d items read is a webhook or an authorization that can be written", len(items))
	}
	if f.output != "" {
		return writeFolder(f.output, result.Objects, f.options.Namespace)
	}
	for i, o := range result.Objects {
		text, err := o.YAML(f.options.Namespace)
		if err != nil {
			return err
		}
		if i > 0 {
			text = append([]byte("---\n"), text...)
		}
		if _, err := stdout.Write(text); err != nil {
			return err
		}
	}
	return nil
}
