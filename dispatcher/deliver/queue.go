package deliver

// keepCells is how many cells an empty fifo keeps for what comes next.
const keepCells = 8

// A fifo is what waits in a lane, in the order of its arrival.
type fifo struct {
	cells []delivery // a ring
	head  int
	n     int
}

func (q *fifo) len() int { return q.n }

// cell is the place of the i-th that waits.
func (q *fifo) cell(i int) *delivery {
	i += q.head
	if i >= len(q.cells) {
		i -= len(q.cells)
	}
	return &q.cells[i]
}

func (q *fifo) push(d delivery) {
	q.grow()
	q.n++
	*q.cell(q.n - 1) = d
}

// pushFront puts d before all others.
func (q *fifo) pushFront(d delivery) {
	q.grow()
	q.n++
	if q.head--; q.head < 0 {
		q.head = len(q.cells) - 1
	}
	*q.cell(0) = d
}

// grow makes room for one more.
func (q *fifo) grow() {
	if q.n < len(q.cells) {
		return
	}
	grown := make([]delivery, max(2*q.n, keepCells/2))
	for i := range q.n {
		grown[i] = *q.cell(i)
	}
	q.cells, q.head = grown, 0
}

// pop takes the first of at least one.
func (q *fifo) pop() delivery {
	c := q.cell(0)
	d := *c
	*c = delivery{} // for the garbage collector
	q.head++
	if q.head == len(q.cells) {
		q.head = 0
	}
	q.n--
	if q.n == 0 && len(q.cells) > keepCells {
		*q = fifo{} // an idle lane holds little memory
	}
	return d
}

// sift takes out those that go wants, and leaves the order of the others.
func (q *fifo) sift(goes func(*delivery) bool) []delivery {
	var gone []delivery
	for range q.n {
		if d := q.pop(); goes(&d) {
			gone = append(gone, d)
		} else {
			q.push(d)
		}
	}
	return gone
}
