package dispatcher

import (
	"os"
	"time"

	"github.com/postrider/postrider/dispatcher/admin"
	"github.com/postrider/postrider/dispatcher/outcome"
)

// Report implements [admin.Reporter].
func (d *dispatcher) Report(since uint64) outcome.Report {
	// The revision is read first: a table that comes in between is then
	// reported once too often, and never too seldom.
	summaries, revision := d.recorder.Since(since)
	digest, fault := d.keeper.State()
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return outcome.Report{
		Instance: host, Started: d.started, Digest: digest, TableError: fault, Counted: d.counted.Load(),
		Revision: revision, Summaries: summaries,
	}
}

// Changed implements [admin.Reporter].
func (d *dispatcher) Changed() <-chan struct{} { return d.recorder.Changed() }

func (d *dispatcher) storeWorks() (admin.State, string) {
	if err := d.queue.Healthy(); err != nil {
		return admin.Failed, err.Error()
	}
	return admin.OK, "events can be stored"
}

// readiness is what traffic depends on.
func (d *dispatcher) readiness() []admin.Check {
	checks := []admin.Check{{Name: "store", Look: d.storeHasRoom}, {Name: "table", Look: d.tableIsGood}}
	if d.certificate != nil {
		checks = append(checks, admin.Check{Name: "certificate", Look: d.certificateIsGood})
	}
	return checks
}

func (d *dispatcher) storeHasRoom() (admin.State, string) {
	if err := d.queue.Ready(); err != nil {
		return admin.Failed, err.Error()
	}
	if err := d.queue.Full(); err != nil {
		// Not unready: producers are told 429, and know what to do.
		return admin.Warning, err.Error()
	}
	return admin.OK, "events can be stored"
}

func (d *dispatcher) tableIsGood() (admin.State, string) {
	switch digest, fault := d.keeper.State(); {
	case fault != "" && digest == "":
		return admin.Warning, "the first table is refused; events are stored meanwhile: " + fault
	case fault != "":
		return admin.Warning, "the newest table is refused, an older one is in force: " + fault
	case digest == "":
		return admin.Warning, "waiting for the first table; events are stored meanwhile"
	default:
		return admin.OK, "in force: " + digest
	}
}

// certificateIsGood never fails: without this dispatcher callers are no better off.
func (d *dispatcher) certificateIsGood() (admin.State, string) {
	shown, fault := d.certificate.State()
	end := shown.NotAfter.UTC().Format(time.RFC3339)
	switch {
	case fault != "":
		return admin.Warning, "the one in the files is refused, an older one is shown, until " + end + ": " + fault
	case time.Now().After(shown.NotAfter):
		return admin.Warning, "it has expired at " + end + "; replace what --tls-cert-file and --tls-key-file name"
	default:
		return admin.OK, "shown until " + end
	}
}
