package networkpolicy

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// State is what the rules of one node follow from: all pods of the cluster (they are peers), not only those of the node.
type State struct {
	Node       string
	Pods       []*corev1.Pod
	Namespaces []*corev1.Namespace
	Policies   []*networkingv1.NetworkPolicy
}

// Ruleset is everything that one node enforces. A pod that is in no chain of a direction is open in that direction.
type Ruleset struct{ Chains []Chain }

// Chain refuses everything, in one direction, to and from the pods with these addresses, except what is allowed.
type Chain struct {
	Direction networkingv1.PolicyType
	// Policies are the namespaced names of the policies that select these pods, for the people who read the table.
	Policies  []string
	Addresses []netip.Addr
	Allows    []Allow
}

// Allow lets through what matches all of its parts.
type Allow struct {
	Peers AddressSet
	// Protocol is empty for all protocols, also those without ports.
	Protocol corev1.Protocol
	Ports    []PortRange
}

// PortRange is every port from First to Last, both included.
type PortRange struct{ First, Last uint16 }

var everyPort = PortRange{0, 65535}

// Compile works out the rules of one node.
func Compile(state State) Ruleset {
	c := compiler{endpoints: endpoints(state.Pods), namespaces: map[string]labels.Set{}}
	for _, namespace := range state.Namespaces {
		c.namespaces[namespace.Name] = namespace.Labels
	}
	for _, object := range state.Policies {
		// An unreadable selector selects every pod of the namespace: then too much is closed, not too little.
		p := policy{NetworkPolicy: object, selector: selector(&object.Spec.PodSelector, labels.Everything())}
		c.policies = append(c.policies, p)
	}
	slices.SortFunc(c.policies, func(a, b policy) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	var ruleset Ruleset
	for _, direction := range []networkingv1.PolicyType{networkingv1.PolicyTypeEgress, networkingv1.PolicyTypeIngress} {
		ruleset.Chains = append(ruleset.Chains, c.chains(state.Node, direction)...)
	}
	return ruleset
}

type compiler struct {
	endpoints  []*endpoint
	namespaces map[string]labels.Set
	policies   []policy
}

type policy struct {
	*networkingv1.NetworkPolicy
	selector labels.Selector
}

func (p policy) selects(e *endpoint, direction networkingv1.PolicyType) bool {
	return p.Namespace == e.pod.Namespace && p.governs(direction) && p.selector.Matches(labels.Set(e.pod.Labels))
}

// namesPorts tells whether the ingress of the policy depends on the ports of the pod that it selects.
func (p policy) namesPorts() bool {
	return slices.ContainsFunc(p.Spec.Ingress, func(rule networkingv1.NetworkPolicyIngressRule) bool {
		return slices.ContainsFunc(rule.Ports, func(port networkingv1.NetworkPolicyPort) bool {
			return port.Port != nil && port.Port.Type == intstr.String
		})
	})
}

// governs repeats the defaults that the API server writes into policyTypes, for objects that never passed it.
func (p policy) governs(direction networkingv1.PolicyType) bool {
	if len(p.Spec.PolicyTypes) > 0 {
		return slices.Contains(p.Spec.PolicyTypes, direction)
	}
	return direction == networkingv1.PolicyTypeIngress || len(p.Spec.Egress) > 0
}

// chains makes one chain for all pods of the node that have the same rules: selected by the same policies and, where the
// policies name ports, with the same named ports. The replicas of a workload share their chain that way.
func (c *compiler) chains(node string, direction networkingv1.PolicyType) []Chain {
	var chains []Chain
	known := map[string]int{}
	for _, e := range c.endpoints {
		if e.pod.Spec.NodeName != node {
			continue
		}
		var selecting []policy
		var names []string
		for _, p := range c.policies {
			if p.selects(e, direction) {
				selecting = append(selecting, p)
				names = append(names, p.Namespace+"/"+p.Name)
			}
		}
		if len(selecting) == 0 {
			continue
		}
		key := fmt.Sprint(names)
		if direction == networkingv1.PolicyTypeIngress && slices.ContainsFunc(selecting, policy.namesPorts) {
			key = fmt.Sprint(names, e.ports)
		}
		at, found := known[key]
		if !found {
			at = len(chains)
			known[key] = at
			chains = append(chains, Chain{Direction: direction, Policies: names, Allows: c.union(selecting, direction, e)})
		}
		chains[at].Addresses = append(chains[at].Addresses, e.addresses...)
	}
	return chains
}

// union is what any of the policies allows to a pod.
func (c *compiler) union(policies []policy, direction networkingv1.PolicyType, e *endpoint) []Allow {
	var allows []Allow
	for _, p := range policies {
		if direction == networkingv1.PolicyTypeIngress {
			for _, rule := range p.Spec.Ingress {
				peers := c.peers(rule.From, p.Namespace)
				// A named port of an ingress rule is a port of the selected pod.
				allows = append(allows, portAllows(peers, rule.Ports, e.lookup)...)
			}
			continue
		}
		for _, rule := range p.Spec.Egress {
			peers := c.peers(rule.To, p.Namespace)
			allows = append(allows, portAllows(peers, rule.Ports, nil)...)
			allows = append(allows, c.namedEgress(peers, rule.Ports)...)
		}
	}
	return allows
}

// peers is everyone for an absent or empty list, and nobody for a list of peers that matches nothing.
func (c *compiler) peers(peers []networkingv1.NetworkPolicyPeer, namespace string) AddressSet {
	if len(peers) == 0 {
		return everyone
	}
	var ranges []AddressRange
	for _, peer := range peers {
		if peer.IPBlock != nil {
			ranges = append(ranges, blockRanges(peer.IPBlock)...)
			continue
		}
		if peer.NamespaceSelector == nil && peer.PodSelector == nil {
			continue
		}
		ranges = append(ranges, c.selected(peer, namespace)...)
	}
	return newAddressSet(ranges)
}

func (c *compiler) selected(peer networkingv1.NetworkPolicyPeer, namespace string) []AddressRange {
	// An absent podSelector next to a namespaceSelector means all pods there; an unreadable one means none.
	pods, namespaces := labels.Everything(), labels.Nothing()
	if peer.PodSelector != nil {
		pods = selector(peer.PodSelector, labels.Nothing())
	}
	if peer.NamespaceSelector != nil {
		namespaces = selector(peer.NamespaceSelector, labels.Nothing())
	}
	var ranges []AddressRange
	for _, e := range c.endpoints {
		inNamespace := e.pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			// A namespace that the watch has not shown yet has unknown labels, and a selector may ask for absent ones.
			set, known := c.namespaces[e.pod.Namespace]
			inNamespace = known && namespaces.Matches(set)
		}
		if inNamespace && pods.Matches(labels.Set(e.pod.Labels)) {
			for _, address := range e.addresses {
				ranges = append(ranges, single(address))
			}
		}
	}
	return ranges
}

// portAllows combines peers with ports; lookup resolves names (nil: they are resolved elsewhere).
func portAllows(
	peers AddressSet, ports []networkingv1.NetworkPolicyPort, lookup func(string, corev1.Protocol) []uint16,
) []Allow {
	if len(peers) == 0 {
		return nil
	}
	if len(ports) == 0 {
		return []Allow{{Peers: peers}}
	}
	ranges := map[corev1.Protocol][]PortRange{}
	for _, port := range ports {
		protocol := protocolOf(port)
		switch {
		case port.Port == nil:
			ranges[protocol] = append(ranges[protocol], everyPort)
		case port.Port.Type == intstr.String && lookup != nil:
			for _, number := range lookup(port.Port.StrVal, protocol) {
				ranges[protocol] = append(ranges[protocol], PortRange{number, number})
			}
		case port.Port.Type == intstr.Int:
			first := uint16(port.Port.IntVal)
			last := first
			if port.EndPort != nil {
				last = uint16(*port.EndPort)
			}
			ranges[protocol] = append(ranges[protocol], PortRange{first, last})
		}
	}
	var allows []Allow
	for _, protocol := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP, corev1.ProtocolSCTP} {
		if len(ranges[protocol]) > 0 {
			allows = append(allows, Allow{peers, protocol, mergePorts(ranges[protocol])})
		}
	}
	return allows
}

// namedEgress resolves names on each destination: the same name may be another number on every pod, so the rule is per
// number, with the pods that have it.
func (c *compiler) namedEgress(peers AddressSet, ports []networkingv1.NetworkPolicyPort) []Allow {
	type target struct {
		protocol corev1.Protocol
		number   uint16
	}
	var order []target
	addresses := map[target][]AddressRange{}
	for _, port := range ports {
		if port.Port == nil || port.Port.Type != intstr.String {
			continue
		}
		for _, e := range c.endpoints {
			for _, number := range e.lookup(port.Port.StrVal, protocolOf(port)) {
				t := target{protocolOf(port), number}
				for _, address := range e.addresses {
					if !peers.Contains(address) {
						continue
					}
					if addresses[t] == nil {
						order = append(order, t)
					}
					addresses[t] = append(addresses[t], single(address))
				}
			}
		}
	}
	var allows []Allow
	for _, t := range order {
		allows = append(allows, Allow{newAddressSet(addresses[t]), t.protocol, []PortRange{{t.number, t.number}}})
	}
	return allows
}

func protocolOf(port networkingv1.NetworkPolicyPort) corev1.Protocol {
	if port.Protocol == nil {
		return corev1.ProtocolTCP
	}
	return *port.Protocol
}

// mergePorts sorts ranges and joins those that overlap or touch; nft refuses overlapping ranges in one set.
func mergePorts(ranges []PortRange) []PortRange {
	slices.SortFunc(ranges, func(a, b PortRange) int { return cmp.Compare(a.First, b.First) })
	merged := ranges[:1]
	for _, next := range ranges[1:] {
		current := &merged[len(merged)-1]
		if int(next.First) <= int(current.Last)+1 {
			current.Last = max(current.Last, next.Last)
			continue
		}
		merged = append(merged, next)
	}
	return merged
}

// selector gives fallback for a selector that cannot be read; the API server lets none through.
func selector(s *metav1.LabelSelector, fallback labels.Selector) labels.Selector {
	parsed, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return fallback
	}
	return parsed
}
