// Package networkpolicy enforces the networking.k8s.io/v1 NetworkPolicy API on one node of the lab with nftables.
//
// The pure part is [Compile], which turns the objects of the cluster into a [Ruleset], and [Ruleset.Render], which
// writes that as text for "nft -f -". The thin part is [Enforcer]: it watches the cluster and applies the whole table,
// in one transaction, whenever the text changes.
//
// # What is judged where
//
// One node is one network namespace, and every pod of it hangs on its own routed veth pair (CNI plugin "ptp"), so also
// traffic between two pods of the node is forwarded. The forward hook judges, per packet that opens a connection, first
// the egress of a source on this node, then the ingress of a destination on this node; for a connection between two
// nodes each node judges its own half. Both come after kube-proxy's DNAT, so a Service address never matches: the pod
// behind it does. The input hook judges the egress of a pod towards its own node, where for instance the API server
// listens. There is nothing on the output hook: a node always reaches its own pods, or the kubelet could not probe them.
// A pod that reaches itself through a Service is let through.
//
// Refused packets are counted and answered with ICMP "administratively prohibited", so that a client sees a refusal
// (EHOSTUNREACH, for IPv6 EACCES) and no timeout. UDP, SCTP and non-blocking TCP connects over IPv4 see it at once.
// Blocking TCP connects, and all TCP connects over IPv6, see it after one second, with the first retransmission: on one
// kernel the answer comes back while the first packet is still being sent, and the locked socket drops it (counter
// LockDroppedIcmps in /proc/net/netstat). The kernel also limits such answers to one a second per peer, after a burst of
// six, unless net.ipv4.icmp_ratelimit and net.ipv6.icmp.ratelimit are 0 in the node's namespace.
//
// Connections that are already open stay open when a policy changes; the API leaves that to the implementation.
//
// # How long a new pod is uncovered
//
// Rules are keyed by the address of a pod, and the address is not known before the kubelet has reported it. The kubelet
// creates the sandbox (where CNI chooses the address), starts the containers in the same pass, and writes the address
// into the status of the pod when it next looks at its containers: once a second (genericPlegRelistPeriod in
// pkg/kubelet/kubelet.go). From there it takes a watch event, two milliseconds of coalescing and one run of nft, some
// ten or twenty milliseconds. So a pod may run for up to about a second, and longer on a busy machine, without its
// rules. What must not leak has to wait behind a gate of its own: prove first that an address that is forbidden is
// refused, then start. K3s behaves the same way.
//
// # Limits
//
//   - Rules trust source addresses. Where a pod may forge them (CAP_NET_RAW), set rp_filter=1 on the node.
//   - A source that was masqueraded on its way (an external client of a NodePort on another node) is seen as that node.
//   - A CIDR that cannot be read, also one with leading zeros, matches nothing.
//   - Pods in the host network are neither selected nor found by selectors; they are the node (ipBlock matches them).
package networkpolicy
