use super::{
    swap::{PROVISIONED_BY, SWAP},
    *,
};
use crate::{
    sample,
    syncer::{OBJECT_NAME, OBJECT_NAMESPACE},
};
use domain::Isolation;

fn cluster() -> ClusterName {
    ClusterName::from_random([7; 32])
}

fn claim(name: &str, volume: &str) -> Value {
    json!({
        "metadata": {
            "name": format!("{name}-x-apps-x-w"),
            "annotations": { OBJECT_NAME: name, OBJECT_NAMESPACE: "apps" },
        },
        "spec": { "volumeName": volume },
    })
}

fn affinity(node: &str) -> Value {
    json!({ "required": { "nodeSelectorTerms": [{
        "matchExpressions": [{ "key": "kubernetes.io/hostname", "operator": "In", "values": [node] }],
    }] } })
}

fn volume(name: &str, node: &str, path: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "uid": format!("{name}-uid"), "resourceVersion": "12",
            "finalizers": ["kubernetes.io/pv-protection"],
            "annotations": { PROVISIONED_BY: "example/local-path", "other": "x" },
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": { "storage": "1Gi" },
            "claimRef": { "namespace": "warren-w", "name": "data", "uid": "c-uid", "resourceVersion": "9" },
            "hostPath": { "path": path, "type": "Directory" },
            "nodeAffinity": affinity(node),
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": "local-path",
            "volumeMode": "Filesystem",
        },
        "status": { "phase": "Bound" },
    })
}

fn swap() -> Swap {
    let mut copy = volume("pvc-copy", "new", "/data/new/pvc-copy");
    copy["spec"]["claimRef"] = json!({ "namespace": "warren-copy-w", "name": IN, "uid": "in-uid" });
    Swap {
        old: volume("pvc-a", "old", "/data/old/pvc-a"),
        copy,
        claim: "data".to_owned(),
        gone: "in-uid".to_owned(),
    }
}

#[test]
fn a_volume_on_the_disk_of_a_node_that_is_left_is_in_the_way() {
    let anywhere = json!({ "metadata": { "name": "c" }, "spec": {} });
    let claims = [claim("a", "a"), claim("b", "b"), claim("c", "c")];
    let volumes = [volume("a", "old", "/a"), volume("b", "new", "/b"), anywhere];
    let found = bound(&claims, &volumes, |node| node == "new");
    let told: Vec<_> = found.iter().map(|one| (one.claim.as_str(), one.size)).collect();
    assert_eq!(told, [("apps/a", Bytes::gibi(1))]);
    assert_eq!(found[0].obstacle(), None);
}

#[test]
fn what_is_no_folder_of_its_node_cannot_be_copied() {
    let mut driver = volume("a", "old", "/a");
    driver["spec"]["csi"] = driver["spec"]["hostPath"].take();
    let mut block = volume("a", "old", "/a");
    block["spec"]["volumeMode"] = "Block".into();
    for volume in [driver, block] {
        let found = bound(&[claim("a", "a")], &[volume], |_| false);
        assert!(found[0].obstacle().is_some());
    }
}

#[test]
fn the_copy_takes_the_place_of_the_volume_with_its_name_and_its_claim() {
    let swap = swap();
    let new = swap.render_new();
    assert_eq!(new["metadata"]["name"], "pvc-a");
    assert_eq!(new["spec"]["claimRef"]["uid"], "c-uid", "the tenant's claim finds it");
    assert_eq!(new["spec"]["hostPath"]["path"], "/data/new/pvc-copy");
    assert_eq!(new["spec"]["nodeAffinity"], affinity("new"));
    assert_eq!(new["spec"]["persistentVolumeReclaimPolicy"], "Delete");
    assert!(swap.is_new(&new) && !swap.is_new(&swap.old));
}

#[test]
fn the_old_folder_goes_with_a_volume_whose_claim_is_gone_by_whoever_made_it() {
    let rest = swap().render_rest(&cluster());
    assert_ne!(rest["metadata"]["name"], "pvc-a");
    assert_eq!(rest["spec"]["hostPath"]["path"], "/data/old/pvc-a");
    assert_eq!(rest["spec"]["claimRef"]["uid"], "in-uid", "never the tenant's claim");
    assert_eq!(rest["spec"]["persistentVolumeReclaimPolicy"], "Delete");
}

#[test]
fn what_is_written_down_of_a_swap_is_read_again_without_what_the_api_server_said() {
    let map = swap().render(&cluster());
    let read = Swap::read(&map).expect("it was written");
    assert_eq!(read.claim, "data");
    assert_eq!(read.render_new()["spec"], {
        let mut spec = swap().render_new()["spec"].clone();
        spec["claimRef"].as_object_mut().expect("a reference").remove("resourceVersion");
        spec
    });
    let metadata = &read.old["metadata"];
    assert_eq!(metadata["annotations"], json!({ PROVISIONED_BY: "example/local-path" }));
    assert!(metadata["uid"].is_null() && metadata["finalizers"].is_null(), "it is another object");
    assert_eq!(Swap::read(&json!({ "data": { SWAP: "{}" } })), None);
}

#[test]
fn a_pod_that_copies_is_root_in_a_user_namespace_and_reads_its_source_only() {
    let settings = sample::settings();
    let (out, into) = (
        render_out(&cluster(), &settings),
        render_in(&cluster(), &settings, Isolation::Dedicated, Some("new")),
    );
    for pod in [&out, &into] {
        assert_eq!(pod["spec"]["hostUsers"], false);
        let security = &pod["spec"]["containers"][0]["securityContext"];
        assert_eq!(security["capabilities"]["drop"], json!(["ALL"]));
        assert!(!security["capabilities"]["add"].to_string().contains("SYS"), "{security}");
        assert_eq!(pod["spec"]["automountServiceAccountToken"], false);
    }
    let is_read_only =
        |pod: &Value| pod["spec"]["containers"][0]["volumeMounts"][0]["readOnly"].clone();
    assert_eq!((is_read_only(&out), is_read_only(&into)), (json!(true), json!(false)));
    assert_eq!(into["spec"]["nodeSelector"]["kubernetes.io/hostname"], "new");
    let shared = render_in(&cluster(), &settings, Isolation::Shared, None);
    assert_eq!(shared["spec"]["tolerations"], json!([]), "not onto nodes that are somebody's own");
}

fn user(name: &str, node: &str, claims: &[&str]) -> Value {
    let volumes = claims.iter().map(|c| json!({ "persistentVolumeClaim": { "claimName": c } }));
    let volumes: Vec<Value> = volumes.chain([json!({ "emptyDir": {} })]).collect();
    json!({
        "metadata": { "namespace": "apps", "name": name },
        "spec": { "nodeName": node, "volumes": volumes },
        "status": { "phase": "Running" },
    })
}

#[test]
fn a_volume_is_free_when_no_pod_with_a_node_uses_it() {
    let mut over = user("over", "old", &["a"]);
    over["status"]["phase"] = "Succeeded".into();
    let pods = [user("waits", "", &["a"]), over, user("other", "old", &["b"])];
    assert!(users(&pods, "a").is_empty());
    assert_eq!(users(&pods, "b").len(), 1);
    assert!(uses_any(&pods[0], &["apps/a".to_owned()]));
    assert!(!uses_any(&pods[0], &["else/a".to_owned()]));
}

#[test]
fn what_pods_use_together_has_to_be_on_one_node() {
    let pods = [user("1", "", &["a", "b"]), user("2", "", &["b", "c"]), user("3", "", &["d"])];
    let found = together(&pods, "a");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b", "c"]);
}
