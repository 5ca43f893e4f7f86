package argocd_test

import (
	"path/filepath"
	"testing"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"sigs.k8s.io/yaml"
)

// TestTheExampleApplicationsAreOnes: Argo CD's own type takes each of their fields,
// and an API server with Argo CD's own CRD takes them.
func TestTheExampleApplicationsAreOnes(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(root, "config/argocd/applications/*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no Applications: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text := read(t, file)
			var app v1alpha1.Application
			if err := yaml.UnmarshalStrict([]byte(text), &app); err != nil {
				t.Fatal(err)
			}
			if s := app.Spec.SyncPolicy; s == nil || s.Automated == nil || !s.Automated.SelfHeal || !s.Automated.Prune {
				t.Errorf("the sync policy is %+v", s)
			}
			if app.Spec.IgnoreDifferences != nil {
				t.Errorf("nothing needs to be ignored, but %v is", app.Spec.IgnoreDifferences)
			}
			ns := namespace(t)
			app.Namespace = ns
			out, err := yaml.Marshal(app)
			if err != nil {
				t.Fatal(err)
			}
			kubectl(t, string(out), "create", "--validate=strict", "-n", ns, "-f", "-")
		})
	}
}

// TestTheChartThatAnApplicationNamesIsThere: its path is one of this repository.
func TestTheChartThatAnApplicationNamesIsThere(t *testing.T) {
	var app v1alpha1.Application
	if err := yaml.UnmarshalStrict([]byte(read(t, filepath.Join(root, "config/argocd/applications/postrider.yaml"))), &app); err != nil {
		t.Fatal(err)
	}
	var chart struct{ Name, AppVersion string }
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, app.Spec.Source.Path, "Chart.yaml"))), &chart); err != nil {
		t.Fatal(err)
	}
	if chart.Name != "postrider" || app.Spec.Source.TargetRevision != "v"+chart.AppVersion && app.Spec.Source.TargetRevision != chart.AppVersion {
		t.Errorf("it names %s of the chart %+v", app.Spec.Source.TargetRevision, chart)
	}
}
