package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"

	"github.com/postrider/postrider/migration"
)

// errUsage marks what is wrong with the command line.
var errUsage = errors.New("see --help")

// flags are what the command line says.
type flags struct {
	inputs  []string
	output  string
	known   []migration.Item
	options migration.Options
}

const usage = `sitecore-convert reads webhooks of Sitecore XM or XM Cloud from files, as "dotnet sitecore
ser pull" writes them, and writes them as Webhooks, AuthorizationItems and a WebhookPolicy.

  sitecore-convert [flags] FILE-OR-FOLDER...

Serialize what webhooks refer to as well, and name it too: authorization items, event types
(/sitecore/system/Settings/Webhooks), workflows, and the templates below
/sitecore/templates/System/Webhooks and /sitecore/templates/System/Workflow. What is missing
can be told with --item.

Standard error tells what was not carried over, and what is to be done. A Webhook that would
send more than it did in Sitecore is written disabled. Credentials are never written: each
AuthorizationItem names the Secret that it needs.

Flags:
`

// parse reads the command line. It prints help to out.
func parse(args []string, out io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("sitecore-convert", flag.ContinueOnError)
	set.SetOutput(out)
	set.Usage = func() {
		_, _ = fmt.Fprint(out, usage) // nobody is left to tell when this fails
		set.PrintDefaults()
	}
	set.StringVar(&f.options.Namespace, "namespace", "", "`namespace` of the objects; default: none is written, so that kubectl's is used")
	set.StringVar(&f.options.Policy, "policy", "sitecore", "`name` of the WebhookPolicy that the Webhooks share")
	set.StringVar(&f.output, "output", "", "`folder` to write to, one file for each object; it must not exist or be empty. Default: standard output")
	set.Func("item", "`ID=NAME` of an item that is in no file: an event (item:added), a template (Basic, Webhook Submit Action), a field (Title), a serialization type (JSON, XML); may be repeated", func(v string) error {
		id, name, _ := strings.Cut(v, "=")
		item, ok := migration.Known(id, strings.TrimSpace(name))
		if !ok {
			return errors.New("it must look like {EAB76990-706E-4343-B7FC-16A96A37C37F}=item:added")
		}
		f.known = append(f.known, item)
		return nil
	})
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return flags{}, err
		}
		return flags{}, fmt.Errorf("%w; %w", err, errUsage)
	}
	f.inputs = set.Args()
	switch {
	case len(f.inputs) == 0:
		return flags{}, fmt.Errorf("give files or folders with serialized items; %w", errUsage)
	case f.options.Namespace != "" && !isLabel(f.options.Namespace):
		return flags{}, fmt.Errorf("--namespace %q is no name of a namespace, such as cms; %w", f.options.Namespace, errUsage)
	case !isLabel(f.options.Policy):
		return flags{}, fmt.Errorf("--policy %q is no name of an object, such as sitecore; %w", f.options.Policy, errUsage)
	}
	return f, nil
}

// isLabel tells names that Kubernetes takes for anything (RFC 1123).
func isLabel(s string) bool {
	inside := func(r rune) bool { return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' }
	return s != "" && len(s) <= 63 && strings.Trim(s, "-") == s && strings.IndexFunc(s, func(r rune) bool { return !inside(r) }) < 0
}
