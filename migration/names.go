package migration

import (
	"strconv"
	"strings"
)

// maxName is what labels may hold of a name: some tools put it there.
const maxName = 63

// names are those of the objects of one kind, as Kubernetes wants them.
type names struct{ taken map[string]bool }

// take returns a name as near to the wish as may be, which nobody else has.
func (n *names) take(wish string) string {
	name := dnsName(wish)
	for i := 2; n.taken[name]; i++ {
		suffix := "-" + strconv.Itoa(i)
		name = strings.TrimRight(dnsName(wish)[:min(len(dnsName(wish)), maxName-len(suffix))], "-") + suffix
	}
	n.taken[name] = true
	return name
}

// dnsName writes a name with lower case letters, digits and "-" alone.
func dnsName(s string) string {
	var b strings.Builder
	for _, r := range strings.ToLower(s) {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			b.WriteByte('-')
		}
	}
	name := strings.Trim(b.String()[:min(b.Len(), maxName)], "-")
	if name == "" {
		return "webhook"
	}
	return name
}
