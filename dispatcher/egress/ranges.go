package egress

import "net/netip"

// The classes of denied addresses. They are details of outcomes and appear in
// statuses: the set is closed, and none is ever renamed.
const (
	classNotIP         = "not an IP address"
	classUnspecified   = "unspecified address"
	classLoopback      = "loopback address"
	classPrivate       = "private address"
	classLinkLocal     = "link-local or metadata address"
	classCarrierNAT    = "carrier-grade NAT address"
	classMulticast     = "multicast address"
	classBroadcast     = "broadcast address"
	classDocumentation = "documentation address"
	classBenchmark     = "benchmarking address"
	classReserved      = "reserved address"
	classTunnel        = "tunnelled IPv4 address"
	classNAT64         = "NAT64 of a denied address"
)

// A denied range. The first that contains an address names its class.
type denied struct {
	prefix netip.Prefix
	class  string
}

// denied4 follows the IANA IPv4 Special-Purpose Address Registry, and adds the
// addresses at which clouds serve credentials.
var denied4 = []denied{
	{netip.MustParsePrefix("0.0.0.0/8"), classUnspecified}, // Linux connects 0.0.0.0 to itself
	{netip.MustParsePrefix("10.0.0.0/8"), classPrivate},
	{netip.MustParsePrefix("100.64.0.0/10"), classCarrierNAT}, // and the metadata service of Alibaba Cloud
	{netip.MustParsePrefix("127.0.0.0/8"), classLoopback},
	{netip.MustParsePrefix("168.63.129.16/32"), classLinkLocal}, // Azure's wire server: public by its number only
	{netip.MustParsePrefix("169.254.0.0/16"), classLinkLocal},
	{netip.MustParsePrefix("172.16.0.0/12"), classPrivate},
	{netip.MustParsePrefix("192.0.0.0/24"), classReserved}, // and the metadata service of Oracle Cloud
	{netip.MustParsePrefix("192.0.2.0/24"), classDocumentation},
	{netip.MustParsePrefix("192.88.99.0/24"), classTunnel}, // relays of 6to4
	{netip.MustParsePrefix("192.168.0.0/16"), classPrivate},
	{netip.MustParsePrefix("198.18.0.0/15"), classBenchmark},
	{netip.MustParsePrefix("198.51.100.0/24"), classDocumentation},
	{netip.MustParsePrefix("203.0.113.0/24"), classDocumentation},
	{netip.MustParsePrefix("224.0.0.0/4"), classMulticast},
	{netip.MustParsePrefix("255.255.255.255/32"), classBroadcast},
	{netip.MustParsePrefix("240.0.0.0/4"), classReserved},
}

// denied6 names classes within what is not global unicast, for a better word
// than "reserved", and the special ranges within global unicast (IANA IPv6
// Special-Purpose Address Registry).
var denied6 = []denied{
	{netip.MustParsePrefix("::/128"), classUnspecified},
	{netip.MustParsePrefix("::1/128"), classLoopback},
	{netip.MustParsePrefix("::/96"), classTunnel},           // IPv4-compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), classTunnel}, // IPv4-translated
	{netip.MustParsePrefix("64:ff9b:1::/48"), classTunnel},  // NAT64 of a network's own: where it keeps the IPv4 address is unknown
	{netip.MustParsePrefix("fc00::/7"), classPrivate},       // and AWS's metadata service at fd00:ec2::254
	{netip.MustParsePrefix("fe80::/10"), classLinkLocal},
	{netip.MustParsePrefix("fec0::/10"), classPrivate}, // site-local
	{netip.MustParsePrefix("ff00::/8"), classMulticast},

	{netip.MustParsePrefix("2001::/32"), classTunnel}, // Teredo
	{netip.MustParsePrefix("2001:2::/48"), classBenchmark},
	{netip.MustParsePrefix("2001::/23"), classReserved}, // protocol assignments, ORCHID among them
	{netip.MustParsePrefix("2001:db8::/32"), classDocumentation},
	{netip.MustParsePrefix("2002::/16"), classTunnel}, // 6to4
	{netip.MustParsePrefix("3fff::/20"), classDocumentation},
}

var (
	nat64         = netip.MustParsePrefix("64:ff9b::/96")
	globalUnicast = netip.MustParsePrefix("2000::/3")
)

// classify returns the class for which addr, unmapped and without zone, is
// denied, or "" when it is globally reachable.
//
// IPv4 is a list of exceptions, for nearly all of it is in use. IPv6 is the
// other way round: only global unicast is allowed, less its special ranges, so
// that 100::/64, 5f00::/16 and whatever is assigned next are denied unseen.
//
// Of the forms that embed an IPv4 address only the well-known NAT64 prefix is
// decided by that address: in a cluster without IPv4 it is the way to every
// receiver that has no IPv6, and its layout is fixed (RFC 6052, section 2.2).
// 6to4, Teredo, IPv4-compatible and IPv4-translated addresses reach no receiver
// today, so they are denied outright; to decode them would be more code to be
// wrong in.
func classify(addr netip.Addr) string {
	ranges := denied6
	switch {
	case !addr.IsValid():
		return classNotIP
	case addr.Is4():
		ranges = denied4
	case nat64.Contains(addr):
		b := addr.As16()
		if classify(netip.AddrFrom4([4]byte(b[12:]))) != "" {
			return classNAT64
		}
		return ""
	}
	for _, d := range ranges {
		if d.prefix.Contains(addr) {
			return d.class
		}
	}
	if addr.Is6() && !globalUnicast.Contains(addr) {
		return classReserved
	}
	return ""
}
