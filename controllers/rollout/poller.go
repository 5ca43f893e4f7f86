package rollout

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/postrider/postrider/dispatcher/outcome"
)

const (
	// wait is how long a dispatcher may hold a report back until there is news.
	wait = 20 * time.Second
	// slack is what an answer may take beyond wait before it counts as silence.
	slack = 10 * time.Second
	// pause between polls after a failure, and between reviews of who has been
	// silent for how long.
	pause = time.Second
	// pace is the least time between two polls, whatever the dispatcher does.
	pace = 50 * time.Millisecond
	// maxReport bounds a report, in bytes: about 100,000 summaries.
	maxReport = 64 << 20
	// maxToken bounds what is read of the token file, in bytes.
	maxToken = 64 << 10
)

// A Poller asks every dispatcher for its report, again and again, and tells a
// [Tracker]. It implements controller-runtime's Runnable and runs on the leader
// only, as runnables do unless they say otherwise.
type Poller struct {
	tracker   *Tracker
	tokenFile string
	log       *slog.Logger
	client    *http.Client
	wanted    chan []string
}

// NewPoller makes a Poller. It sends the content of tokenFile as a bearer
// token, read anew each time because tokens of service accounts rotate; with an
// empty tokenFile it sends none.
func NewPoller(t *Tracker, tokenFile string, trust Trust, log *slog.Logger) *Poller {
	return &Poller{
		tracker: t, tokenFile: tokenFile, log: log,
		wanted: make(chan []string, 1),
		client: &http.Client{
			Transport: trust.transport(),
			// The token is for the dispatcher alone.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Follow replaces the list of dispatchers, by base URL. It may be called before
// Start, from one goroutine at a time.
func (p *Poller) Follow(urls []string) {
	select {
	case <-p.wanted: // superseded
	default:
	}
	p.wanted <- urls
}

// Start polls until ctx is done.
func (p *Poller) Start(ctx context.Context) error {
	var loops sync.WaitGroup
	defer loops.Wait()
	defer p.client.CloseIdleConnections()
	p.tracker.Follow(nil) // now is when it begins to count that nobody is known
	review := time.NewTicker(pause)
	defer review.Stop()
	running := map[string]context.CancelFunc{}
	for {
		select {
		case <-ctx.Done():
			for _, stop := range running {
				stop()
			}
			return nil
		case <-review.C:
			p.tracker.Review()
		case urls := <-p.wanted:
			p.tracker.Follow(urls)
			next := make(map[string]context.CancelFunc, len(urls))
			for _, u := range urls {
				if stop, ok := running[u]; ok {
					next[u] = stop
					delete(running, u)
				} else if next[u] == nil {
					loop, stop := context.WithCancel(ctx)
					next[u] = stop
					loops.Go(func() { p.follow(loop, u) })
				}
			}
			for _, stop := range running {
				stop()
			}
			running = next
		}
	}
}

// follow lists once, then follows, until ctx is done.
func (p *Poller) follow(ctx context.Context, base string) {
	var since uint64
	var started time.Time
	var hold time.Duration // none for the first report: it is what there is
	for ctx.Err() == nil {
		r, err := p.fetch(ctx, base, since, hold)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if p.tracker.Silent(base) {
				p.log.Warn("a dispatcher does not answer", "url", base, "err", err)
			}
			hold = 0
			sleep(ctx, pause)
			continue
		case since != 0 && !r.Started.Equal(started):
			since = 0 // another process, to which the revision meant nothing
			hold = 0
			continue
		}
		p.tracker.Heard(base, r, since == 0)
		since, started, hold = r.Revision, r.Started, wait
		sleep(ctx, pace)
	}
}

func (p *Poller) fetch(ctx context.Context, base string, since uint64, hold time.Duration) (outcome.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, hold+slack)
	defer cancel()
	query := url.Values{"since": {strconv.FormatUint(since, 10)}, "wait": {hold.String()}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimSuffix(base, "/")+"/report?"+query.Encode(), nil)
	if err != nil {
		return outcome.Report{}, fmt.Errorf("asking for a report: %w", err)
	}
	if p.tokenFile != "" {
		token, err := readToken(p.tokenFile)
		if err != nil {
			return outcome.Report{}, fmt.Errorf("reading --dispatcher-token-file: %w", err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return outcome.Report{}, err // says method, address and cause already
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return outcome.Report{}, fmt.Errorf("the dispatcher answered %s; check its address and --dispatcher-token-file", resp.Status)
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReport+1))
	switch {
	case err != nil:
		return outcome.Report{}, fmt.Errorf("reading the report: %w", err)
	case len(b) > maxReport:
		return outcome.Report{}, fmt.Errorf("the report has more than %d bytes", maxReport)
	}
	var r outcome.Report
	if err := json.Unmarshal(b, &r); err != nil {
		return outcome.Report{}, fmt.Errorf("the report is not JSON as expected; bring manager and dispatcher to the same version: %w", err)
	}
	return r, nil
}

func readToken(file string) (string, error) {
	f, err := os.Open(file)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // it was only read
	b, err := io.ReadAll(io.LimitReader(f, maxToken))
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(b))
	if token == "" {
		return "", errors.New("the file is empty")
	}
	return token, nil
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
