package networkpolicy

import (
	"fmt"
	"net/netip"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// Table is the name of the nftables table (family inet) that belongs to the enforcer alone.
const Table = "warren_network_policy"

// maxComment keeps a rule's comment below the 128 bytes that nft takes.
const maxComment = 100

// Render writes a transaction for "nft -f -" that replaces the whole table. The first line makes sure that there is
// something to delete; the kernel switches from the old rules to the new ones at one moment, with no gap between.
func (r Ruleset) Render() string {
	w := writer{known: map[string]string{}, elements: map[string][]string{}}
	for number, chain := range r.Chains {
		w.chain(fmt.Sprintf("%s_%d", strings.ToLower(string(chain.Direction)), number), chain)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "table inet %s\ndelete table inet %s\ntable inet %s {\n", Table, Table, Table)
	text.WriteString(w.sets.String())
	w.block(&text, "set self4", "type ipv4_addr . ipv4_addr")
	w.block(&text, "set self6", "type ipv6_addr . ipv6_addr")
	text.WriteString(w.chains.String())
	for _, name := range []string{"egress", "ingress"} {
		w.block(&text, "map "+name+"4", "type ipv4_addr : verdict")
		w.block(&text, "map "+name+"6", "type ipv6_addr : verdict")
	}
	text.WriteString(baseChains)
	text.WriteString("}\n")
	return text.String()
}

// The maps lead from the address of a selected pod to its chain, so a packet costs four look-ups, however many pods
// there are; a chain returns what it allows. The priority is after kube-proxy's own filter chains. Neighbour discovery
// of IPv6 is part of the link, which ARP is for IPv4, and no connection tracking knows it.
const baseChains = `  chain forward {
    type filter hook forward priority filter + 1; policy accept;
    ct state established,related accept
    ip saddr . ip daddr @self4 accept
    ip6 saddr . ip6 daddr @self6 accept
    ip saddr vmap @egress4
    ip6 saddr vmap @egress6
    ip daddr vmap @ingress4
    ip6 daddr vmap @ingress6
  }
  chain input {
    type filter hook input priority filter + 1; policy accept;
    ct state established,related accept
    icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept
    ip saddr vmap @egress4
    ip6 saddr vmap @egress6
  }
`

type writer struct {
	sets, chains strings.Builder
	// known maps the definition of a set to its name: many chains share the pods of one namespace.
	known map[string]string
	// elements of the maps and of the sets of pods that reach themselves, by their first line.
	elements map[string][]string
}

func (w *writer) block(text *strings.Builder, head, kind string) {
	fmt.Fprintf(text, "  %s {\n    %s\n", head, kind)
	if elements := w.elements[head]; len(elements) > 0 {
		fmt.Fprintf(text, "    elements = { %s }\n", strings.Join(elements, ", "))
	}
	text.WriteString("  }\n")
}

func (w *writer) chain(name string, chain Chain) {
	peer := "saddr"
	if chain.Direction == networkingv1.PolicyTypeEgress {
		peer = "daddr"
	}
	fmt.Fprintf(&w.chains, "  chain %s {\n", name)
	for _, allow := range chain.Allows {
		ports := portMatch(allow)
		for _, peers := range w.peerMatches(allow.Peers, peer) {
			words := append(append(peers, ports...), "return")
			fmt.Fprintf(&w.chains, "    %s\n", strings.Join(words, " "))
		}
	}
	comment := strings.Join(chain.Policies, " ")
	if len(comment) > maxComment {
		comment = comment[:maxComment-3] + "..."
	}
	fmt.Fprintf(&w.chains, "    counter reject with icmpx admin-prohibited comment \"%s\"\n  }\n", comment)

	for _, address := range chain.Addresses {
		w.address(strings.ToLower(string(chain.Direction)), name, address)
	}
}

// address leads from the address of a pod to its chain and lets the pod reach itself.
func (w *writer) address(direction, chain string, address netip.Addr) {
	family := "4"
	if address.Is6() {
		family = "6"
	}
	jumps, self := "map "+direction+family, "set self"+family
	w.elements[jumps] = append(w.elements[jumps], fmt.Sprintf("%s : jump %s", address, chain))
	pair := fmt.Sprintf("%s . %s", address, address)
	for _, known := range w.elements[self] {
		if known == pair { // selected in both directions
			return
		}
	}
	w.elements[self] = append(w.elements[self], pair)
}

// peerMatches gives one match per family, or an empty one for everyone.
func (w *writer) peerMatches(peers AddressSet, side string) [][]string {
	ipv4, ipv6 := peers.split()
	if covers(ipv4, everyIPv4) && covers(ipv6, everyIPv6) {
		return [][]string{nil}
	}
	var matches [][]string
	if covers(ipv4, everyIPv4) {
		matches = append(matches, []string{"meta nfproto ipv4"})
	} else if len(ipv4) > 0 {
		matches = append(matches, []string{"ip", side, w.addresses(ipv4, "ipv4_addr")})
	}
	if covers(ipv6, everyIPv6) {
		matches = append(matches, []string{"meta nfproto ipv6"})
	} else if len(ipv6) > 0 {
		matches = append(matches, []string{"ip6", side, w.addresses(ipv6, "ipv6_addr")})
	}
	return matches
}

func covers(set AddressSet, family AddressRange) bool { return len(set) == 1 && set[0] == family }

// addresses is a single address, or the name of a set.
func (w *writer) addresses(set AddressSet, kind string) string {
	elements := make([]string, len(set))
	flags := ""
	for i, r := range set {
		elements[i] = r.First.String()
		if r.First != r.Last {
			elements[i] += "-" + r.Last.String()
			flags = "    flags interval\n" // only then: a set of plain addresses is a hash
		}
	}
	if len(elements) == 1 {
		return elements[0]
	}
	body := fmt.Sprintf("    type %s\n%s    elements = { %s }\n", kind, flags, strings.Join(elements, ", "))
	name, found := w.known[body]
	if !found {
		name = fmt.Sprintf("peers_%d", len(w.known))
		w.known[body] = name
		fmt.Fprintf(&w.sets, "  set %s {\n%s  }\n", name, body)
	}
	return "@" + name
}

func portMatch(allow Allow) []string {
	protocol := strings.ToLower(string(allow.Protocol))
	switch {
	case protocol == "":
		return nil
	case allow.Ports[0] == everyPort: // merged, so there is no other
		return []string{"meta l4proto", protocol}
	}
	ports := make([]string, len(allow.Ports))
	for i, r := range allow.Ports {
		ports[i] = fmt.Sprint(r.First)
		if r.First != r.Last {
			ports[i] += fmt.Sprintf("-%d", r.Last)
		}
	}
	return []string{protocol, "dport {", strings.Join(ports, ", "), "}"}
}
