package networkpolicy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// passes judges one packet the way the base chains do.
func passes(r Ruleset, p probe) bool {
	if p.from == "node" || p.source == p.target {
		return true
	}
	for _, chain := range r.Chains {
		own, peer := p.source, p.target
		if chain.Direction == networkingv1.PolicyTypeIngress {
			own, peer = p.target, p.source
		}
		if !slices.Contains(chain.Addresses, own) {
			continue
		}
		if !slices.ContainsFunc(chain.Allows, func(a Allow) bool {
			return a.Peers.Contains(peer) && (a.Protocol == "" || strings.EqualFold(string(a.Protocol), p.protocol) &&
				slices.ContainsFunc(a.Ports, func(r PortRange) bool { return r.First <= p.port && p.port <= r.Last }))
		}) {
			return false
		}
	}
	return true
}

func TestCasesInTheModel(t *testing.T) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			ruleset := Compile(stateOf(t, clusterYAML+c.policies))
			for _, p := range probesOf(t, c.allowed) {
				if !passes(ruleset, p) {
					t.Errorf("refused: %s", p)
				}
			}
			for _, p := range probesOf(t, c.refused) {
				if passes(ruleset, p) {
					t.Errorf("allowed: %s", p)
				}
			}
		})
	}
}

func TestANamespaceThatIsNotKnownYetMatchesNoSelector(t *testing.T) {
	state := stateOf(t, clusterYAML+policyYAML("shop", `{podSelector: {}, ingress: [{from: [
		{namespaceSelector: {matchExpressions: [{key: hostile, operator: DoesNotExist}]}}]}]}`))
	client := probesOf(t, []string{"client > web tcp 8080"})[0]
	if !passes(Compile(state), client) {
		t.Error("known: refused")
	}
	state.Namespaces = state.Namespaces[:1] // shop alone
	if passes(Compile(state), client) {
		t.Error("unknown: allowed")
	}
}

func TestASelectorThatCannotBeReadClosesInsteadOfOpening(t *testing.T) {
	unreadable := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "app", Operator: "Nonsense"}}}
	state := stateOf(t, clusterYAML+policyYAML("shop", `podSelector: {matchLabels: {app: web}}`))
	api := probesOf(t, []string{"client > api tcp 8080"})[0]
	state.Policies[0].Spec.PodSelector = unreadable
	if passes(Compile(state), api) {
		t.Error("a policy whose podSelector cannot be read selects nothing")
	}
	state.Policies[0].Spec.Ingress = []networkingv1.NetworkPolicyIngressRule{{From: []networkingv1.NetworkPolicyPeer{{PodSelector: &unreadable}, {}}}}
	if passes(Compile(state), probesOf(t, []string{"web > api tcp 8080"})[0]) {
		t.Error("a peer that cannot be read, or an empty one, matches")
	}
}

func TestAnAddressThatTwoPodsClaimBelongsToTheOneThatStays(t *testing.T) {
	now := metav1.Now()
	later := metav1.NewTime(now.Add(time.Minute))
	claim := func(app string, created metav1.Time, deleted *metav1.Time) *corev1.Pod {
		pod := &corev1.Pod{}
		pod.Namespace, pod.Name, pod.Labels = "shop", app, map[string]string{"app": app}
		pod.CreationTimestamp, pod.DeletionTimestamp = created, deleted
		pod.Spec.NodeName, pod.Status.PodIP = "node1", "10.78.1.99"
		return pod
	}
	for name, pods := range map[string][2]*corev1.Pod{
		"the other one is being deleted": {claim("new", now, nil), claim("old", later, &later)},
		"the other one is older":         {claim("new", later, nil), claim("old", now, nil)},
	} {
		t.Run(name, func(t *testing.T) {
			state := stateOf(t, clusterYAML+policyYAML("shop",
				`{podSelector: {matchLabels: {app: new}}}`, `{podSelector: {matchLabels: {app: old}}, ingress: [{}]}`))
			for _, order := range [][]*corev1.Pod{{pods[0], pods[1]}, {pods[1], pods[0]}} {
				chains := Compile(State{Node: state.Node, Pods: append(order, state.Pods...), Policies: state.Policies}).Chains
				if len(chains) != 1 || chains[0].Policies[0] != "shop/policy-0" || len(chains[0].Addresses) != 1 {
					t.Errorf("chains: %+v", chains)
				}
			}
		})
	}
}

func TestReplicasShareAChain(t *testing.T) {
	state := manyPods(t, 200)
	ruleset := Compile(state)
	if len(ruleset.Chains) != 2*manyNamespaces {
		t.Errorf("%d chains for the pods of %d namespaces", len(ruleset.Chains), manyNamespaces)
	}
	if sets := strings.Count(ruleset.Render(), "set peers_"); sets != manyNamespaces {
		t.Errorf("%d sets for the pods of %d namespaces: equal sets are not shared", sets, manyNamespaces)
	}
}

func TestTheSameClusterRendersTheSameTextInAnyOrder(t *testing.T) {
	state := manyPods(t, 50)
	first := Compile(state).Render()
	slices.Reverse(state.Pods)
	slices.Reverse(state.Policies)
	slices.Reverse(state.Namespaces)
	if second := Compile(state).Render(); second != first {
		t.Errorf("first:\n%s\nsecond:\n%s", first, second)
	}
}

func TestTheTextSaysWhatThePoliciesSay(t *testing.T) {
	got := Compile(stateOf(t, clusterYAML+policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress, Egress],
		ingress: [{from: [{podSelector: {}}], ports: [{port: http}, {port: 9090, endPort: 9099}]}, {ports: [{protocol: SCTP}]}],
		egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8]}}]}, {ports: [{port: 53, protocol: UDP}]}]}`))).Render()
	want := `table inet warren_network_policy
delete table inet warren_network_policy
table inet warren_network_policy {
  set peers_0 {
    type ipv4_addr
    flags interval
    elements = { 0.0.0.0-9.255.255.255, 11.0.0.0-255.255.255.255 }
  }
  set peers_1 {
    type ipv4_addr
    flags interval
    elements = { 10.78.1.10-10.78.1.11, 10.78.2.10 }
  }
  set peers_2 {
    type ipv6_addr
    flags interval
    elements = { fd78:1::10-fd78:1::11, fd78:2::10 }
  }
  set self4 {
    type ipv4_addr . ipv4_addr
    elements = { 10.78.1.10 . 10.78.1.10 }
  }
  set self6 {
    type ipv6_addr . ipv6_addr
    elements = { fd78:1::10 . fd78:1::10 }
  }
  chain egress_0 {
    ip daddr @peers_0 return
    udp dport { 53 } return
    counter reject with icmpx admin-prohibited comment "shop/policy-0"
  }
  chain ingress_1 {
    ip saddr @peers_1 tcp dport { 8080, 9090-9099 } return
    ip6 saddr @peers_2 tcp dport { 8080, 9090-9099 } return
    meta l4proto sctp return
    counter reject with icmpx admin-prohibited comment "shop/policy-0"
  }
  map egress4 {
    type ipv4_addr : verdict
    elements = { 10.78.1.10 : jump egress_0 }
  }
  map egress6 {
    type ipv6_addr : verdict
    elements = { fd78:1::10 : jump egress_0 }
  }
  map ingress4 {
    type ipv4_addr : verdict
    elements = { 10.78.1.10 : jump ingress_1 }
  }
  map ingress6 {
    type ipv6_addr : verdict
    elements = { fd78:1::10 : jump ingress_1 }
  }
` + baseChains + "}\n"
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestAddressSetsAreSortedAndMerged(t *testing.T) {
	set := newAddressSet([]AddressRange{
		everyIPv6, prefixRange(netip.MustParsePrefix("255.255.255.0/24")), prefixRange(netip.MustParsePrefix("10.0.0.7/30")),
		single(netip.MustParseAddr("10.0.0.8")), prefixRange(netip.MustParsePrefix("10.0.0.5/32")),
	})
	want := "[{10.0.0.4 10.0.0.8} {255.255.255.0 255.255.255.255} {:: ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff}]"
	if got := fmt.Sprint(set); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	cut := set.without(everyIPv4).without(single(netip.MustParseAddr("::")))
	if got, want := fmt.Sprint(cut), "[{::1 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := set.without(everyIPv4).without(everyIPv6); len(got) > 0 {
		t.Errorf("left: %v", got)
	}
}

const manyNamespaces = 10

// manyPods spreads pods over namespaces that each let in and out their own pods only.
func manyPods(t testing.TB, pods int) State {
	var documents strings.Builder
	for i := range manyNamespaces {
		fmt.Fprintf(&documents, "---\nkind: Namespace\nmetadata: {name: ns%d}\n", i)
		documents.WriteString(policyYAML(fmt.Sprintf("ns%d", i),
			`{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}], egress: [{to: [{podSelector: {}}]}]}`))
	}
	for i := range pods {
		// Spread so that the addresses of one namespace are no range.
		fmt.Fprintf(&documents, "---\nkind: Pod\nmetadata: {namespace: ns%d, name: pod%d}\nspec: {nodeName: node1, containers: []}\n"+
			"status: {phase: Running, podIP: 10.78.1.%d}\n", i%manyNamespaces, i, i+10)
	}
	return stateOf(t, documents.String())
}

func BenchmarkTwoHundredPods(b *testing.B) {
	state := manyPods(b, 200)
	for b.Loop() {
		_ = Compile(state).Render()
	}
}
