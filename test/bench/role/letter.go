package role

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	typePrefix = "bench."
	markName   = `"mark":"`

	groupDigits, numberDigits, timeDigits = 6, 12, 19
)

// EventType is the type of the events of a group.
func EventType(group int) string { return fmt.Sprintf("%s%0*d", typePrefix, groupDigits, group) }

// A letter is the text of an event, with the places where one event differs
// from the next. Its data is marked with the number of the event and the time
// when it was due to be posted, for the receiver.
type letter struct {
	text                   []byte
	body                   int // where the event begins
	group, id, number, due int // where they are written
}

// newLetter makes a letter whose data has size bytes. head makes what comes
// before an event of a length.
func newLetter(size int, head func(length int) string) *letter {
	mark := fmt.Sprintf("{%s%0*d %0*d\",\"pad\":\"", markName, numberDigits, 0, timeDigits, 0)
	pad := strings.Repeat("x", max(size-len(mark)-2, 0)) + `"}`
	event := fmt.Sprintf(`{"type":%q,"source":"/bench","id":"%0*d","data":%s%s}`, EventType(0), numberDigits, 0, mark, pad)
	before := head(len(event))
	l := &letter{text: []byte(before + event), body: len(before)}
	find := func(name string) int { return len(before) + strings.Index(event, name) + len(name) }
	l.group, l.id, l.number = find(typePrefix), find(`"id":"`), find(markName)
	l.due = l.number + numberDigits + 1
	return l
}

// write makes it the letter of event n of a group, due to be posted at that time.
func (l *letter) write(n, group int, due time.Time) {
	digits(l.text[l.group:][:groupDigits], group)
	digits(l.text[l.id:][:numberDigits], n)
	digits(l.text[l.number:][:numberDigits], n)
	digits(l.text[l.due:][:timeDigits], int(due.UnixNano()))
}

func (l *letter) event() []byte { return l.text[l.body:] }

// digits writes n into all of b.
func digits(b []byte, n int) {
	for i := len(b) - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
}

// readMark reads what write has written, out of whatever body the receiver got.
func readMark(body []byte) (n int, due time.Time, ok bool) {
	_, mark, ok := bytes.Cut(body, []byte(markName))
	if !ok || len(mark) < numberDigits+1+timeDigits {
		return 0, time.Time{}, false
	}
	n, err := strconv.Atoi(string(mark[:numberDigits]))
	if err != nil {
		return 0, time.Time{}, false
	}
	nano, err := strconv.ParseInt(string(mark[numberDigits+1:][:timeDigits]), 10, 64)
	return n, time.Unix(0, nano), err == nil
}

// readGroup reads the group out of the type of a letter, -1 when there is none.
func readGroup(event []byte) int {
	_, rest, ok := bytes.Cut(event, []byte(typePrefix))
	if !ok || len(rest) < groupDigits {
		return -1
	}
	group, err := strconv.Atoi(string(rest[:groupDigits]))
	if err != nil {
		return -1
	}
	return group
}
