package queue

import (
	"errors"
	"time"

	"github.com/postrider/postrider/dispatcher/deliver"
)

const (
	// maxPack is where a pack stops growing, in bytes. Larger packs save no
	// more, and each is held in memory until all of it is settled.
	maxPack = 1 << 20
	// maxWaiting bounds the calls that wait for the append before theirs.
	maxWaiting = 1024
)

// errClosed says that the queue is shutting down and takes nothing more.
var errClosed = errors.New("the queue is closed")

// A record is one thing to store.
type record struct {
	body []byte
	due  time.Time           // of a deferral
	dead *deliver.DeadLetter // of a dead letter
}

// A committer turns concurrent calls into few appends: what arrives while one
// append is being synced goes together into the next (group commit). JetStream
// syncs every publish on its own.
type committer struct {
	calls chan commitCall
	flush func([]record) error // returns nil once all is durable
	stop  chan struct{}
	done  chan struct{}
}

type commitCall struct {
	records []record
	result  chan<- error
}

func newCommitter(flush func([]record) error) *committer {
	c := &committer{
		calls: make(chan commitCall, maxWaiting),
		flush: flush,
		stop:  make(chan struct{}),
		done:  make(chan struct{}),
	}
	go c.run()
	return c
}

// commit returns nil once all records are durable. It takes no context: whether
// they are on disk is known only when the append has ended, which it does within
// the time limit of a publish.
func (c *committer) commit(records ...record) error {
	result := make(chan error, 1)
	select {
	case c.calls <- commitCall{records, result}:
	case <-c.stop:
		return errClosed
	}
	select {
	case err := <-result:
		return err
	case <-c.done:
		select { // the last round may have answered
		case err := <-result:
			return err
		default:
			return errClosed
		}
	}
}

func (c *committer) run() {
	defer close(c.done)
	for {
		select {
		case call := <-c.calls:
			c.round(call)
		case <-c.stop:
			for { // finish what was handed in before the stop
				select {
				case call := <-c.calls:
					c.round(call)
				default:
					return
				}
			}
		}
	}
}

// round flushes first together with everything that is waiting by now.
func (c *committer) round(first commitCall) {
	calls := []commitCall{first}
	records := first.records
	size := sizeOf(first.records)
	for size < maxPack {
		select {
		case call := <-c.calls:
			calls = append(calls, call)
			records = append(records, call.records...)
			size += sizeOf(call.records)
			continue
		default:
		}
		break
	}
	err := c.flush(records)
	for _, call := range calls {
		call.result <- err
	}
}

func sizeOf(records []record) (n int) {
	for _, r := range records {
		n += len(r.body)
	}
	return n
}

// close lets what was handed in finish, and refuses the rest.
func (c *committer) close() {
	close(c.stop)
	<-c.done
}
