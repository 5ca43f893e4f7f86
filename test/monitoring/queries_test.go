package monitoring_test

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

var nilLabels = labels.EmptyLabels()

const dashboardFile = "../../charts/postrider/files/dashboard.json"

// A dashboard is what the tests look at in the JSON of Grafana.
type dashboard struct {
	Title, UID    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct {
		Expr       string
		Datasource struct{ UID string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	variable = regexp.MustCompile(`\$(\w+)`)
	// documented is a row of docs/metrics.md, which is compared with what the
	// processes serve where those run.
	documented = regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\|([^|]*)\\|")
	labelWord  = regexp.MustCompile("`([a-z_]+)`")
	ofTable    = regexp.MustCompile(`^label_values\((\w+)(?:\{.*\})?, (\w+)\)$`)
)

// known are the metrics of the documentation and their labels.
func known(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	for _, m := range documented.FindAllStringSubmatch(string(page), -1) {
		var of []string
		for _, l := range labelWord.FindAllStringSubmatch(m[3], -1) {
			of = append(of, l[1])
		}
		all[m[1]] = of
		if m[2] == "histogram" {
			all[m[1]+"_bucket"] = append(slices.Clone(of), "le")
			all[m[1]+"_sum"], all[m[1]+"_count"] = of, of
		}
	}
	if len(all) < 30 {
		t.Fatalf("only %d metrics were found in docs/metrics.md", len(all))
	}
	return all
}

// check parses a query, and fails unless what it asks for is there.
func check(t *testing.T, where, query string, metrics map[string][]string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v in %s", where, err, query)
		return
	}
	parser.Inspect(expr, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		of, ok := metrics[s.Name]
		if !ok {
			t.Errorf("%s: %s is no metric of docs/metrics.md", where, s.Name)
		}
		for _, m := range s.LabelMatchers {
			if m.Name != model.MetricNameLabel && !slices.Contains(of, m.Name) {
				t.Errorf("%s: %s has no label %s", where, s.Name, m.Name)
			}
		}
		return nil
	})
}

func TestTheAlertsAskForMetricsThatThereAre(t *testing.T) {
	metrics := known(t)
	for name, r := range alerts(t) {
		check(t, name, r.Expr, metrics)
	}
}

func TestThePanelsAskForMetricsThatThereAre(t *testing.T) {
	d, metrics := readDashboard(t), known(t)
	values := map[string]string{"__rate_interval": "5m"}
	for _, v := range d.Templating.List {
		values[v.Name] = ".*"
		if v.Type != "query" {
			continue
		}
		m := ofTable.FindStringSubmatch(v.Definition)
		if m == nil || !slices.Contains(metrics[m[1]], m[2]) {
			t.Errorf("the variable %s asks for %s", v.Name, v.Definition)
		}
	}
	queries := 0
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			queries++
			check(t, p.Title, variable.ReplaceAllStringFunc(target.Expr, func(v string) string {
				value, ok := values[v[1:]]
				if !ok {
					t.Errorf("%s: nothing gives %s a value", p.Title, v)
				}
				return value
			}), metrics)
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: the data source is %q", p.Title, target.Datasource.UID)
			}
		}
	}
	if queries < 20 {
		t.Errorf("there are %d queries only", queries)
	}
}

func TestTheDashboardShowsWhatPeopleWatch(t *testing.T) {
	d := readDashboard(t)
	if d.Title != "Postrider" || d.UID == "" || d.SchemaVersion < 36 {
		t.Errorf("it is %q (%s), schema %d", d.Title, d.UID, d.SchemaVersion)
	}
	var variables []string
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if got := strings.Join(variables, " "); got != "datasource namespace webhook" {
		t.Errorf("the variables are %s", got)
	}

	ids, titles, taken := map[int]bool{}, map[string]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("the id %d is there twice", p.ID)
		}
		ids[p.ID], titles[p.Title] = true, true
		if p.Type == "row" {
			continue
		}
		if p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("%s says nothing, or shows nothing", p.Title)
		}
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" || x >= 24 {
					t.Fatalf("%s lies on %q or beyond the edge", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
	}
	for _, want := range []string{
		"Events in", "Attempts", "End to end", "Waiting on disk", "Oldest pending", "Circuit breakers", "Dead letters", "Store", "CPU", "Memory", "Slowest",
	} {
		if !titles[want] {
			t.Errorf("no panel is called %q, but %q", want, slices.Sorted(maps.Keys(titles)))
		}
	}
}
