package deliver

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"html"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/postrider/postrider/dispatcher/route"
)

// Receivers echo what they were sent: in error pages, in headers, escaped for
// what they write. The log must not show it to who may read the log alone.

const (
	minSought = 4 // bytes; what is shorter guards nothing and occurs by accident
	minWord   = 8 // bytes of a part of a header's value that is sought by itself
)

// sought are texts that give a secret away, the longest first.
type sought []clue

// A clue is one text to look for, in the form that [plain] gives.
type clue struct {
	text    []byte
	encoded bool // in base64: its first and last characters share bytes with their neighbours
}

// secretsOf collects what r proves itself with, in the forms in which it is sent.
func secretsOf(r *route.Route) sought {
	var all []string
	for _, h := range r.Headers {
		value := h.Value.Reveal()
		all = append(all, value)
		for word := range strings.FieldsSeq(value) { // such as the token after "Bearer"
			if len(word) >= minWord {
				all = append(all, word)
			}
		}
	}
	if a := r.Authorization; a != nil {
		switch {
		case a.Basic != nil:
			password := a.Basic.Password.Reveal()
			pair := a.Basic.Username + ":" + password
			all = append(all, password, pair, base64.StdEncoding.EncodeToString([]byte(pair)))
		case a.Bearer != nil:
			all = append(all, a.Bearer.Token.Reveal())
		case a.APIKey != nil:
			all = append(all, a.APIKey.Value.Reveal())
		case a.Digest != nil:
			all = append(all, a.Digest.Password.Reveal())
		}
	}
	if r.Signing != nil {
		for _, k := range r.Signing.Keys {
			all = append(all, strings.TrimPrefix(strings.TrimSpace(k.Reveal()), "whsec_"))
			if b, err := route.SigningKey(k); err == nil {
				all = append(all, string(b))
			}
		}
	}
	return seek(all...)
}

// seek makes the clues to secrets: each as it is, in hexadecimal, and in base64
// wherever it begins in it.
func seek(secrets ...string) sought {
	var s sought
	add := func(text string, encoded bool) {
		if b := bytes.TrimSuffix(plain([]byte(text)).text, []byte(`\`)); len(b) >= minSought {
			s = append(s, clue{b, encoded})
		}
	}
	for _, secret := range secrets {
		add(secret, false)
		add(hex.EncodeToString([]byte(secret)), false)
		for offset := range 3 {
			padded := append(make([]byte, offset), secret...)
			text := base64.StdEncoding.EncodeToString(padded[:len(padded)/3*3])
			add(text[min(len(text), (offset*8+5)/6):], true)
		}
	}
	slices.SortFunc(s, func(a, b clue) int {
		return cmp.Or(len(b.text)-len(a.text), bytes.Compare(a.text, b.text))
	})
	s = slices.CompactFunc(s, func(a, b clue) bool { return bytes.Equal(a.text, b.text) })
	return s.pack()
}

// pack returns s with no more memory than it needs: each route has one.
func (s sought) pack() sought {
	size := 0
	for _, c := range s {
		size += len(c.text)
	}
	packed, texts := make(sought, len(s)), make([]byte, 0, size)
	for i, c := range s {
		at := len(texts)
		texts = append(texts, c.text...)
		packed[i] = clue{texts[at:len(texts):len(texts)], c.encoded}
	}
	return packed
}

// and returns what either seeks.
func (s sought) and(t sought) sought {
	both := slices.Concat(s, t)
	slices.SortStableFunc(both, func(a, b clue) int { return len(b.text) - len(a.text) })
	return both
}

// window is how much of a text must be looked at to find what begins in its
// first n bytes: an escaped character takes up to six.
func (s sought) window(n int) int {
	if len(s) > 0 {
		n += 6 * len(s[0].text)
	}
	return n
}

// scrub returns the first limit bytes of text, with what is sought redacted. If
// text was cut, so is what may be the beginning of it at the end.
func (s sought) scrub(text []byte, limit int, isCut bool) string {
	if len(s) == 0 || !isCut && len(text) < len(s[len(s)-1].text) { // no escape makes a text longer
		return begin(strings.ToValidUTF8(string(text), "\uFFFD"), limit)
	}
	p := plain(text)
	hidden := make([]int, len(text)+1) // where what is hidden from there on ends
	for _, c := range s {
		widened := 0
		c.find(p.text, func(at int) {
			from, to := p.from[at], p.to[at+len(c.text)-1]
			if c.encoded && from >= widened {
				from, to = widen(text, from, to)
				widened = to
			}
			hidden[from] = max(hidden[from], to)
		})
		if isCut {
			if rest := c.beginning(p.text); rest >= minSought {
				hidden[p.from[len(p.text)-rest]] = len(text)
			}
		}
	}
	var out []byte
	end := 0 // of what is hidden
	for i := range min(limit, len(text)) {
		if hidden[i] > i && end <= i && !bytes.HasSuffix(out, []byte(redacted)) {
			out = append(out, redacted...)
		}
		if end = max(end, hidden[i]); end <= i {
			out = append(out, text[i])
		}
	}
	return begin(strings.ToValidUTF8(string(out), "\uFFFD"), limit)
}

// begin returns the whole characters in the first n bytes of s.
func begin(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// find calls found with where each occurrence of c begins.
func (c *clue) find(text []byte, found func(at int)) {
	for at := 0; ; at++ {
		next := bytes.Index(text[at:], c.text)
		if next < 0 {
			return
		}
		at += next
		found(at)
	}
}

// beginning returns how many bytes at the end of text are the beginning of c,
// but not all of it.
func (c *clue) beginning(text []byte) int {
	n := min(len(c.text)-1, len(text))
	for n > 0 && !bytes.HasSuffix(text, c.text[:n]) {
		n--
	}
	return n
}

// widen takes what was found in base64 to the whole of the base64.
func widen(text []byte, from, to int) (int, int) {
	for from > 0 && isBase64(text[from-1]) {
		from--
	}
	for to < len(text) && isBase64(text[to]) {
		to++
	}
	return from, to
}

func isBase64(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte(`+/-_=%\`, c) >= 0 // its two alphabets, and their escapes
}

// A plaintext is a text without its escapes and without what distinguishes
// spellings, and where each byte of it came from.
type plaintext struct {
	text     []byte
	from, to []int
}

// plain undoes the escapes of URLs, JSON and HTML, one within the other too,
// and makes alike the cases of ASCII, the two alphabets of base64, and the two
// blanks of URLs. It is for comparison alone.
func plain(text []byte) *plaintext {
	p := &plaintext{make([]byte, 0, len(text)), make([]int, 0, len(text)), make([]int, 0, len(text))}
	for i, c := range text {
		p.add(c, i, i+1)
	}
	return p
}

func (p *plaintext) add(c byte, from, to int) {
	if n := len(p.text); n > 0 && p.text[n-1] == '\\' && c != 'u' && c != 'U' && c != 'x' {
		from = p.cut(1)
	}
	switch {
	case 'A' <= c && c <= 'Z':
		c += 'a' - 'A'
	case c == ' ', c == '-':
		c = '+'
	case c == '_':
		c = '/'
	}
	p.text, p.from, p.to = append(p.text, c), append(p.from, from), append(p.to, to)
	if n, meant := escape(p.text); n > 0 {
		from := p.cut(n)
		for i := range len(meant) {
			p.add(meant[i], from, to)
		}
	}
}

// cut takes away the last n bytes, and tells where they began.
func (p *plaintext) cut(n int) (from int) {
	n = len(p.text) - n
	from = p.from[n]
	p.text, p.from, p.to = p.text[:n], p.from[:n], p.to[:n]
	return from
}

// escape returns how many bytes at the end of text are an escape, and what it
// stands for.
func escape(text []byte) (n int, meant string) {
	if c, ok := number(text, "%", 2); ok {
		return 3, string([]byte{byte(c)}) //nolint:gosec // two digits
	}
	if c, ok := number(text, `\x`, 2); ok {
		return 4, string(rune(c))
	}
	if low, ok := number(text, `\u`, 4); ok {
		if !utf16.IsSurrogate(rune(low)) {
			return 6, string(rune(low))
		}
		if high, ok := number(text[:len(text)-6], `\u`, 4); ok {
			if r := utf16.DecodeRune(rune(high), rune(low)); r != utf8.RuneError {
				return 12, string(r)
			}
		}
		return 0, ""
	}
	if !bytes.HasSuffix(text, []byte(";")) {
		return 0, ""
	}
	tail := text[max(0, len(text)-10):]
	if i := bytes.LastIndexByte(tail, '&'); i >= 0 {
		entity := string(tail[i:])
		if meant := html.UnescapeString(entity); meant != entity {
			return len(entity), meant
		}
	}
	return 0, ""
}

// number reads the hexadecimal digits at the end of text, if there are so many
// and prefix is before them.
func number(text []byte, prefix string, digits int) (uint16, bool) {
	at := len(text) - digits
	if at < len(prefix) || string(text[at-len(prefix):at]) != prefix {
		return 0, false
	}
	n, err := strconv.ParseUint(string(text[at:]), 16, 16)
	return uint16(n), err == nil
}
