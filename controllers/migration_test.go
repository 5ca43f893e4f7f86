package controllers_test

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/postrider/postrider/api/v1alpha1"
)

func TestWhatIsConvertedFromSitecoreIsAccepted(t *testing.T) {
	files, err := filepath.Glob("../migration/testdata/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		ns, applied := namespace(t), false
		for _, section := range a.Files {
			if section.Name == "objects.yaml" {
				applied = true
				if err := applyYAML(t.Context(), []byte(strings.ReplaceAll(string(section.Data), "  namespace: cms\n", "  namespace: "+ns+"\n"))); err != nil {
					t.Errorf("%s: %v", file, err)
				}
			}
		}
		if !applied {
			t.Errorf("%s has no objects", file)
		}
		var webhooks v1alpha1.WebhookList
		if err := api.List(t.Context(), &webhooks, client.InNamespace(ns)); err != nil {
			t.Fatal(err)
		}
		for _, w := range webhooks.Items {
			becomes(t, ns, w.Name, "Accepted=True/Accepted")
		}
	}
}
