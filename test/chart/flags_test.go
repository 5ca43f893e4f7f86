package chart_test

import (
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestTheProgramsTakeTheFlagsThatTheyAreGiven(t *testing.T) {
	tried := map[string]bool{}
	for _, s := range settings {
		all := render(t, helms["helm4"], systemNamespace, s.values)
		for _, program := range []string{"manager", "dispatcher"} {
			i := slices.IndexFunc(all, func(u unstructured.Unstructured) bool {
				return u.GetKind() == "Deployment" && u.GetLabels()["app.kubernetes.io/component"] == program
			})
			flags := args(t, all[i])
			key := program + strings.Join(flags, " ")
			if tried[key] {
				continue
			}
			tried[key] = true
			// Flags are read up to --help, which ends well if those before it were understood.
			if _, err := command("go", slices.Concat([]string{"run", "./cmd/" + program}, flags, []string{"--help"})...); err != nil {
				t.Errorf("%s: %v", s.name, err)
			}
		}
	}
}
