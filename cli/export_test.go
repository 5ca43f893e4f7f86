package cli

import (
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli/face"
	"github.com/postrider/postrider/cli/match"
	"github.com/postrider/postrider/cli/words"
	"github.com/postrider/postrider/dispatcher/event"
)

// Texts is what is written about objects, at a moment.
type Texts struct{ p *plugin }

// TextsAt makes them.
func TextsAt(now time.Time) Texts {
	p := newPlugin("", genericiooptions.NewTestIOStreamsDiscard())
	p.now = func() time.Time { return now }
	return Texts{p}
}

// List is what "list -o wide" writes.
func (x Texts) List(list *v1alpha1.WebhookList) (string, error) {
	var out strings.Builder
	x.p.Out = &out
	err := x.p.printWebhooks(&output{format: asWide}, list, "shop")
	return out.String(), err
}

// Describe is what "describe" writes, without attempts.
func (x Texts) Describe(s words.Subject) (string, error) {
	var out strings.Builder
	err := x.p.writeDescription(&out, s)
	return out.String(), err
}

// Explain is what "explain-match" writes.
func (x Texts) Explain(e *event.Event, webhooks []v1alpha1.Webhook) (string, error) {
	var out strings.Builder
	x.p.Out = &out
	err := x.p.printExplained([]explained{{e.ID, e.Type, refusal(e), match.Explain(e, webhooks)}}, e.Namespace)
	return out.String(), err
}

// Attempts is what "deliveries" writes, to standard output and to standard error.
func (x Texts) Attempts(found []face.Attempt) (out, errs string, err error) {
	var o, e strings.Builder
	x.p.Out, x.p.ErrOut = &o, &e
	err = x.p.printAttempts(&output{}, found, "shop", "orders")
	return o.String(), e.String(), err
}

// Document is what -o json and -o yaml write.
func Document(format string, v any) (string, error) {
	var out strings.Builder
	_, err := (&output{format: format}).document(&out, v)
	return out.String(), err
}

// Command is the plugin with all its commands.
func Command() *cobra.Command {
	return newPlugin("", genericiooptions.NewTestIOStreamsDiscard()).command()
}
