package networkpolicy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// The cases below are judged twice: on the ruleset in TestCasesInTheModel, and by the kernel with real connections in
// TestCasesOnTheWire. Each probe reads "from > to protocol port", with "ipv4" or "ipv6" behind it if not both are meant.

// addresses of everything that takes part. "far" is a pod on another node, "outside" two hosts that are no pods.
var addresses = map[string][2]string{
	"web":      {"10.78.1.10", "fd78:1::10"},
	"api":      {"10.78.1.11", "fd78:1::11"},
	"vault":    {"10.78.1.12", "fd78:1::12"},
	"client":   {"10.78.1.13", "fd78:1::13"},
	"far":      {"10.78.2.10", "fd78:2::10"},
	"node":     {"192.0.2.1", "2001:db8::1"},
	"outside":  {"192.0.2.10", "2001:db8::10"},
	"outside2": {"192.0.2.11", "2001:db8::11"},
}

const clusterYAML = `
kind: Namespace
metadata: {name: shop, labels: {team: shop}}
---
kind: Namespace
metadata: {name: bank, labels: {team: bank}}
---
kind: Pod
metadata: {namespace: shop, name: web, labels: {app: web}}
spec:
  nodeName: node1
  initContainers:
  - {name: setup, ports: [{name: setup, containerPort: 7070}]}
  - {name: sidecar, restartPolicy: Always, ports: [{name: metrics, containerPort: 9090, protocol: TCP}]}
  containers:
  - {name: web, ports: [{name: http, containerPort: 8080, protocol: TCP}, {containerPort: 9090}]}
---
kind: Pod
metadata: {namespace: shop, name: api, labels: {app: api, tier: back}}
spec: {nodeName: node1, containers: [{name: api, ports: [{name: http, containerPort: 8081}]}]}
---
kind: Pod
metadata: {namespace: bank, name: vault, labels: {app: vault}}
spec: {nodeName: node1, containers: [{name: vault, ports: [{name: http, containerPort: 8080}]}]}
---
kind: Pod
metadata: {namespace: bank, name: client, labels: {app: client}}
spec: {nodeName: node1, containers: [{name: client}]}
---
kind: Pod # has ended, and client has its address now
metadata: {namespace: bank, name: done, labels: {app: done}, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {nodeName: node1, containers: [{name: done}]}
status: {phase: Succeeded, podIPs: [{ip: 10.78.1.13}, {ip: "fd78:1::13"}]}
---
kind: Pod # has ended, and vault has its address now
metadata: {namespace: bank, name: broken, labels: {app: done}, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {nodeName: node1, containers: [{name: broken}]}
status: {phase: Failed, podIPs: [{ip: 10.78.1.12}, {ip: "fd78:1::12"}]}
---
kind: Pod # has the addresses of its node
metadata: {namespace: shop, name: host, labels: {app: host}}
spec: {nodeName: node1, hostNetwork: true, containers: [{name: host}]}
status: {phase: Running, podIPs: [{ip: 192.0.2.1}, {ip: "2001:db8::1"}]}
---
kind: Pod
metadata: {namespace: shop, name: far, labels: {app: far}}
spec: {nodeName: node2, containers: [{name: far}]}
`

type testCase struct {
	name     string
	policies string
	allowed  []string
	refused  []string
}

var cases = []testCase{
	{
		name: "without policies everything is open",
		allowed: []string{"client > web tcp 8080", "client > web sctp 8080", "outside > web udp 5353",
			"web > outside tcp 8080", "web > node tcp 8080", "node > web tcp 8080"},
	}, {
		name:     "an ingress policy without rules closes its pods, and only them and only ingress",
		policies: policyYAML("shop", `podSelector: {}`),
		allowed: []string{"node > web tcp 8080", "web > vault tcp 8080", "web > node tcp 8080", "client > vault udp 5353",
			"api > outside tcp 8080"},
		refused: []string{"client > web tcp 8080", "api > web tcp 8080", "web > api udp 5353", "outside > web tcp 8080",
			"outside > api sctp 8080", "far > web tcp 8080"},
	}, {
		name:     "an empty list of rules closes as well",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [], egress: []}`),
		allowed:  []string{"node > web tcp 8080"},
		refused:  []string{"client > web tcp 8080", "web > outside udp 5353", "web > node tcp 8080", "web > node udp 5353"},
	}, {
		name:     "an empty rule opens everything",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{}], egress: [{}]}`),
		allowed: []string{"client > web tcp 8080", "outside > web udp 5353", "outside > web sctp 7070",
			"web > vault tcp 8080", "web > node tcp 8080"},
	}, {
		name:     "a rule with empty lists is an empty rule",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [], ports: []}]}`),
		allowed:  []string{"client > web tcp 8080", "outside > web sctp 7070"},
	}, {
		name:     "a policy selects pods by label",
		policies: policyYAML("shop", `podSelector: {matchLabels: {app: web}}`),
		allowed:  []string{"client > api tcp 8080"},
		refused:  []string{"client > web tcp 8080"},
	}, {
		name:     "without policyTypes, egress rules make a policy govern both directions",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]}`),
		allowed:  []string{"web > api tcp 8080"},
		refused:  []string{"web > vault tcp 8080", "client > web tcp 8080"},
	}, {
		name:     "without policyTypes and egress rules, egress stays open",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}`),
		allowed:  []string{"web > vault tcp 8080", "web > outside tcp 8080", "api > web tcp 8080"},
		refused:  []string{"client > web tcp 8080"},
	}, {
		name:     "policyTypes Egress leaves ingress open, with the answers",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Egress]}`),
		allowed:  []string{"client > web tcp 8080", "client > web udp 5353", "node > web tcp 8080"},
		refused:  []string{"web > api tcp 8080", "web > outside udp 5353", "web > node tcp 8080", "web > vault sctp 8080"},
	}, {
		name:     "policyTypes Ingress leaves egress open, whatever the egress section says",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress], egress: [{to: [{podSelector: {}}]}]}`),
		allowed:  []string{"web > vault tcp 8080"},
		refused:  []string{"client > web tcp 8080"},
	}, {
		name: "a podSelector alone means pods of the policy's namespace",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}},
			ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [api, client]}]}}]}]}`),
		allowed: []string{"api > web tcp 8080"},
		refused: []string{"client > web tcp 8080", "far > web tcp 8080", "outside > web tcp 8080"},
	}, {
		name:     "an empty podSelector means all pods of the policy's namespace",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`),
		allowed:  []string{"api > web tcp 8080", "far > web tcp 8080"},
		refused:  []string{"client > web tcp 8080", "outside > web tcp 8080"},
	}, {
		name:     "a namespaceSelector alone means all pods there",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: bank}}}]}]}`),
		allowed:  []string{"client > web tcp 8080", "vault > web tcp 8080"},
		refused:  []string{"api > web tcp 8080", "far > web tcp 8080", "outside > web tcp 8080"},
	}, {
		name:     "an empty namespaceSelector means all pods, and nobody else",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}`),
		allowed:  []string{"client > web tcp 8080", "api > web tcp 8080", "far > web tcp 8080"},
		refused:  []string{"outside > web tcp 8080"},
	}, {
		name: "both selectors in one peer must match",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [
			{namespaceSelector: {matchLabels: {team: bank}}, podSelector: {matchLabels: {app: client}}}]}]}`),
		allowed: []string{"client > web tcp 8080"},
		refused: []string{"vault > web tcp 8080", "api > web tcp 8080"},
	}, {
		name: "one of two peers must match",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [
			{namespaceSelector: {matchLabels: {team: bank}}}, {podSelector: {matchLabels: {app: api}}}]}]}`),
		allowed: []string{"client > web tcp 8080", "vault > web tcp 8080", "api > web tcp 8080"},
		refused: []string{"far > web tcp 8080", "outside > web tcp 8080"},
	}, {
		name: "expressions select by absence too",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [
			{podSelector: {matchExpressions: [{key: tier, operator: DoesNotExist}, {key: app, operator: NotIn, values: [web]}]}}]}]}`),
		allowed: []string{"far > api tcp 8080"},
		refused: []string{"api > web tcp 8080", "web > api tcp 8080", "client > web tcp 8080"},
	}, {
		name:     "peers that match nobody are not the same as no peers",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: nobody}}}]}]}`),
		refused:  []string{"api > web tcp 8080", "outside > web tcp 8080"},
	}, {
		name: "an ipBlock matches addresses but those excepted",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [
			{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.11/32, 192.0.2.128/25]}},
			{ipBlock: {cidr: "2001:db8::/64", except: ["2001:db8::11/128"]}}]}]}`),
		allowed: []string{"outside > web tcp 8080", "outside > web udp 5353"},
		refused: []string{"outside2 > web tcp 8080", "outside2 > web udp 5353", "client > web tcp 8080"},
	}, {
		name: "an exception holds only in its own block",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [
			{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.0/28]}}, {ipBlock: {cidr: 192.0.2.11/32}}]}]}`),
		allowed: []string{"outside2 > web tcp 8080 ipv4"},
		refused: []string{"outside > web tcp 8080", "outside2 > web tcp 8080 ipv6"},
	}, {
		name:     "an ipBlock of one family says nothing about the other",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}], egress: [{to: [{ipBlock: {cidr: "::/0"}}]}]}`),
		allowed:  []string{"client > web tcp 8080 ipv4", "outside > web udp 5353 ipv4", "web > outside tcp 8080 ipv6"},
		refused:  []string{"client > web tcp 8080 ipv6", "outside > web udp 5353 ipv6", "web > outside tcp 8080 ipv4"},
	}, {
		name: "everything but private addresses is the usual way to the internet",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Egress], egress: [{to: [
			{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 192.0.2.1/32]}},
			{ipBlock: {cidr: "::/0", except: ["fd00::/8", "2001:db8::1/128"]}}]}]}`),
		allowed: []string{"web > outside tcp 8080", "web > outside2 udp 5353"},
		refused: []string{"web > client tcp 8080", "web > far tcp 8080", "web > node tcp 8080"},
	}, {
		name:     "an ipBlock matches pods as well",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.78.1.13/32}}]}]}`),
		allowed:  []string{"client > web tcp 8080 ipv4"},
		refused:  []string{"client > web tcp 8080 ipv6", "vault > web tcp 8080"},
	}, {
		name:     "overlapping and adjacent blocks are one",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.0/29}}, {ipBlock: {cidr: 192.0.2.8/29}}, {ipBlock: {cidr: 192.0.2.10/31}}, {ipBlock: {cidr: 10.78.1.13/32}}]}]}`),
		allowed:  []string{"outside > web tcp 8080 ipv4", "outside2 > web tcp 8080 ipv4", "client > web tcp 8080 ipv4"},
		refused:  []string{"vault > web tcp 8080", "outside > web tcp 8080 ipv6"},
	}, {
		name: "a block that cannot be read matches nobody",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [
			{ipBlock: {cidr: nonsense}}, {ipBlock: {cidr: 0.0.0.0/0, except: [nonsense]}}]}]}`),
		refused: []string{"client > web tcp 8080", "outside > web tcp 8080"},
	}, {
		name:     "ports hold for their own protocol, which is TCP if none is given",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: 8080}, {port: 5353, protocol: UDP}]}]}`),
		allowed:  []string{"client > web tcp 8080", "outside > web udp 5353"},
		refused:  []string{"client > web udp 8080", "client > web tcp 5353", "client > web tcp 8081", "client > web sctp 8080"},
	}, {
		name:     "SCTP has ports of its own",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: 8080, protocol: SCTP}]}]}`),
		allowed:  []string{"client > web sctp 8080"},
		refused:  []string{"client > web sctp 8081", "client > web tcp 8080", "client > web udp 8080"},
	}, {
		name:     "a port without a number is its whole protocol",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{protocol: UDP}, {protocol: UDP, port: 8080}]}]}`),
		allowed:  []string{"client > web udp 8080", "client > web udp 5353"},
		refused:  []string{"client > web tcp 8080", "client > web sctp 8080"},
	}, {
		name:     "a port without anything is all of TCP",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{}]}]}`),
		allowed:  []string{"client > web tcp 8080", "client > web tcp 5353"},
		refused:  []string{"client > web udp 8080"},
	}, {
		name:     "endPort makes a range with both ends",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: 7071, endPort: 8080}]}]}`),
		allowed:  []string{"client > web tcp 8080"},
		refused:  []string{"client > web tcp 7070", "client > web tcp 8081", "client > web udp 8080"},
	}, {
		name:     "overlapping ranges of ports are one",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: 8080}, {port: 7070, endPort: 8081}, {port: 8083, endPort: 9089}]}]}`),
		allowed:  []string{"client > web tcp 7070", "client > web tcp 8080", "client > web tcp 8081"},
		refused:  []string{"client > web tcp 5353", "client > web tcp 9090"},
	}, {
		name:     "peers and ports of a rule must both match",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}]}]}`),
		allowed:  []string{"api > web tcp 8080"},
		refused:  []string{"api > web tcp 8081", "client > web tcp 8080"},
	}, {
		name: "rules of a policy add up, each with its own peers and ports",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, ingress: [
			{from: [{podSelector: {matchLabels: {app: api}}}]},
			{from: [{namespaceSelector: {matchLabels: {team: bank}}}], ports: [{port: 8080}]}]}`),
		allowed: []string{"api > web tcp 8081", "api > web udp 5353", "client > web tcp 8080"},
		refused: []string{"client > web tcp 8081", "client > web udp 5353", "far > web tcp 8080"},
	}, {
		name: "policies add up",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress, Egress]}`,
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: far}}}]}]}`,
			`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: {cidr: 192.0.2.10/32}}, {ipBlock: {cidr: "2001:db8::10/128"}}]}]}`,
			`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}, podSelector: {matchLabels: {app: vault}}}]}]}`),
		allowed: []string{"far > web tcp 8080", "outside > web tcp 8080", "web > vault tcp 8080"},
		refused: []string{"outside2 > web tcp 8080", "client > web tcp 8080", "web > client tcp 8080", "outside > api tcp 8080", "api > vault tcp 8080"},
	}, {
		name: "a connection needs the egress of its source and the ingress of its destination",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}]}]}`) +
			policyYAML("bank", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {matchLabels: {team: shop}}}], ports: [{port: 8080}]}]}`,
				`{podSelector: {matchLabels: {app: vault}}}`),
		allowed: []string{"client > web tcp 8080", "vault > web tcp 8081", "client > api tcp 8080"},
		refused: []string{"client > web tcp 8081", "client > vault tcp 8080", "web > vault tcp 8080", "outside > web tcp 8080"},
	}, {
		name:     "a named port of an ingress rule is looked up on each selected pod",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: http}]}]}`),
		allowed:  []string{"client > web tcp 8080", "client > api tcp 8081"},
		refused:  []string{"client > web tcp 8081", "client > api tcp 8080", "client > web udp 8080"},
	}, {
		name:     "sidecars have named ports, init containers that end do not",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: metrics}, {port: setup}]}]}`),
		allowed:  []string{"client > web tcp 9090"},
		refused:  []string{"client > web tcp 7070", "client > api tcp 9090", "client > web tcp 8080"},
	}, {
		name:     "a named port must have the protocol of the rule",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{ports: [{port: http, protocol: UDP}]}]}`),
		refused:  []string{"client > web udp 8080", "client > web tcp 8080"},
	}, {
		name:     "a named port that no pod has opens nothing",
		policies: policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress, Egress], ingress: [{ports: [{port: nosuch}]}], egress: [{ports: [{port: nosuch}]}]}`),
		refused:  []string{"client > web tcp 8080", "web > vault tcp 8080"},
	}, {
		name: "a named port of an egress rule is looked up on each destination",
		policies: policyYAML("bank", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress],
			egress: [{to: [{namespaceSelector: {matchLabels: {team: shop}}}], ports: [{port: http}, {port: 5353, protocol: UDP}]}]}`),
		allowed: []string{"client > web tcp 8080", "client > api tcp 8081", "client > api udp 5353"},
		refused: []string{"client > web tcp 8081", "client > api tcp 8080", "client > vault tcp 8080", "client > web udp 8080"},
	}, {
		name:     "a named port of an egress rule to everyone means every pod that has it, and nobody else",
		policies: policyYAML("bank", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{ports: [{port: http}]}]}`),
		allowed:  []string{"client > web tcp 8080", "client > api tcp 8081", "client > vault tcp 8080"},
		refused:  []string{"client > api tcp 8080", "client > outside tcp 8080", "client > node tcp 8080"},
	}, {
		name:     "a named port of an egress rule to a block means the pods in it",
		policies: policyYAML("bank", `{podSelector: {matchLabels: {app: client}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.78.1.10/32}}], ports: [{port: http}]}]}`),
		allowed:  []string{"client > web tcp 8080 ipv4"},
		refused:  []string{"client > web tcp 8080 ipv6", "client > web tcp 8081", "client > api tcp 8081"},
	}, {
		name: "egress rules choose by pod, namespace and port",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
			{to: [{podSelector: {matchLabels: {app: far}}}]},
			{to: [{namespaceSelector: {matchLabels: {team: bank}}, podSelector: {matchLabels: {app: vault}}}], ports: [{port: 5353, protocol: UDP}]}]}`),
		allowed: []string{"web > far tcp 8080", "web > vault udp 5353", "api > client tcp 8080"},
		refused: []string{"web > vault tcp 5353", "web > client udp 5353", "web > api tcp 8080", "web > outside tcp 8080"},
	}, {
		name:     "a pod in the host network is no peer: its node is an address",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: host}}}]}]}`),
		refused:  []string{"web > node tcp 8080", "web > node udp 5353"},
	}, {
		name: "an ipBlock opens the way to the own node",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [
			{ipBlock: {cidr: 192.0.2.1/32}}, {ipBlock: {cidr: "2001:db8::1/128"}}], ports: [{port: 8080}]}]}`),
		allowed: []string{"web > node tcp 8080"},
		refused: []string{"web > node tcp 8081", "web > node udp 5353", "web > outside tcp 8080"},
	}, {
		name:     "a pod in the host network is not selected",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: host}}, policyTypes: [Ingress, Egress]}`),
		allowed:  []string{"web > node tcp 8080", "outside > node tcp 8080", "node > outside tcp 8080", "node > web tcp 8080"},
	}, {
		name:     "a pod that has ended is no peer, though its address lives on",
		policies: policyYAML("shop", `{podSelector: {}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: done}}}]}]}`),
		refused:  []string{"client > web tcp 8080", "vault > web tcp 8080"},
	}, {
		name:     "a pod that has ended is not selected, though its address lives on",
		policies: policyYAML("bank", `{podSelector: {matchLabels: {app: done}}, policyTypes: [Ingress, Egress]}`),
		allowed:  []string{"client > vault tcp 8080", "web > client tcp 8080", "vault > web tcp 8080"},
	}, {
		name:     "a pod of another node is a peer here and closed there",
		policies: policyYAML("shop", `{podSelector: {matchLabels: {app: far}}}`, `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: far}}}]}]}`),
		allowed:  []string{"client > far tcp 8080", "far > web tcp 8080"},
		refused:  []string{"client > web tcp 8080"},
	},
}

// policyYAML writes one policy per spec.
func policyYAML(namespace string, specs ...string) string {
	var text strings.Builder
	for i, spec := range specs {
		if !strings.HasPrefix(spec, "{") {
			spec = "{" + spec + "}"
		}
		fmt.Fprintf(&text, "---\nkind: NetworkPolicy\nmetadata: {namespace: %s, name: policy-%d}\nspec: %s\n",
			namespace, i, strings.ReplaceAll(spec, "\t", " "))
	}
	return text.String()
}

// stateOf reads documents and gives the pods that are named in addresses theirs.
func stateOf(t testing.TB, documents string) State {
	t.Helper()
	state := State{Node: "node1"}
	for document := range strings.SplitSeq(documents, "---\n") {
		read := func(object any) {
			if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
				t.Fatalf("%v in\n%s", err, document)
			}
		}
		switch {
		case strings.Contains(document, "kind: Namespace"):
			object := &corev1.Namespace{}
			read(object)
			state.Namespaces = append(state.Namespaces, object)
		case strings.Contains(document, "kind: Pod"):
			object := &corev1.Pod{}
			read(object)
			if ips, found := addresses[object.Name]; found {
				object.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ips[0], PodIPs: []corev1.PodIP{{IP: ips[0]}, {IP: ips[1]}}}
			}
			state.Pods = append(state.Pods, object)
		case strings.Contains(document, "kind: NetworkPolicy"):
			object := &networkingv1.NetworkPolicy{}
			read(object)
			state.Policies = append(state.Policies, object)
		}
	}
	return state
}

type probe struct {
	from, to string // names
	source   netip.Addr
	target   netip.Addr
	protocol string
	port     uint16
}

func (p probe) String() string {
	return fmt.Sprintf("%s > %s %s %d (%s > %s)", p.from, p.to, p.protocol, p.port, p.source, p.target)
}

func probesOf(t testing.TB, texts []string) []probe {
	t.Helper()
	var probes []probe
	for _, text := range texts {
		words := strings.Fields(text)
		if len(words) < 5 || len(words) > 6 || words[1] != ">" {
			t.Fatalf("probe %q", text)
		}
		port, err := strconv.ParseUint(words[4], 10, 16)
		if err != nil {
			t.Fatalf("probe %q: %v", text, err)
		}
		for family, name := range []string{"ipv4", "ipv6"} {
			if len(words) == 6 && words[5] != name {
				continue
			}
			probes = append(probes, probe{
				from: words[0], to: words[2], protocol: words[3], port: uint16(port),
				source: netip.MustParseAddr(addresses[words[0]][family]), target: netip.MustParseAddr(addresses[words[2]][family]),
			})
		}
	}
	return probes
}
