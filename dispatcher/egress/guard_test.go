package egress_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/postrider/postrider/dispatcher/egress"
)

// class is the phrase of a denial, "" when addr may be dialled.
func class(t *testing.T, g egress.Guard, addr netip.Addr) string {
	t.Helper()
	err := g.Check(addr)
	if err == nil {
		return ""
	}
	if !errors.Is(err, egress.ErrDenied) {
		t.Fatalf("Check(%v) is %v, which does not wrap ErrDenied", addr, err)
	}
	return strings.TrimPrefix(err.Error(), egress.ErrDenied.Error()+": ")
}

func TestTheGuardDeniesEachSpecialRangeAndNotItsNeighbours(t *testing.T) {
	const (
		carrier   = "carrier-grade NAT address"
		linkLocal = "link-local or metadata address"
		document  = "documentation address"
		tunnel    = "tunnelled IPv4 address"
		nat64     = "NAT64 of a denied address"
	)
	for _, tt := range []struct {
		addrs string
		want  string
	}{
		{"0.0.0.0 0.255.255.255 ::", "unspecified address"},
		{"1.0.0.0 9.255.255.255", ""},
		{"10.0.0.0 10.255.255.255", "private address"},
		{"11.0.0.0 100.63.255.255", ""},
		{"100.64.0.0 100.100.100.200 100.127.255.255", carrier},
		{"100.128.0.0 126.255.255.255", ""},
		{"127.0.0.0 127.0.0.1 127.255.255.255 ::1", "loopback address"},
		{"128.0.0.0 168.63.129.15", ""},
		{"168.63.129.16", linkLocal},
		{"168.63.129.17 169.253.255.255", ""},
		{"169.254.0.0 169.254.169.254 169.254.255.255", linkLocal},
		{"169.255.0.0 172.15.255.255", ""},
		{"172.16.0.0 172.31.255.255", "private address"},
		{"172.32.0.0 191.255.255.255", ""},
		{"192.0.0.0 192.0.0.192 192.0.0.255", "reserved address"},
		{"192.0.1.0 192.0.1.255", ""},
		{"192.0.2.0 192.0.2.255", document},
		{"192.0.3.0 192.88.98.255", ""},
		{"192.88.99.0 192.88.99.255", tunnel},
		{"192.88.100.0 192.167.255.255", ""},
		{"192.168.0.0 192.168.255.255", "private address"},
		{"192.169.0.0 198.17.255.255", ""},
		{"198.18.0.0 198.19.255.255", "benchmarking address"},
		{"198.20.0.0 198.51.99.255", ""},
		{"198.51.100.0 198.51.100.255", document},
		{"198.51.101.0 203.0.112.255", ""},
		{"203.0.113.0 203.0.113.255", document},
		{"203.0.114.0 223.255.255.255", ""},
		{"224.0.0.0 224.0.0.1 239.255.255.255", "multicast address"},
		{"240.0.0.0 255.255.255.254", "reserved address"},
		{"255.255.255.255", "broadcast address"},

		{"::ffff:127.0.0.1", "loopback address"}, // IPv4-mapped
		{"::ffff:169.254.169.254", linkLocal},
		{"::ffff:1.1.1.1", ""},
		{"::2 ::7f00:1 ::ffff:ffff", tunnel},                              // IPv4-compatible
		{"::ffff:0:7f00:1 ::ffff:0:101:101", tunnel},                      // IPv4-translated
		{"::1:0:0 ::ffff:1:0:0 ff:: 100:: 100::1", "reserved address"},    // discard-only among them
		{"64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 64:ff9b::a00:1", nat64},      // 127.0.0.1, 169.254.169.254, 10.0.0.1
		{"64:ff9b::101:101 64:ff9b::808:808", ""},                         // 1.1.1.1, 8.8.8.8
		{"64:ff9a:ffff::1 64:ff9b:0:0:0:1:101:101", "reserved address"},   // beside NAT64
		{"64:ff9b:1::101:101 64:ff9b:1:ffff:ffff:ffff:ffff:ffff", tunnel}, // NAT64 of a network's own
		{"64:ff9b:2::101:101 1fff:ffff::1", "reserved address"},
		{"2001::1 2001:0:a9fe:a9fe::1", tunnel}, // Teredo
		{"2001:1::1 2001:10::1 2001:20::1 2001:1ff:ffff::1", "reserved address"},
		{"2001:2::1 2001:2:0:ffff::1", "benchmarking address"},
		{"2000::1 2001:200::1 2001:4860:4860::8888 2001:db7:ffff::1", ""},
		{"2001:db8::1 2001:db8:ffff::1 3fff::1 3fff:fff:ffff::1", document},
		{"2001:db9::1 2001:ffff::1", ""},
		{"2002:a00:1:: 2002:a9fe:a9fe:: 2002:101:101::", tunnel}, // 6to4
		{"2003::1 2606:4700:4700::1111 2a00:1450::1 3ffe:ffff::1 3fff:1000::1", ""},
		{"4000::1 5f00::1 fbff::1 fe00::1 fe7f::1", "reserved address"}, // SRv6 among them
		{"fc00::1 fd00:ec2::254 fdff::1 fec0::1 feff::1", "private address"},
		{"fe80::1 fe80::a9fe:a9fe%eth0 febf::1", linkLocal},
		{"ff00::1 ff02::1 ffff::1", "multicast address"},
	} {
		for addr := range strings.FieldsSeq(tt.addrs) {
			if got := class(t, egress.Guard{}, netip.MustParseAddr(addr)); got != tt.want {
				t.Errorf("%s is denied as %q, want %q", addr, got, tt.want)
			}
		}
	}
	if got := class(t, egress.Guard{}, netip.Addr{}); got != "not an IP address" {
		t.Errorf("the zero address is denied as %q", got)
	}
}

func TestAnAllowedPrefixWinsInEveryFormOfItsAddresses(t *testing.T) {
	g := egress.Guard{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fe80::/64")}}
	for addr, want := range map[string]string{
		"10.1.2.3":         "",
		"::ffff:10.1.2.3":  "",
		"fe80::1%eth0":     "",
		"10.2.0.1":         "private address",
		"64:ff9b::a01:203": "NAT64 of a denied address", // the platform granted the address, not the detour
		"fe80:1::1":        "link-local or metadata address",
	} {
		if got := class(t, g, netip.MustParseAddr(addr)); got != want {
			t.Errorf("%s is denied as %q, want %q", addr, got, want)
		}
	}
}

// embed puts an IPv4 address into each form that carries one.
func embed(v4 [4]byte) []netip.Addr {
	in := func(prefix string, at int) netip.Addr {
		b := netip.MustParseAddr(prefix).As16()
		copy(b[at:], v4[:])
		return netip.AddrFrom16(b)
	}
	teredo := in("2001::", 4) // the server; the client's address is the complement at the end
	b := teredo.As16()
	for i, v := range v4 {
		b[12+i] = ^v
	}
	return []netip.Addr{
		netip.AddrFrom4(v4), in("::ffff:0:0", 12), in("::", 12), in("::ffff:0:0:0", 12),
		in("64:ff9b::", 12), in("64:ff9b:1::", 6), in("64:ff9b:1::", 12),
		in("2002::", 2), teredo, netip.AddrFrom16(b),
	}
}

func FuzzAnAddressThatEmbedsADeniedIPv4IsDenied(f *testing.F) {
	for _, s := range []string{"127.0.0.1", "169.254.169.254", "10.0.0.1", "168.63.129.16", "0.0.0.0", "1.1.1.1"} {
		b := netip.MustParseAddr(s).As4()
		f.Add(b[0], b[1], b[2], b[3])
	}
	f.Fuzz(func(t *testing.T, a, b, c, d byte) {
		forms := embed([4]byte{a, b, c, d})
		if class(t, egress.Guard{}, forms[0]) == "" {
			return
		}
		for _, addr := range forms {
			if class(t, egress.Guard{}, addr) == "" {
				t.Errorf("%v is denied, %v is not", forms[0], addr)
			}
		}
	})
}

func FuzzWhatTheStandardLibraryKnowsToBeSpecialIsDenied(f *testing.F) {
	for _, s := range []string{"::1", "fe80::1", "fd00:ec2::254", "ff02::1", "::ffff:10.0.0.1", "2606:4700::1"} {
		b := netip.MustParseAddr(s).As16()
		f.Add(b[:])
	}
	f.Add([]byte{192, 168, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		addr, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		u := addr.Unmap()
		special := []bool{!u.IsGlobalUnicast(), u.IsPrivate(), u.IsLoopback(), u.IsLinkLocalUnicast(), u.IsMulticast(), u.IsUnspecified()}
		if slices.Contains(special, true) && class(t, egress.Guard{}, addr) == "" {
			t.Errorf("%v may be dialled", addr)
		}
	})
}
