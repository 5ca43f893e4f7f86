package dispatcher

import (
	"os"

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
