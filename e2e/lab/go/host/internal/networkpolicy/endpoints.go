package networkpolicy

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// endpoint is a pod that takes part in the cluster network now, with the addresses that are its own.
type endpoint struct {
	pod       *corev1.Pod
	addresses []netip.Addr
	ports     []namedPort
}

type namedPort struct {
	name     string
	protocol corev1.Protocol
	number   uint16
}

// endpoints leaves out pods in the host network, pods that have ended and pods without an address. The order is that of
// namespace and name, so that the same cluster always renders the same text.
func endpoints(pods []*corev1.Pod) []*endpoint {
	owners := map[netip.Addr]*corev1.Pod{}
	var all []*endpoint
	for _, pod := range pods {
		if pod.Spec.HostNetwork || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
			continue
		}
		addresses := podAddresses(pod)
		for _, address := range addresses {
			if owner := owners[address]; owner == nil || supersedes(pod, owner) {
				owners[address] = pod
			}
		}
		all = append(all, &endpoint{pod: pod, addresses: addresses, ports: namedPorts(pod)})
	}
	for _, e := range all {
		e.addresses = slices.DeleteFunc(e.addresses, func(a netip.Addr) bool { return owners[a] != e.pod })
	}
	all = slices.DeleteFunc(all, func(e *endpoint) bool { return len(e.addresses) == 0 })
	slices.SortFunc(all, func(a, b *endpoint) int {
		return cmp.Or(cmp.Compare(a.pod.Namespace, b.pod.Namespace), cmp.Compare(a.pod.Name, b.pod.Name))
	})
	return all
}

// supersedes decides between two pods that claim one address: the kubelet frees the address of a pod a moment before
// the API server learns that the pod is gone, and CNI may hand it out again at once.
func supersedes(pod, owner *corev1.Pod) bool {
	if leaving, other := pod.DeletionTimestamp != nil, owner.DeletionTimestamp != nil; leaving != other {
		return other
	}
	if !pod.CreationTimestamp.Equal(&owner.CreationTimestamp) {
		return owner.CreationTimestamp.Before(&pod.CreationTimestamp)
	}
	return pod.UID > owner.UID
}

func podAddresses(pod *corev1.Pod) []netip.Addr {
	texts := []string{pod.Status.PodIP}
	for _, ip := range pod.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	var addresses []netip.Addr
	for _, text := range texts {
		if address, err := netip.ParseAddr(text); err == nil && !slices.Contains(addresses, address.Unmap()) {
			addresses = append(addresses, address.Unmap())
		}
	}
	return addresses
}

// namedPorts lists the ports with a name of the containers that run beside each other: ordinary ones and sidecars,
// which are init containers that restart always.
func namedPorts(pod *corev1.Pod) []namedPort {
	containers := slices.Clone(pod.Spec.Containers)
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			containers = append(containers, c)
		}
	}
	var ports []namedPort
	for _, container := range containers {
		for _, port := range container.Ports {
			if port.Name != "" {
				protocol := cmp.Or(port.Protocol, corev1.ProtocolTCP)
				ports = append(ports, namedPort{port.Name, protocol, uint16(port.ContainerPort)})
			}
		}
	}
	return ports
}

func (e *endpoint) lookup(name string, protocol corev1.Protocol) []uint16 {
	var numbers []uint16
	for _, port := range e.ports {
		if port.name == name && port.protocol == protocol {
			numbers = append(numbers, port.number)
		}
	}
	return numbers
}
