package admin

import (
	"net/http"
	"net/http/pprof"
	"time"
)

// profileTime bounds a request for a profile, which takes as long as it says in
// "seconds".
const profileTime = 5 * time.Minute

// profiles are those of net/http/pprof. The process's arguments are not among
// them, nor is a search for symbols: go tool pprof needs neither.
func profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(ProfilesPath, pprof.Index) // and every profile that runtime/pprof knows by name
	mux.HandleFunc(ProfilesPath+"profile", pprof.Profile)
	mux.HandleFunc(ProfilesPath+"trace", pprof.Trace)
	mux.Handle(ProfilesPath+"cmdline", http.NotFoundHandler())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Else the listener's read timeout would end a longer one. A recorder has
		// no connection, and nothing to end.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(profileTime))
		w.Header().Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}
