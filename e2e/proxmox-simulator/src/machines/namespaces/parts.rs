//! The configuration of a machine's parts.

use std::path::Path;

use serde_json::{Value, json};

use super::agent::Agent;
use super::inside::Order;

/// Where containerd of a machine listens.
pub(crate) const CONTAINERD: &str = "/run/containerd/containerd.sock";
/// Where the pod network of a machine is described.
pub(crate) const POD_NETWORK: &str = "/etc/cni/net.d";
/// The resolvers of pods that use the machine's own.
pub(crate) const RESOLVERS: &str = "/etc/resolv.conf";

/// Every pod has a routed link of its own, so that the packet filter sees what pods of one machine say to each other.
pub(crate) fn pod_network(pods: &str) -> Value {
    json!({
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [{
            "type": "ptp",
            "mtu": 1500,
            "ipMasq": false,
            "ipam": {
                "type": "host-local",
                "dataDir": "/var/lib/cni/networks",
                "ranges": [[{"subnet": pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
}

/// containerd's configuration. Texts are quoted as JSON, which TOML reads.
pub(crate) fn containerd(order: &Order) -> String {
    let quoted = |path: &Path| Value::from(path.display().to_string()).to_string();
    let disk = order.settings.disk(order.hardware.vm);
    let disabled = [
        "io.containerd.snapshotter.v1.devmapper",
        "io.containerd.snapshotter.v1.btrfs",
        "io.containerd.snapshotter.v1.zfs",
        "io.containerd.snapshotter.v1.blockfile",
        "io.containerd.snapshotter.v1.erofs",
        "io.containerd.nri.v1.nri",
        "io.containerd.tracing.processor.v1.otlp",
        "io.containerd.internal.v1.tracing",
    ];
    let images = "plugins.\"io.containerd.cri.v1.images\"";
    let runtime = "plugins.\"io.containerd.cri.v1.runtime\"";
    let lines = [
        "version = 3".to_owned(),
        format!("root = {}", quoted(&disk.join("containerd"))),
        "state = \"/run/containerd\"".into(),
        format!("disabled_plugins = {}", json!(disabled)),
        "[grpc]".into(),
        format!("address = \"{CONTAINERD}\""),
        "[ttrpc]".into(),
        format!("address = \"{CONTAINERD}.ttrpc\""),
        "[plugins.\"io.containerd.internal.v1.opt\"]".into(),
        format!("path = {}", quoted(&disk.join("opt"))),
        format!("[{images}]"),
        "snapshotter = \"overlayfs\"".into(),
        format!("[{images}.pinned_images]"),
        format!("sandbox = {}", json!(order.settings.pause_image)),
        format!("[{runtime}]"),
        // Not every root may lower the score that pods ask for.
        "restrict_oom_score_adj = true".into(),
        format!("[{runtime}.containerd]"),
        "default_runtime_name = \"runc\"".into(),
        format!("[{runtime}.containerd.runtimes.runc]"),
        "runtime_type = \"io.containerd.runc.v2\"".into(),
        format!("[{runtime}.containerd.runtimes.runc.options]"),
        format!("BinaryName = {}", quoted(&order.settings.programs.runc)),
        "SystemdCgroup = false".into(),
        "Root = \"/run/runc\"".into(),
        format!("[{runtime}.cni]"),
        format!("bin_dirs = [{}]", quoted(&order.settings.cni_plugins)),
        format!("conf_dir = \"{POD_NETWORK}\""),
    ];
    lines.join("\n") + "\n"
}

/// The kubelet's configuration; what K3s would set, and what machines on one kernel need.
pub(crate) fn kubelet(order: &Order, authority: &Path) -> Value {
    let settings = &order.settings;
    let disk = settings.disk(order.hardware.vm);
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": settings.pods_group(order.hardware.vm),
        "failCgroupV1": false,
        "failSwapOn": false,
        // Not every root may lower it.
        "oomScoreAdj": 0,
        "makeIPTablesUtilChains": false,
        "containerRuntimeEndpoint": format!("unix://{CONTAINERD}"),
        "clusterDNS": [settings.cluster_dns],
        "clusterDomain": settings.cluster_domain,
        "resolvConf": RESOLVERS,
        "podLogsDir": disk.join("pod-logs"),
        "volumePluginDir": disk.join("volume-plugins"),
        "maxPods": 110,
        "enforceNodeAllocatable": ["pods"],
        // All machines see the whole of this one; what is more than their own is reserved.
        "systemReserved": reserved(order),
        "serializeImagePulls": false,
        // Images cannot be pulled again.
        "imageGCHighThresholdPercent": 100,
        "rotateCertificates": true,
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": true},
            "x509": {"clientCAFile": authority},
        },
        "authorization": {"mode": "Webhook"},
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "200Mi",
            "imagefs.available": "200Mi",
            "nodefs.inodesFree": "1%",
        },
    })
}

/// What of this machine is not the simulated one's.
fn reserved(order: &Order) -> Value {
    let spare = |all: u64, own: u64| all.saturating_sub(own.max(1)).min(all.saturating_sub(1));
    let cores = spare(order.machine_cores, order.hardware.cores);
    let memory = spare(order.machine_memory_mib, order.hardware.memory_mib);
    json!({"cpu": cores.to_string(), "memory": format!("{memory}Mi")})
}

/// kube-proxy's configuration.
pub(crate) fn kube_proxy(order: &Order, agent: &Agent, kubeconfig: &Path) -> Value {
    let address = agent.address.clone().unwrap_or_else(|| "0.0.0.0".into());
    json!({
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "hostnameOverride": agent.name,
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": order.settings.cluster_pods,
        "bindAddress": address,
        "healthzBindAddress": format!("{address}:10256"),
        "metricsBindAddress": "127.0.0.1:10249",
        "oomScoreAdj": 0,
        // The limits of this machine stay as they are.
        "conntrack": {"maxPerCore": 0},
    })
}
