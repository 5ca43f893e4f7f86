package queue_test

import (
	"encoding/binary"
	"errors"
	"runtime"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/postrider/postrider/dispatcher/event"
	"github.com/postrider/postrider/dispatcher/queue"
)

var began = time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)

func key(n int) (k event.Key) {
	binary.BigEndian.PutUint64(k[:], uint64(n))
	return k
}

func keys(n ...int) []event.Key {
	ks := make([]event.Key, len(n))
	for i := range n {
		ks[i] = key(n[i])
	}
	return ks
}

func TestAnEventIsRecognisedForAtLeastTheWindowAndAtMostTwice(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		added time.Duration // since the generation began
		after time.Duration // since then
		want  bool
	}{
		{"at once", 0, 0, true},
		{"at the end of the window", 0, queue.SeenWindow, true},
		{"late in a generation, at the end of the window", queue.SeenWindow - 1, queue.SeenWindow, true},
		{"late in a generation, after twice the window", queue.SeenWindow - 1, 2*queue.SeenWindow + 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := queue.NewSeen(began)
			at := began.Add(tt.added)
			s.Add(key(1), at)
			// Others come and go meanwhile: generations turn with the events.
			for step := time.Minute; step < tt.after; step += time.Minute {
				s.Add(key(int(step)), at.Add(step))
			}
			if got := s.Knows(key(1), at.Add(tt.after)); got != tt.want {
				t.Errorf("recognised: %t, want %t", got, tt.want)
			}
		})
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	t.Parallel()
	s := queue.NewSeen(began)
	const many = 3 * queue.MaxSeen
	for i := range many {
		s.Add(key(i), began)
	}
	if held := s.Held(); held > 2*queue.MaxSeen {
		t.Errorf("%d keys are held, the bound is %d", held, 2*queue.MaxSeen)
	}
	if !s.Knows(key(many-queue.MaxSeen), began) {
		t.Error("of the newest some are forgotten")
	}
}

func TestTheSecondCallerWaitsForTheFirst(t *testing.T) {
	t.Parallel()
	s := queue.NewSeen(began)
	first, mine, others := s.Board(keys(1, 2, 1), began)
	if diff := cmp.Diff([]bool{true, true, false}, mine); diff != "" || len(others) != 0 {
		t.Errorf("the first stores (-want +got)\n%s and waits for %d", diff, len(others))
	}
	second, mine2, others := s.Board(keys(2, 3), began)
	if diff := cmp.Diff([]bool{false, true}, mine2); diff != "" || len(others) != 1 || others[0] != first {
		t.Errorf("the second stores (-want +got)\n%s and waits for %d", diff, len(others))
	}
	select {
	case <-others[0].Landed():
		t.Error("the first has landed already")
	default:
	}
	s.Land(first, keys(1, 2, 1), mine, nil)
	<-others[0].Landed()
	if err := others[0].Err(); err != nil {
		t.Error(err)
	}
	s.Land(second, keys(2, 3), mine2, nil)

	_, mine, others = s.Board(keys(1, 2, 3, 4), began)
	if diff := cmp.Diff([]bool{false, false, false, true}, mine); diff != "" || len(others) != 0 {
		t.Errorf("the third stores (-want +got)\n%s and waits for %d", diff, len(others))
	}
}

func TestAFailedFlightLetsTheEventBeStoredAgain(t *testing.T) {
	t.Parallel()
	s := queue.NewSeen(began)
	first, mine, _ := s.Board(keys(1), began)
	_, _, others := s.Board(keys(1), began)
	broken := errors.New("broken")
	s.Land(first, keys(1), mine, broken)
	<-others[0].Landed()
	if err := others[0].Err(); !errors.Is(err, broken) {
		t.Errorf("who waited is told %v", err)
	}
	again, mine, others := s.Board(keys(1), began)
	if !mine[0] || len(others) != 0 {
		t.Error("the event cannot be stored again")
	}
	s.Land(again, keys(1), mine, nil)
	if !s.Knows(key(1), began) {
		t.Error("the event is not recognised although it is stored now")
	}
}

func TestAFlightOutlivesTheTurnOfAGeneration(t *testing.T) {
	t.Parallel()
	s := queue.NewSeen(began)
	f, mine, _ := s.Board(keys(1), began)
	later := began.Add(queue.SeenWindow)
	s.Add(key(2), later)
	if _, mine, others := s.Board(keys(1), later); mine[0] || len(others) != 1 {
		t.Error("the event is stored twice")
	}
	s.Land(f, keys(1), mine, nil)
	if !s.Knows(key(1), later.Add(queue.SeenWindow-1)) {
		t.Error("what has just landed is forgotten")
	}
}

// Sequential, so that nothing else allocates meanwhile.
func TestWhatIsRememberedOfAnEventTakesLittleMemory(t *testing.T) {
	const most = 40 // bytes of an event: its key has 16
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // what pools keep goes at the second collection
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	s := queue.NewSeen(began)
	for i := range 2 * queue.MaxSeen {
		var k event.Key
		binary.BigEndian.PutUint64(k[:], uint64(i)*0x9e3779b97f4a7c15)
		s.Add(k, began)
	}
	each := (heap() - before) / int64(s.Held())
	t.Logf("%d bytes for each of %d events", each, s.Held())
	if each > most {
		t.Errorf("each event that is remembered takes %d bytes, the bound is %d", each, most)
	}
}
