// Package doctor looks at an installation from outside, as the kubectl plugin can,
// and says of each thing whether it is well and what to do when it is not.
package doctor

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/postrider/postrider/api/v1alpha1"
	"github.com/postrider/postrider/cli/cluster"
	"github.com/postrider/postrider/cli/face"
	"github.com/postrider/postrider/cli/words"
)

// Level is how bad a finding is.
type Level string

// The levels.
const (
	OK      Level = "OK"
	Unknown Level = "UNKNOWN" // it could not be looked at
	Wrong   Level = "WRONG"
)

// A Finding is about one thing.
type Finding struct {
	Level Level    `json:"level"`
	About string   `json:"about"` // one or two words
	Says  string   `json:"says"`
	Do    []string `json:"do,omitempty"` // what to do, or commands
}

// A Patient is what is looked at.
type Patient struct {
	Cluster   *cluster.Cluster
	System    string           // the namespace of Postrider
	Namespace string           // of the webhooks, empty for all
	Account   *cluster.Account // that the dispatcher is called as, nil when that is not known, or of all namespaces
	Forwards  bool             // the dispatcher is reached by a port-forward
	Version   string           // of the plugin
	Now       time.Time

	// Ready asks the dispatcher whether it is ready; certificate is the one it shows.
	Ready func(context.Context) (checks []face.Check, certificate *x509.Certificate, err error)
}

// Examine returns the findings, always in the same order.
func (p *Patient) Examine(ctx context.Context) []Finding {
	server := p.server()
	if server.Level == Wrong {
		return []Finding{server} // nothing else can be looked at
	}
	findings := []Finding{server, p.kinds(), p.program(ctx, "manager", cluster.ManagerDeployment), p.program(ctx, "dispatcher", cluster.DispatcherDeployment)}
	findings = append(findings, p.versions(ctx)...)
	findings = append(findings, p.dispatcher(ctx)...)
	findings = append(findings, p.user(ctx))
	if p.Namespace != "" {
		findings = append(findings, p.account(ctx))
	}
	return append(findings, p.webhooks(ctx)...)
}

func (p *Patient) server() Finding {
	const about = "API server"
	version, err := p.Cluster.Version()
	if err != nil {
		return Finding{Wrong, about, cluster.Brief(err), []string{"See which one it is: kubectl cluster-info"}}
	}
	return Finding{Level: OK, About: about, Says: "it answers, its version is " + version}
}

var kinds = []string{"AuthorizationItem", "Webhook", "WebhookPolicy"}

func (p *Patient) kinds() Finding {
	const about = "CRDs"
	known, err := p.Cluster.Kinds()
	if err != nil {
		return failed(about, err)
	}
	var missing []string
	for _, k := range kinds {
		if !slices.Contains(known, k) {
			missing = append(missing, k)
		}
	}
	if len(missing) > 0 {
		return Finding{Wrong, about, "the API server does not know " + strings.Join(missing, ", ") + " of " + v1alpha1.GroupVersion.String(), []string{"Apply the CRDs of the version that is installed: kubectl apply --server-side -k config/crd"}}
	}
	return Finding{Level: OK, About: about, Says: strings.Join(kinds, ", ") + " of " + v1alpha1.GroupVersion.String() + " are there"}
}

// failed is a finding that could not be made.
func failed(about string, err error) Finding {
	f := Finding{Level: Wrong, About: about, Says: cluster.Brief(err)}
	if cluster.IsUnseen(err) {
		f.Level = Unknown
	}
	f.Do = remedies(err)
	return f
}

func (p *Patient) program(ctx context.Context, about, name string) Finding {
	d, err := p.Cluster.Deployment(ctx, p.System, name)
	switch {
	case err != nil:
		return failed(about, err)
	case d == nil:
		return Finding{Wrong, about, fmt.Sprintf("there is no Deployment %q in namespace %q", name, p.System), []string{"Say with --postrider-namespace where Postrider is installed, or install it."}}
	}
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	says := fmt.Sprintf("%d of %d replicas are ready", d.Status.ReadyReplicas, want)
	see := []string{
		fmt.Sprintf("kubectl describe deployment %s -n %s", name, p.System),
		fmt.Sprintf("kubectl logs deployment/%s -n %s --tail=50", name, p.System),
	}
	switch {
	case want == 0:
		return Finding{Wrong, about, "it is scaled to no replica", []string{fmt.Sprintf("kubectl scale deployment %s -n %s --replicas=1", name, p.System)}}
	case d.Status.ReadyReplicas < want:
		return Finding{Wrong, about, says, see}
	case d.Status.ObservedGeneration < d.Generation || d.Status.UpdatedReplicas < want:
		return Finding{Unknown, about, says + ", and a rollout is under way", []string{fmt.Sprintf("kubectl rollout status deployment %s -n %s", name, p.System)}}
	}
	return Finding{Level: OK, About: about, Says: says}
}

// VersionOf is the tag of the image of d, or its digest.
func VersionOf(d *appsv1.Deployment) string {
	if len(d.Spec.Template.Spec.Containers) == 0 {
		return ""
	}
	image := d.Spec.Template.Spec.Containers[0].Image
	if name, digest, ok := strings.Cut(image, "@"); ok {
		if tag := tagOf(name); tag != "" {
			return tag
		}
		return digest
	}
	return tagOf(image)
}

func tagOf(image string) string {
	last := image[strings.LastIndexByte(image, '/')+1:]
	_, tag, _ := strings.Cut(last, ":")
	return tag
}

// versions compares those of the two programs and of the plugin.
func (p *Patient) versions(ctx context.Context) []Finding {
	const about = "version"
	var of [2]string
	for i, name := range []string{cluster.ManagerDeployment, cluster.DispatcherDeployment} {
		d, err := p.Cluster.Deployment(ctx, p.System, name)
		if err != nil || d == nil {
			return nil // it has been said
		}
		of[i] = VersionOf(d)
	}
	says := fmt.Sprintf("manager %s, dispatcher %s, plugin %s", of[0], of[1], p.Version)
	switch {
	case of[0] != of[1]:
		return []Finding{{Wrong, about, says, []string{"Run both programs in one version: helm upgrade, or kubectl apply of config/default."}}}
	case differ(of[0], p.Version):
		return []Finding{{Wrong, about, says, []string{"Install the plugin in the version of the installation: go install github.com/postrider/postrider/cmd/kubectl-postrider@" + of[0]}}}
	}
	return []Finding{{Level: OK, About: about, Says: says}}
}

// differ reports whether a and b are of different minor releases. What was built
// from a checkout, or from a commit between releases, is of none.
func differ(a, b string) bool {
	x, notX := version.ParseSemantic(a)
	y, notY := version.ParseSemantic(b)
	if notX != nil || notY != nil || x.PreRelease() != "" || y.PreRelease() != "" {
		return false
	}
	return x.Major() != y.Major() || x.Minor() != y.Minor()
}

// expirySoon is when a certificate should have been renewed long ago.
const expirySoon = 7 * 24 * time.Hour

// dispatcher asks it itself.
func (p *Patient) dispatcher(ctx context.Context) []Finding {
	checks, certificate, err := p.Ready(ctx)
	if err != nil {
		f := failed("readiness", err)
		if len(f.Do) == 0 {
			f.Do = []string{fmt.Sprintf("kubectl get pods -n %s", p.System)}
		}
		return []Finding{f}
	}
	var findings []Finding
	for _, c := range checks {
		f := Finding{Level: OK, About: c.Name, Says: c.Says}
		if c.Mark != '+' {
			f.Level, f.Do = Wrong, []string{remedyOfCheck(c.Name)}
		}
		findings = append(findings, f)
	}
	return append(findings, p.certificate(certificate))
}

func remedyOfCheck(name string) string {
	switch name {
	case "store":
		return "Repair the receivers that do not take what they are sent, or give the dispatcher a larger volume and --store-max-bytes."
	case "table":
		return "Run manager and dispatcher in one version; a new dispatcher has its table within seconds."
	}
	return "Look at the log of the dispatcher."
}

func (p *Patient) certificate(c *x509.Certificate) Finding {
	const about = "certificate"
	if c == nil {
		return Finding{Level: OK, About: about, Says: "the dispatcher speaks no TLS here"}
	}
	left := c.NotAfter.Sub(p.Now)
	says := fmt.Sprintf("that of the dispatcher is valid until %s", c.NotAfter.UTC().Format(time.RFC3339))
	if left < expirySoon {
		return Finding{Wrong, about, says, []string{"See why it is not renewed: kubectl logs deployment/" + cluster.ManagerDeployment + " -n " + p.System + ", or with cert-manager: kubectl describe certificate -n " + p.System}}
	}
	return Finding{Level: OK, About: about, Says: says}
}

// user looks at what the user needs for the commands of the plugin.
func (p *Patient) user(ctx context.Context) Finding {
	const about = "your rights"
	rights := []cluster.Right{
		{Verb: "list", Group: v1alpha1.GroupVersion.Group, Resource: "webhooks", Namespace: p.Namespace},
	}
	if p.Forwards {
		rights = append(rights,
			cluster.Right{Verb: "get", Resource: "services", Namespace: p.System, Name: cluster.EventsService},
			cluster.Right{Verb: "list", Resource: "pods", Namespace: p.System},
			cluster.Right{Verb: "create", Resource: "pods", Subresource: "portforward", Namespace: p.System})
	}
	if p.Account != nil {
		rights = append(rights, cluster.Right{Verb: "create", Resource: "serviceaccounts", Subresource: "token", Namespace: p.Account.Namespace, Name: p.Account.Name})
	}
	var lacks []string
	for _, r := range rights {
		may, err := p.Cluster.May(ctx, r)
		if err != nil {
			return failed(about, err)
		}
		if !may {
			lacks = append(lacks, r.String())
		}
	}
	if len(lacks) > 0 {
		return Finding{Wrong, about, "you may not " + strings.Join(lacks, "; "), []string{"The command that needs a right shows how it is granted; docs/kubectl-plugin.md has all of them."}}
	}
	may := []string{"list webhooks"}
	if p.Forwards {
		may = append(may, "reach the dispatcher")
	}
	if p.Account != nil {
		may = append(may, "make a token for it")
	}
	return Finding{Level: OK, About: about, Says: "you may " + words.List(may, "and")}
}

// calls are what an account needs for the calls of the plugin.
func calls(namespace string) []cluster.Right {
	right := func(verb, sub string) cluster.Right {
		return cluster.Right{Verb: verb, Group: v1alpha1.GroupVersion.Group, Resource: "webhooks", Subresource: sub, Namespace: namespace}
	}
	return []cluster.Right{right("create", "test"), right("create", "replay"), right("get", "deliveries"), right("get", "deadletters")}
}

func (p *Patient) account(ctx context.Context) Finding {
	const about = "ServiceAccount"
	if p.Account == nil {
		return Finding{Level: Unknown, About: about, Says: "the dispatcher is called with a token from a file, whose rights are not known here"}
	}
	rights := calls(p.Account.Namespace)
	may, err := p.Cluster.AccountMay(ctx, *p.Account, rights...)
	if err != nil {
		return failed(about, err)
	}
	var lacks []string
	for i, r := range rights {
		if !may[i] {
			lacks = append(lacks, r.Verb+" "+r.Resource+"/"+r.Subresource)
		}
	}
	if len(lacks) > 0 {
		return Finding{Wrong, about, fmt.Sprintf("%s may not %s", p.Account, strings.Join(lacks, ", ")), p.Account.Grant(cluster.RoleOperator)}
	}
	return Finding{Level: OK, About: about, Says: fmt.Sprintf("%s may test, replay and read deliveries", p.Account)}
}

// maxTrouble bounds the webhooks that are told of one by one.
const maxTrouble = 20

func (p *Patient) webhooks(ctx context.Context) []Finding {
	const about = "webhooks"
	list, err := p.Cluster.Webhooks(ctx, p.Namespace, "", "")
	if err != nil {
		return []Finding{failed(about, err)}
	}
	var findings []Finding
	trouble, unconfirmed := 0, 0
	for i := range list.Items {
		w := &list.Items[i]
		if !words.Confirmed(w) {
			unconfirmed++
		}
		if !words.InTrouble(w) {
			continue
		}
		if trouble++; trouble <= maxTrouble {
			findings = append(findings, Finding{Wrong, "webhook", w.Namespace + "/" + w.Name + ": " + whatIsWrong(w), words.Steps(w)})
		}
	}
	if trouble > maxTrouble {
		findings = append(findings, Finding{Wrong, about, fmt.Sprintf("%d more are in trouble", trouble-maxTrouble), []string{"kubectl postrider list -A"}})
	}
	table := Finding{Level: OK, About: "table", Says: fmt.Sprintf("every dispatcher has confirmed all %d webhooks", len(list.Items))}
	if unconfirmed > 0 {
		table = Finding{Wrong, "table", fmt.Sprintf("the dispatchers have not confirmed %d of %d webhooks", unconfirmed, len(list.Items)), []string{fmt.Sprintf("kubectl logs deployment/%s -n %s --tail=50", cluster.ManagerDeployment, p.System)}}
	}
	findings = append([]Finding{table}, findings...)
	if trouble == 0 {
		findings = append(findings, Finding{Level: OK, About: about, Says: fmt.Sprintf("none of %d is in trouble", len(list.Items))})
	}
	return findings
}
