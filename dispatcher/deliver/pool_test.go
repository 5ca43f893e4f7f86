package deliver_test

import (
	"testing"

	"github.com/postrider/postrider/dispatcher/deliver"
	"github.com/postrider/postrider/dispatcher/event"
)

func TestInLittleRoomHangingReceiversStillCannotCloseTheGatesAndLargeEventsFit(t *testing.T) {
	t.Parallel()
	const gate = 64 << 20 // what the store lets in of each kind, see the queue
	for _, room := range []float64{1, 0.5, 0.21, deliver.MinRoom} {
		all, lone := deliver.Held(room)
		if float64(all) >= room*gate {
			t.Errorf("in %g of the room hanging receivers can keep %d bytes", room, all)
		}
		if lone <= event.MaxBody {
			t.Errorf("in %g of the room the largest event does not fit into %d bytes", room, lone)
		}
	}
	whole, _ := deliver.Held(0)
	least, _ := deliver.Held(deliver.MinRoom)
	if tiny, _ := deliver.Held(deliver.MinRoom / 100); whole != deliver.MaxHeld || tiny != least {
		t.Errorf("by default %d bytes can be kept, and %d in next to no room", whole, tiny)
	}
}
