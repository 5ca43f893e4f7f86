package cli_test

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/postrider/postrider/cli"
	"github.com/postrider/postrider/internal/eventually"
	"github.com/postrider/postrider/internal/secrecy"
	"github.com/postrider/postrider/internal/transcript"
	"github.com/postrider/postrider/test/receiver"
)

func TestThePluginWithARealInstallation(t *testing.T) {
	w := newWorld(t)
	t.Run("webhooks are listed with how they fare", w.lists)
	t.Run("a webhook is described, with its last attempts", w.describes)
	t.Run("an event is sent and followed to its end", w.sends)
	t.Run("a test tells what happened", w.tests)
	t.Run("attempts are listed, and followed as they are made", w.follows)
	t.Run("a delivery and a time range are sent again", w.sendsAgain)
	t.Run("dead letters are listed, shown and sent again", w.raises)
	t.Run("it is explained why an event goes to a webhook or not", w.explains)
	t.Run("what is refused is refused with the commands that grant it", w.refusals)
	t.Run("the doctor finds what is wrong", w.examines)
	t.Run("the dispatcher is reached through the API server", w.forwards)
	t.Run("names are completed", w.completes)
	t.Run("mistakes in the command line are told", w.mistakes)
	t.Run("nothing of the kubeconfig goes to the dispatcher", w.keepsToItself)
}

func (w *world) lists(t *testing.T) {
	ns := w.tenant(t, true)
	w.webhook(t, ns, "good", "/good", ", events: [a]")
	w.webhook(t, ns, "paused", "/paused", ", events: [a], disabled: true")
	w.apply(t, ns, "lacking", "/lacking", ", events: [a], policyRef: {name: none}")
	w.receiver.On("/failing", receiver.Status(500))
	w.webhook(t, ns, "failing", "/failing", ", events: [b]")
	w.run(t, ns, "send", "--type", "b").ok(t, "accepted, webhook-id msg_")
	eventually.True(t, "the status of the failing webhook", func() bool {
		return strings.Contains(w.run(t, ns, "list", "--state", "failing").out, "500 Internal Server Error")
	})
	eventually.True(t, "the status of the lacking webhook", func() bool {
		return strings.Contains(w.run(t, ns, "list", "--state", "NotReady").out, "RefNotFound")
	})
	all := w.run(t, ns, "list").ok(t, "NAME", "LAST ERROR").out
	if strings.Contains(all, "URL") {
		t.Errorf("the URLs are shown without -o wide:\n%s", all)
	}
	for _, row := range []string{"good EventHandler Enabled", "paused EventHandler Disabled SpecDisabled", "lacking EventHandler NotReady RefNotFound", "failing EventHandler Failing ReceiverFailing"} {
		if !strings.Contains(strings.Join(strings.Fields(all), " "), row) {
			t.Errorf("there is no row %q in:\n%s", row, all)
		}
	}
	w.run(t, ns, "list", "-o", "wide").ok(t, "URL", w.receiver.URL("/good"))
	w.run(t, "", "list", "-A", "--field-selector", "metadata.namespace="+ns).ok(t, "NAMESPACE", ns)
	if got := w.run(t, ns, "list", "--state", "Enabled", "-o", "name").ok(t).out; got != "webhook.postrider.dev/good\n" {
		t.Errorf("the names are %q", got)
	}
	if got := w.run(t, ns, "list", "--state", "Enabled", "--no-headers").ok(t).out; !strings.HasPrefix(got, "good ") {
		t.Errorf("without headers it is %q", got)
	}
	var list struct {
		Kind  string
		Items []struct{ Metadata struct{ Name string } }
	}
	unmarshal(t, w.run(t, ns, "list", "-o", "json").ok(t).out, &list)
	if list.Kind != "WebhookList" || len(list.Items) != 4 {
		t.Errorf("the JSON is a %s of %d", list.Kind, len(list.Items))
	}
	w.run(t, ns, "list", "-o", "yaml").ok(t, "kind: WebhookList", "name: good")
	w.run(t, w.tenant(t, false), "list").ok(t, "No webhooks found in namespace")
}

func unmarshal(t *testing.T, text string, to any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), to); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
}

func (w *world) describes(t *testing.T) {
	ns := w.tenant(t, true)
	w.kubectl(t, "apiVersion: postrider.dev/v1alpha1\nkind: WebhookPolicy\nmetadata: {name: strict, namespace: "+ns+"}\nspec: {timeout: 2s, signing: {type: StandardWebhooks, generate: true, secretRef: {name: key}}}\n", "apply", "--server-side")
	w.receiver.On("/described", receiver.Status(404))
	w.apply(t, ns, "described", "/described", ", events: ['item:*'], condition: 'event.data.n > 1', policyRef: {name: strict}")
	w.run(t, ns, "describe", "described", "--attempts", "0").ok(t, "Sends events of type item:*", "event.data.n > 1", `Is signed by StandardWebhooks; the terms are those of WebhookPolicy "strict"`, "An attempt may take 2s")
	w.webhook(t, ns, "plain", "/described", ", events: [x]")
	w.run(t, ns, "send", "--type", "x").ok(t)
	w.logged(t, ns, "plain", 1)
	w.run(t, ns, "describe", "plain").ok(t, "Last attempts:", "Rejected", "404")
	w.run(t, ns, "describe", "absent").ended(t, 3, `there is no Webhook "absent"`, "kubectl postrider list")
}

func (w *world) sends(t *testing.T) {
	ns := w.tenant(t, true)
	w.webhook(t, ns, "taking", "/taking", ", events: ['order:*']")
	got := w.run(t, ns, "send", "--type", "order:paid", "--data", `{"n": 1}`, "--id", "first", "--wait").ok(t, "event first accepted, webhook-id msg_", "taking: attempt 1 Delivered (200)")
	_, rest, _ := strings.Cut(got.out, "webhook-id ")
	if id, _, _ := strings.Cut(rest, "\n"); w.receiver.IDs()[id] != 1 {
		t.Errorf("the receiver does not have %q", id)
	}
	w.run(t, ns, "send", "--type", "other", "--wait").ended(t, 1, "no webhook of the namespace wants it")
	file := `{"specversion": "1.0", "id": "f", "source": "/tests", "type": "order:filed", "data": {"n": 2}}`
	in := strings.NewReader(file)
	w.runWith(t.Context(), t, in, ns, "send", "-f", "-", "-o", "name").ok(t, "msg_")
	w.runWith(t.Context(), t, strings.NewReader("["+file+"]"), ns, "send", "-f", "-", "-o", "json").ok(t, `"id": "f"`)
	w.runWith(t.Context(), t, strings.NewReader(`{"n": 3}`), ns, "send", "--type", "order:read", "--data", "-").ok(t, "accepted")
	var document struct{ Events []struct{ WebhookID string } }
	unmarshal(t, w.run(t, ns, "send", "--type", "order:x", "--wait", "-o", "json").ok(t, "taking: attempt 1 Delivered (200)").out, &document)
	if len(document.Events) != 1 || document.Events[0].WebhookID == "" {
		t.Errorf("the document is %+v", document)
	}

	// Ctrl-C is heard while nobody writes the event.
	typed, typing := io.Pipe()
	t.Cleanup(func() { _ = typing.Close() }) // it always succeeds
	for _, args := range [][]string{{"send", "-f", "-"}, {"test", "taking", "--type", "x", "--data", "-"}} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		w.runWith(ctx, t, typed, ns, args...).ended(t, 130)
	}
	w.run(t, ns, "send", "-f", "-").ended(t, 3, "standard input is empty")
	w.run(t, ns, "send", "--type", "order:x", "--data", "no json").ended(t, 2, "--data is not JSON")
	w.run(t, ns, "send", "--type", "workflow:command").ended(t, 3, "reserved-type")

	w.receiver.On("/dying", receiver.Status(410))
	w.webhook(t, ns, "dying", "/dying", ", events: [die]")
	w.run(t, ns, "send", "--type", "die", "--wait").ended(t, 1, "dying: attempt 1 ReceiverGone", "see: kubectl postrider dead-letters list dying -n "+ns, "not every webhook has it")
	w.receiver.On("/retrying", receiver.Status(500))
	w.webhook(t, ns, "retrying", "/retrying", ", events: [retry]")
	w.run(t, ns, "send", "--type", "retry", "--wait", "--timeout", "1s").ended(t, 1, "retrying: attempt 1 ReceiverError (500), next attempt", "1 delivery is not settled yet; go on with: kubectl postrider deliveries retrying -n "+ns+" -f")
}

func (w *world) tests(t *testing.T) {
	ns := w.tenant(t, true)
	w.receiver.On("/wrong", receiver.Status(404))
	w.webhook(t, ns, "right", "/right", ", events: [a]")
	w.webhook(t, ns, "wrong", "/wrong", ", events: [a], disabled: true")
	w.run(t, ns, "test", "right").ok(t, "The receiver took the delivery (status 200 OK)")
	w.run(t, ns, "test", "wrong").ended(t, 1, "404 Not Found", "Check the path of the URL")
	w.run(t, ns, "test", "right", "--type", "special", "-o", "json").ok(t, `"passed": true`, `"eventType": "special"`)
	w.run(t, ns, "test", "absent").ended(t, 3, "webhook-not-found")
}

func (w *world) follows(t *testing.T) {
	ns := w.tenant(t, true)
	w.receiver.On("/mixed", receiver.Status(500), receiver.Status(200))
	w.webhook(t, ns, "mixed", "/mixed", ", events: ['*']")
	w.run(t, ns, "deliveries", "mixed").ok(t, "No attempts to mixed found")
	w.run(t, ns, "send", "--type", "one").ok(t)
	w.logged(t, ns, "mixed", 1)
	w.run(t, ns, "send", "--type", "two").ok(t)
	w.logged(t, ns, "mixed", 2)

	w.run(t, ns, "deliveries", "mixed").ok(t, "STARTED", "one", "ReceiverError", "500", "two", "Delivered")
	failed := w.run(t, ns, "deliveries", "mixed", "--failed").ok(t, "one").out
	if strings.Contains(failed, "Delivered") {
		t.Errorf("--failed shows\n%s", failed)
	}
	w.run(t, ns, "deliveries", "mixed", "-o", "wide").ok(t, "EVENT ID", "HOST")
	var list struct{ Items []struct{ Reason string } }
	unmarshal(t, w.run(t, ns, "deliveries", "mixed", "-o", "json", "--limit", "1").ok(t).out, &list)
	if len(list.Items) != 1 || list.Items[0].Reason != "Delivered" {
		t.Errorf("the newest is %+v", list.Items)
	}

	ctx, cancel := context.WithCancel(t.Context())
	following := w.start(ctx, strings.NewReader(""), w.args(ns, "deliveries", "mixed", "-f", "-o", "json")...)
	eventually.True(t, "what there is", func() bool { return strings.Count(following.out.String(), "\n") == 2 })
	w.run(t, ns, "send", "--type", "three").ok(t)
	eventually.True(t, "what is new", func() bool { return strings.Count(following.out.String(), "\n") == 3 })
	cancel()
	r := following.wait().ended(t, 130)
	var types []string
	for line := range strings.Lines(r.out) {
		var a struct{ EventType string }
		unmarshal(t, line, &a)
		types = append(types, a.EventType)
	}
	if got := strings.Join(types, " "); got != "one two three" {
		t.Errorf("it showed %q", got)
	}
}

func (w *world) sendsAgain(t *testing.T) {
	ns := w.tenant(t, true)
	w.webhook(t, ns, "again", "/again", ", events: ['x:*']")
	for _, typ := range []string{"x:1", "x:2", "y:1"} {
		w.run(t, ns, "send", "--type", typ).ok(t)
	}
	ids := w.logged(t, ns, "again", 2)
	w.run(t, ns, "redeliver", "again", ids[0]).ok(t, "delivery "+ids[0]+" enqueued")
	w.logged(t, ns, "again", 3)
	w.run(t, ns, "redeliver", "again", "1-nonsense").ended(t, 3, "delivery-not-found")

	w.run(t, ns, "replay", "again", "--since", "1h", "--dry-run").ok(t, "3 events would make 2 deliveries")
	w.run(t, ns, "replay", "again", "--since", "1h", "--type", "x:2").ok(t, "1 event, 1 delivery enqueued", "1 of 1 deliveries enqueued")
	w.run(t, ns, "replay", "--all", "--from", "2020-01-01T00:00:00Z").ok(t, "3 events, 2 deliveries enqueued")
	w.logged(t, ns, "again", 6)
	w.run(t, ns, "replay", "again", "--from", "2020-01-01T00:00:00Z", "--to", "2020-01-02T00:00:00Z").ok(t, "no event of the range makes a delivery")

	// Ctrl-C is heard after the call under way, which says where to go on.
	interrupted, interrupt := context.WithCancel(t.Context())
	out, errs := &transcript.Transcript{}, &tripwire{on: "1 of 2 deliveries", trip: interrupt}
	if code := cli.Run(interrupted, "", w.args(ns, "replay", "again", "--since", "1h", "--batch", "1", "--token", w.userToken), genericiooptions.IOStreams{Out: out, ErrOut: errs}); code != 130 {
		t.Errorf("interrupted, it ended with %d", code)
	}
	result{130, out.String(), errs.String()}.ended(t, 130, "1 event, 1 delivery enqueued", "stopped. Go on with:")
	_, rest, _ := strings.Cut(errs.String(), "kubectl postrider ")
	command, _, _ := strings.Cut(rest, "\n")
	secrecy.AssertNo(t, w.userToken, map[string]any{"the command to go on with": command})
	for _, flag := range []string{"--server=" + w.front.URL, "--ca-file=" + w.identity.file, "--kubeconfig=" + w.kubeconfig} {
		if !strings.Contains(command, flag) {
			t.Errorf("to go on, it says %q, without %q", command, flag)
		}
	}
	w.run(t, ns, strings.Fields(command)...).ok(t, "1 delivery enqueued")
	w.logged(t, ns, "again", 8)
	w.run(t, ns, "replay", "again").ended(t, 2, "give --since or --from")
	w.run(t, ns, "replay", "--since", "1h").ended(t, 2, "name a webhook, or give --all")
	refused := w.run(t, ns, "replay", "again", "--since", "1h", "--cursor", "nonsense").ended(t, 3, "invalid-request")
	if refused.out != "" || strings.Contains(refused.err, "Go on with") {
		t.Errorf("of a replay that was refused it says\n%s%s", refused.out, refused.err)
	}
}

// A tripwire does something when a text is written.
type tripwire struct {
	transcript.Transcript
	on   string
	trip func()
}

func (w *tripwire) Write(p []byte) (int, error) {
	if strings.Contains(string(p), w.on) {
		w.trip()
	}
	return w.Transcript.Write(p)
}

func (w *world) raises(t *testing.T) {
	ns := w.tenant(t, true)
	w.receiver.On("/gone", receiver.Status(400))
	w.kubectl(t, "apiVersion: postrider.dev/v1alpha1\nkind: WebhookPolicy\nmetadata: {name: once, namespace: "+ns+"}\nspec: {retry: {backoff: []}}\n", "apply", "--server-side")
	w.webhook(t, ns, "gone", "/gone", ", events: ['*'], policyRef: {name: once}")
	for _, n := range []string{"1", "2", "3"} {
		w.run(t, ns, "send", "--type", "t", "--data", "{\"n\": "+n+", \"text\": \"\x7f \\ud83d\\ude00\"}").ok(t)
	}
	var ids []string
	eventually.True(t, "three dead letters", func() bool {
		ids = strings.Fields(w.run(t, ns, "dead-letters", "list", "gone", "-o", "name").out)
		return len(ids) == 3
	})
	w.run(t, ns, "dead-letters", "list", "gone").ok(t, "GIVEN UP", "Rejected", "400")
	w.run(t, ns, "dead-letters", "show", "gone", ids[0]).ok(t, "specversion", "reason: Rejected", "text:")
	event := w.run(t, ns, "dead-letters", "show", "gone", ids[0], "--event").ok(t).out
	w.runWith(t.Context(), t, strings.NewReader(event), ns, "explain-match", "-f", "-").ok(t, "gone: delivers")

	w.receiver.On("/gone", receiver.Status(200))
	w.run(t, ns, "dead-letters", "redrive", "gone", ids[2]).ok(t, "dead letter "+ids[2]+" enqueued")
	w.run(t, ns, "dead-letters", "redrive", "gone", "--all").ok(t, "2 dead letters enqueued")
	w.run(t, ns, "dead-letters", "redrive", "gone", "--all").ok(t, "0 dead letters enqueued")
	w.run(t, ns, "dead-letters", "list", "gone").ok(t, "No dead letters of gone found")
	w.run(t, ns, "dead-letters", "redrive", "gone").ended(t, 2, "give --all")
	w.run(t, ns, "dead-letters", "show", "gone", ids[0]).ended(t, 3, "dead-letter-not-found")
}

func (w *world) explains(t *testing.T) {
	ns := w.tenant(t, false) // it needs nothing of the dispatcher
	w.webhook(t, ns, "wants", "/wants", ", events: ['item:*'], condition: 'event.data.n > 1'")
	args := []string{"explain-match", "--type", "item:added", "--data"}
	w.run(t, ns, append(args, `{"n": 2}`)...).ok(t, "wants: delivers")
	w.run(t, ns, append(args, `{"n": 1}`)...).ok(t, "wants: does not match, for the event does not fulfil spec.condition")
	w.run(t, ns, append(args, `{}`, "-o", "json")...).ok(t, `"lacks": "no such key: n"`)
	w.run(t, ns, "explain-match", "absent", "--type", "a").ended(t, 3, `there is no Webhook "absent"`)
}

func (w *world) refusals(t *testing.T) {
	ns := w.tenant(t, false)
	w.webhook(t, ns, "guarded", "/guarded", ", events: [a]")
	account := ns + ":postrider-cli"
	w.run(t, ns, "test", "guarded").ended(t, 3, "there is no ServiceAccount", "kubectl create serviceaccount postrider-cli -n "+ns,
		"kubectl create rolebinding postrider-cli-operator -n "+ns+" --clusterrole=postrider-operator --serviceaccount="+account, "--token-file")
	w.kubectl(t, "", "create", "serviceaccount", "postrider-cli", "-n", ns)
	w.run(t, ns, "test", "guarded").ended(t, 3, "403 forbidden", "may not create webhooks/test.postrider.dev", "kubectl create rolebinding postrider-cli-operator -n "+ns)
	w.run(t, ns, "send", "--type", "a").ended(t, 3, "403 forbidden", "kubectl create rolebinding postrider-cli-producer -n "+ns+" --clusterrole=postrider-producer --serviceaccount="+account)
	w.run(t, ns, "describe", "guarded").ok(t, "Last attempts:", "(not known: the dispatcher answers 403 forbidden")

	// The commands that are shown do grant it.
	w.kubectl(t, "", strings.Fields("create rolebinding postrider-cli-operator -n "+ns+" --clusterrole=postrider-operator --serviceaccount="+account)...)
	eventually.True(t, "the dispatcher to hear of the right", func() bool { return w.run(t, ns, "test", "guarded").code == 0 })

	// A user without the right to make tokens, and without that to see webhooks.
	w.kubectl(t, "", "create", "serviceaccount", "bob", "-n", ns)
	bob := *w
	bob.kubeconfig = w.kubeconfigOf(t, w.token(t, ns, "bob"))
	user := "system:serviceaccount:" + ns + ":bob"
	bob.run(t, ns, "test", "guarded").ended(t, 3, "you may not make a token", "kubectl create role postrider-cli-token -n "+ns+" --verb=create --resource=serviceaccounts/token --resource-name=postrider-cli", "--user="+user)
	bob.run(t, ns, "list").ended(t, 3, "you may not list webhooks", "--clusterrole=postrider-viewer --user="+user)
	bob.run(t, "", "list", "-A").ended(t, 3, "kubectl create clusterrolebinding")
	stranger := w.token(t, ns, "bob", "postrider")
	file := t.TempDir() + "/token"
	write(t, file, stranger)
	bob.run(t, ns, "test", "guarded", "--token-file", file).ended(t, 3, "403 forbidden", "bob")
	write(t, file, w.token(t, ns, "bob")) // of another audience
	bob.run(t, ns, "test", "guarded", "--token-file", file).ended(t, 3, "401 unauthenticated", "--audience=postrider")
	secrecy.AssertNo(t, stranger, map[string]any{"the output": bob.run(t, ns, "test", "guarded", "--token-file", file, "-o", "json")})
}

func (w *world) mistakes(t *testing.T) {
	for _, tt := range []struct{ args, says string }{
		{"nonsense", `unknown command "nonsense"`},
		{"dead-letters nonsense", "use list, show or redrive"},
		{"list --nonsense", "unknown flag"},
		{"list --state Sleeping", "use one of Enabled"},
		{"list -o xml", "use one of wide, json"},
		{"describe", "accepts 1 arg"},
		{"send", "there is no event"},
		{"send --type a -f x", "--filename is a whole event"},
		{"replay a --since 1h --to 2026-01-01T00:00:00Z", "use --from with --to"},
		{"replay a --from yesterday", "write it like"},
	} {
		w.run(t, "default", strings.Fields(tt.args)...).ended(t, 2, tt.says, "--help")
	}
	w.run(t, "default", "send", "--type", "a", "-f", "").ended(t, 3)
	w.runRaw(t, "test", "a", "--kubeconfig", w.kubeconfig, "--server", "ftp://x").ended(t, 2, "it looks like https://")
	secret := w.runRaw(t, "test", "a", "--kubeconfig", w.kubeconfig, "--server", "https://ada:correct-horse@postrider.example.com").ended(t, 2, "leave them out")
	secrecy.AssertNo(t, "correct-horse", map[string]any{"the output": secret.out + secret.err})
}

func (w *world) completes(t *testing.T) {
	ns := w.tenant(t, false)
	w.webhook(t, ns, "alpha", "/alpha", ", events: [a]")
	complete := func(args ...string) string {
		return w.runRaw(t, append([]string{"__complete", "--kubeconfig", w.kubeconfig, "-n", ns}, args...)...).out
	}
	if got := complete("describe", ""); !strings.Contains(got, "alpha\n") {
		t.Errorf("webhooks are completed with %q", got)
	}
	if got := complete("list", "--state", ""); !strings.Contains(got, "Failing\n") {
		t.Errorf("states are completed with %q", got)
	}
	if got := complete("list", "--postrider-namespace", ""); strings.Contains(got, ns) {
		t.Errorf("a user who may not see namespaces is shown %q", got)
	}
	w.kubectl(t, "", "create", "clusterrole", "namespaces", "--verb=list", "--resource=namespaces")
	w.kubectl(t, "", "create", "clusterrolebinding", "ada-sees-namespaces", "--clusterrole=namespaces", "--serviceaccount=people:ada")
	eventually.True(t, "namespaces to be completed", func() bool { return strings.Contains(complete("list", "--postrider-namespace", ""), ns+"\n") })
}

// keepsToItself is last: it looks at all that the dispatcher was shown.
func (w *world) keepsToItself(t *testing.T) {
	shown := w.front.all()
	if len(shown) < 50 {
		t.Fatalf("the dispatcher was called only %d times", len(shown))
	}
	for _, text := range shown {
		for spelling, s := range secrecy.Spellings(w.userToken) {
			if strings.Contains(text, s) {
				t.Fatalf("the dispatcher was shown the token of the kubeconfig (%s)", spelling)
			}
		}
		if strings.Contains(text, "certificate of") {
			t.Fatalf("the dispatcher was shown a %s", text)
		}
		if !strings.Contains(text, "Authorization: Bearer ") {
			t.Errorf("a call shows no token:\n%s", text)
		}
	}
}
