package networkpolicy

import (
	"net/netip"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
)

// AddressRange is every address from First to Last, both included, of one family.
type AddressRange struct{ First, Last netip.Addr }

// AddressSet holds ranges that are sorted (IPv4 before IPv6), disjoint and not adjacent, as nft wants them in one set.
type AddressSet []AddressRange

var (
	everyIPv4 = prefixRange(netip.MustParsePrefix("0.0.0.0/0"))
	everyIPv6 = prefixRange(netip.MustParsePrefix("::/0"))
	everyone  = AddressSet{everyIPv4, everyIPv6}
)

func single(address netip.Addr) AddressRange { return AddressRange{address, address} }

func prefixRange(prefix netip.Prefix) AddressRange {
	prefix = prefix.Masked()
	last := prefix.Addr().AsSlice()
	for bit := prefix.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 0x80 >> (bit % 8)
	}
	address, _ := netip.AddrFromSlice(last) // as long as the slice it came from, so always valid
	return AddressRange{prefix.Addr(), address}
}

// newAddressSet sorts and merges ranges, which may overlap.
func newAddressSet(ranges []AddressRange) AddressSet {
	sorted := slices.SortedFunc(slices.Values(ranges), func(a, b AddressRange) int { return a.First.Compare(b.First) })
	var set AddressSet
	for _, next := range sorted {
		if len(set) > 0 {
			current := &set[len(set)-1]
			// Next of the last address of a family is no address at all, so families never merge.
			if next.First.Compare(current.Last) <= 0 || next.First == current.Last.Next() {
				if next.Last.Compare(current.Last) > 0 {
					current.Last = next.Last
				}
				continue
			}
		}
		set = append(set, next)
	}
	return set
}

func (s AddressSet) without(cut AddressRange) AddressSet {
	var rest AddressSet
	for _, r := range s {
		if r.Last.Less(cut.First) || cut.Last.Less(r.First) {
			rest = append(rest, r)
			continue
		}
		if r.First.Less(cut.First) {
			rest = append(rest, AddressRange{r.First, cut.First.Prev()})
		}
		if cut.Last.Less(r.Last) {
			rest = append(rest, AddressRange{cut.Last.Next(), r.Last})
		}
	}
	return rest
}

// Contains tells whether address is in one of the ranges.
func (s AddressSet) Contains(address netip.Addr) bool {
	return slices.ContainsFunc(s, func(r AddressRange) bool {
		return r.First.Compare(address) <= 0 && address.Compare(r.Last) <= 0
	})
}

// split gives the two families their own parts.
func (s AddressSet) split() (ipv4, ipv6 AddressSet) {
	at := slices.IndexFunc(s, func(r AddressRange) bool { return r.First.Is6() })
	if at < 0 {
		return s, nil
	}
	return s[:at], s[at:]
}

// blockRanges is an ipBlock without its exceptions. If any part of it cannot be read it matches nothing: a hole in a
// wall must be asked for in words that are understood.
func blockRanges(block *networkingv1.IPBlock) AddressSet {
	prefix, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return nil
	}
	set := AddressSet{prefixRange(prefix)}
	for _, text := range block.Except {
		except, err := netip.ParsePrefix(text)
		if err != nil {
			return nil
		}
		set = set.without(prefixRange(except))
	}
	return set
}
