package admin

import (
	"net/http"
	"strings"
)

// State is how a [Check] ended.
type State int

// The states.
const (
	OK      State = iota
	Warning       // somebody should look, but traffic may come
	Failed
)

// A Check looks at one thing. It answers at once, from what is known: kubelets
// ask often and give up after a second.
type Check struct {
	Name string                           // one word, e.g. "store"
	Look func() (state State, say string) // say: without secrets; what to do when the state is not OK
}

// health lists the checks in the manner of Kubernetes components:
//
//	[+]store: open
//	[!]table: the newest table was refused: ...
//	[-]store: ...
func health(checks []Check) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		status := http.StatusOK
		var lines strings.Builder
		for _, check := range checks {
			state, say := check.Look()
			mark := "[+]"
			switch state {
			case OK:
			case Warning:
				mark = "[!]"
			case Failed:
				mark, status = "[-]", http.StatusServiceUnavailable
			}
			lines.WriteString(mark + check.Name + ": " + oneLine.Replace(say) + "\n")
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(lines.String())) // who has gone misses the answer, nothing else
	})
}

var oneLine = strings.NewReplacer("\n", " ", "\r", " ")
