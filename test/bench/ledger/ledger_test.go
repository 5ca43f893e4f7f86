package ledger_test

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/test/bench/ledger"
)

func create(t *testing.T, l ledger.Layout) *ledger.Ledger {
	t.Helper()
	book, err := ledger.Create(l)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := book.Close(); err != nil {
			t.Error(err)
		}
	})
	return book
}

// The layout has three groups of two routes: event n goes to 2*(n%3) and the next.
func TestWhatIsMissingAndWhatCameTwiceIsCounted(t *testing.T) {
	book := create(t, ledger.Layout{Routes: 6, Fanout: 2, Receivers: 6})
	now := time.Now()
	for n, s := range []ledger.State{ledger.Accepted, ledger.Accepted, ledger.Refused, ledger.Unanswered, ledger.Accepted} {
		book.Post(n, s, time.Millisecond)
	}
	book.Deliver(0, 0, now, 3*time.Millisecond)
	book.Deliver(0, 1, now, time.Millisecond)
	book.Deliver(1, 2, now, 2*time.Millisecond)
	book.Deliver(1, 2, now, 9*time.Millisecond) // again
	book.Deliver(3, 0, now, 4*time.Millisecond) // without an answer to its producer: nobody is owed it

	all := ledger.Range{First: 0, End: 5}
	want := ledger.Balance{Accepted: 3, Refused: 2, Owed: 6, Missing: 3, Duplicates: 1}
	if diff := cmp.Diff(want, book.Balance(all, nil)); diff != "" {
		t.Error(diff)
	}
	want = ledger.Balance{Accepted: 3, Refused: 2, Owed: 3, Missing: 1, Duplicates: 1}
	if diff := cmp.Diff(want, book.Balance(all, func(route int) bool { return route%2 == 0 })); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[int]int{2: 1, 3: 2}, book.Missing(all)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]time.Duration{1e6, 2e6, 3e6, 4e6}, book.Latencies(all, nil)); diff != "" {
		t.Error(diff)
	}
	if err := book.Err(); err != nil || book.Delivered() != 4 {
		t.Errorf("%d delivered, %v", book.Delivered(), err)
	}
}

func TestADeliveryThatIsRefusedTwiceWasEarly(t *testing.T) {
	book := create(t, ledger.Layout{Routes: 1, Fanout: 1, Receivers: 1})
	book.Refuse(0, 0)
	book.Refuse(1, 0)
	book.Deliver(0, 0, time.Now(), 0)
	if book.Early() != 0 || book.Answered() != 2 || book.Delivered() != 1 {
		t.Errorf("%d early, %d answered, %d delivered", book.Early(), book.Answered(), book.Delivered())
	}
	book.Refuse(1, 0)
	if book.Early() != 1 || book.Answered() != 2 {
		t.Errorf("%d early, %d answered", book.Early(), book.Answered())
	}
}

func TestADeliveryToTheWrongReceiverIsAnError(t *testing.T) {
	book := create(t, ledger.Layout{Routes: 2, Fanout: 1, Receivers: 2})
	book.Deliver(0, 1, time.Now(), 0)
	if book.Err() == nil {
		t.Error("no error")
	}
}

func TestTwoProcessesSeeTheSameLedger(t *testing.T) {
	mine := create(t, ledger.Layout{Routes: 4, Fanout: 4, Receivers: 2})
	fd, err := syscall.Dup(int(mine.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ledger.Open(os.NewFile(uintptr(fd), "ledger"))
	if err != nil {
		t.Fatal(err)
	}
	if theirs.Layout != mine.Layout || theirs.Len() != mine.Len() {
		t.Errorf("%+v", theirs.Layout)
	}
	theirs.Deliver(theirs.Len()-1, 3, time.Now(), time.Second)
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	if got := mine.Latencies(ledger.Range{First: mine.Len() - 1, End: mine.Len()}, nil); len(got) != 1 || got[0] != time.Second {
		t.Errorf("%v", got)
	}
}
