package networkpolicy

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How long a client may wait for its refusal. An ICMP error for the first packet of a TCP connection comes back while
// the caller's own send still holds the socket, since both ends of a veth pair are one kernel; IPv6 drops it then, and
// only that for the retransmission, a second later, counts. A packet that is dropped would take the whole patience.
const (
	refusedWithin    = 900 * time.Millisecond
	refusedWithinTCP = 2500 * time.Millisecond
)

func TestCasesOnTheWire(t *testing.T) {
	pool := make(chan *wire, 4) // most of the time is spent waiting for retransmissions
	for range cap(pool) {
		pool <- newWire(t)
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := <-pool
			defer func() { pool <- w }()
			w.apply(t, Compile(stateOf(t, clusterYAML+c.policies)))
			var probes sync.WaitGroup
			for _, p := range probesOf(t, c.allowed) {
				probes.Go(func() { w.mustReach(t, p) })
			}
			for _, p := range probesOf(t, c.refused) {
				probes.Go(func() { w.mustRefuse(t, p) })
			}
			probes.Wait()
		})
	}
}

// A Service address is rewritten to that of a pod before the rules see it, as kube-proxy does it.
const services = `
table ip services
delete table ip services
table ip services {
  chain nat {
    type nat hook prerouting priority dstnat
    ip daddr 10.79.0.1 tcp dport 80 dnat to 10.78.1.10:8080
    ip daddr 10.79.0.2 tcp dport 80 dnat to 192.0.2.1:8080
  }
  chain hairpin {
    type nat hook postrouting priority srcnat
    ip saddr 10.78.1.10 ip daddr 10.78.1.10 masquerade
  }
}
`

func TestAServiceIsJudgedByThePodBehindIt(t *testing.T) {
	w := newWire(t)
	w.nft(t, services)
	to := func(from, service string) probe {
		return probe{from: from, to: service, source: netip.MustParseAddr(addresses[from][0]),
			target: netip.MustParseAddr(service), protocol: "tcp", port: 80}
	}
	w.expect(t, to("client", "10.79.0.1"), "web 8080")
	w.expect(t, to("client", "10.79.0.2"), "node 8080")

	w.apply(t, Compile(stateOf(t, clusterYAML+policyYAML("shop", `{podSelector: {}, ingress: [{from: [{podSelector: {}}], ports: [{port: 8080}]}]}`)+
		policyYAML("bank", `{podSelector: {matchLabels: {app: vault}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.79.0.0/16}}]}]}`))))
	w.expect(t, to("api", "10.79.0.1"), "web 8080")
	w.mustRefuse(t, to("client", "10.79.0.1"))
	w.expect(t, to("client", "10.79.0.2"), "node 8080")
	w.mustRefuse(t, to("vault", "10.79.0.1")) // its egress names the Service, which is nobody
	w.mustRefuse(t, to("vault", "10.79.0.2"))
}

func TestAPodReachesItselfThroughAService(t *testing.T) {
	w := newWire(t)
	w.nft(t, services)
	w.apply(t, Compile(stateOf(t, clusterYAML+policyYAML("shop", `{podSelector: {}, policyTypes: [Ingress, Egress]}`))))
	service := netip.MustParseAddr("10.79.0.1")
	source := netip.MustParseAddr(addresses["web"][0])
	w.expect(t, probe{from: "web", to: "itself", source: source, target: service, protocol: "tcp", port: 80}, "web 8080")
	w.mustRefuse(t, probesOf(t, []string{"web > api tcp 8080 ipv4"})[0])
}

func TestRefusalsAreCountedAndOtherTablesAreLeftAlone(t *testing.T) {
	w := newWire(t)
	w.nft(t, services)
	w.apply(t, Compile(stateOf(t, clusterYAML+policyYAML("shop", `podSelector: {}`))))
	w.mustRefuse(t, probesOf(t, []string{"client > web tcp 8080 ipv4"})[0])
	listing := w.nft(t, "list ruleset\n")
	counted := regexp.MustCompile(`counter packets (\d+) bytes \d+ reject with icmpx admin-prohibited comment "shop/policy-0"`).FindStringSubmatch(listing)
	if counted == nil || counted[1] == "0" {
		t.Errorf("no count of the refusal in\n%s", listing)
	}
	if !strings.Contains(listing, "table ip services") {
		t.Error("another table is gone")
	}
	w.apply(t, Ruleset{})
	if listing := w.nft(t, "list ruleset\n"); strings.Contains(listing, "reject") {
		t.Errorf("an empty ruleset left rules behind:\n%s", listing)
	}
}

func TestTwoHundredPodsAreAppliedAtOnce(t *testing.T) {
	w := newWire(t)
	started := time.Now()
	w.apply(t, Compile(manyPods(t, 200)))
	t.Logf("compiled and applied in %s", time.Since(started))
	if jumps := strings.Count(w.nft(t, "list ruleset\n"), " : jump "); jumps != 400 {
		t.Errorf("%d entries for 200 pods with two directions each", jumps)
	}
}

// wire is one node in a network namespace that routes between those of its pods and an outside one, with a process of
// this test program in each, which serves and probes.
type wire struct {
	program string
	// script runs program in the node's namespace. It is written before any test runs in parallel: a process that is
	// forked meanwhile would hold it open for writing, and then it cannot be run.
	script string
	prefix string
	agents map[string]*agent
	// sourcePort is never used twice: connection tracking would take an old flow for an established one.
	sourcePort atomic.Uint32
	// raw is held by SCTP probes: a raw socket gets the ICMP errors of every other one with the same addresses.
	raw sync.Mutex
}

var (
	wirePods = []string{"web", "api", "vault", "client"}
	wires    int
)

func newWire(t *testing.T) *wire {
	t.Helper()
	program, err := exec.LookPath(cmp.Or(os.Getenv("LAB_NFT"), "nft"))
	if err != nil {
		t.Skipf("SKIPPED, nothing was tested on the wire: no nft program (set LAB_NFT to its path): %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED, nothing was tested on the wire: network namespaces need root")
	}
	wires++
	w := &wire{program: program, prefix: fmt.Sprintf("wnp-%d-%d-", os.Getpid(), wires), agents: map[string]*agent{}}
	w.sourcePort.Store(20000) // below the ports that the kernel hands out
	w.script = t.TempDir() + "/nft"
	script := fmt.Sprintf("#!/bin/sh\nexec nsenter %s \"$@\"\n", strings.Join(w.inNode(w.program), " "))
	if err := os.WriteFile(w.script, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	w.namespace(t, "node")
	w.namespace(t, "outside")
	// A far pod lives behind the outside host, which stands for its node.
	var node, outside strings.Builder
	for family, bits := range []string{"24", "64"} {
		fmt.Fprintf(&outside, "ip addr add %s/%s dev eth0\nip addr add %s/%s dev eth0\nip addr add %s dev eth0\n",
			addresses["outside"][family], bits, addresses["outside2"][family], bits, addresses["far"][family])
		fmt.Fprintf(&node, "ip addr add %s/%s dev outside\n", addresses["node"][family], bits)
	}
	w.link(t, "outside")
	w.run(t, "outside", outside.String()+up("eth0"))
	w.run(t, "node", node.String()+up("outside"))
	for family := range 2 {
		w.run(t, "node", fmt.Sprintf("ip route add %s via %s\n", addresses["far"][family], addresses["outside"][family]))
		w.run(t, "outside", fmt.Sprintf("ip route add default via %s\n", addresses["node"][family]))
	}
	for _, name := range wirePods {
		w.pod(t, name)
	}
	for _, name := range append(wirePods, "node", "outside") {
		w.agents[name] = startAgent(t, w.prefix+name, w.listenOn(name))
	}
	w.agents["outside2"], w.agents["far"] = w.agents["outside"], w.agents["outside"]
	return w
}

// listenOn pairs the addresses of a namespace with the name that a server there answers with.
func (w *wire) listenOn(namespace string) map[string]string {
	names := []string{namespace}
	if namespace == "outside" {
		names = append(names, "outside2", "far")
	}
	listen := map[string]string{}
	for _, name := range names {
		for _, address := range addresses[name] {
			listen[address] = name
		}
	}
	return listen
}

// pod is wired as the CNI plugin ptp does it: a route to its address on the node, and everything else through the node.
func (w *wire) pod(t *testing.T, name string) {
	t.Helper()
	w.namespace(t, name)
	w.link(t, name)
	var pod, node strings.Builder
	for family, gateway := range []string{"10.78.1.1", "fd78:1::1"} {
		fmt.Fprintf(&pod, "ip addr add %s dev eth0\n", addresses[name][family])
		fmt.Fprintf(&node, "ip addr add %s dev %s\n", gateway, name)
	}
	w.run(t, name, pod.String()+up("eth0"))
	w.run(t, "node", node.String()+up(name))
	for family, gateway := range []string{"10.78.1.1", "fd78:1::1"} {
		w.run(t, name, fmt.Sprintf("ip route add %s dev eth0\nip route add default via %s\n", gateway, gateway))
		w.run(t, "node", fmt.Sprintf("ip route add %s dev %s\n", addresses[name][family], name))
	}
}

func up(device string) string { return "ip link set " + device + " up\n" }

func (w *wire) namespace(t *testing.T, name string) {
	t.Helper()
	full := w.prefix + name
	command(t, "", "ip", "netns", "add", full)
	t.Cleanup(func() { command(t, "", "ip", "netns", "delete", full) })
	w.run(t, name, up("lo")+`
for scope in all default; do
  echo 0 > /proc/sys/net/ipv4/conf/$scope/rp_filter
  echo 0 > /proc/sys/net/ipv6/conf/$scope/accept_dad # an address is of use at once
done
echo 1 > /proc/sys/net/ipv4/ip_forward
echo 1 > /proc/sys/net/ipv6/conf/all/forwarding
echo 0 > /proc/sys/net/ipv4/icmp_ratelimit
echo 0 > /proc/sys/net/ipv6/icmp/ratelimit
`)
}

// link joins eth0 of a namespace with a device of the node that has the name of the namespace.
func (w *wire) link(t *testing.T, name string) {
	t.Helper()
	command(t, "", "ip", "link", "add", "eth0", "netns", w.prefix+name, "type", "veth", "peer", "name", name, "netns", w.prefix+"node")
}

func (w *wire) run(t *testing.T, namespace, script string) {
	t.Helper()
	command(t, "set -e\n"+script, "nsenter", "--net=/run/netns/"+w.prefix+namespace, "sh")
}

func command(t *testing.T, input, name string, arguments ...string) {
	t.Helper()
	c := exec.Command(name, arguments...)
	c.Stdin = strings.NewReader(input)
	if output, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(arguments, " "), err, input, output)
	}
}

func (w *wire) inNode(arguments ...string) []string {
	return append([]string{"--net=/run/netns/" + w.prefix + "node", "--"}, arguments...)
}

// apply goes the way of the program, in the namespace of the node.
func (w *wire) apply(t *testing.T, ruleset Ruleset) {
	t.Helper()
	text := ruleset.Render()
	if err := NftApply(w.script)(context.Background(), text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
}

func (w *wire) nft(t *testing.T, text string) string {
	t.Helper()
	c := exec.Command("nsenter", w.inNode(w.program, "-f", "-")...)
	c.Stdin = strings.NewReader(text)
	output, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
	return string(output)
}

func (w *wire) probe(p probe) answer {
	q := question{
		Protocol: p.protocol, Source: p.source, FromPort: uint16(w.sourcePort.Add(1)), Target: p.target, Port: p.port,
	}
	if p.protocol == "sctp" {
		w.raw.Lock()
		defer w.raw.Unlock()
	}
	result := w.agents[p.from].ask(q)
	if p.protocol == "sctp" && result.Error == "" {
		// Nobody answers, so the target is asked what arrived.
		q.Protocol = "sctp-arrived"
		return w.agents[p.to].ask(q)
	}
	return result
}

func (w *wire) mustReach(t *testing.T, p probe) {
	t.Helper()
	w.expect(t, p, p.to+" "+strconv.Itoa(int(p.port)))
}

func (w *wire) expect(t *testing.T, p probe, text string) {
	t.Helper()
	if a := w.probe(p); a.Text != text {
		t.Errorf("%s: want the answer %q, got %+v", p, text, a)
	}
}

func (w *wire) mustRefuse(t *testing.T, p probe) {
	t.Helper()
	limit := refusedWithin
	if p.protocol == "tcp" {
		limit = refusedWithinTCP
	}
	if a := w.probe(p); !a.Prohibited || a.Took > limit {
		t.Errorf("%s: want a refusal at once, got %+v", p, a)
	}
}
