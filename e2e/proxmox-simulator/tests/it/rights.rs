//! Sections 1.2 and 1.10 of the facts: rights of tokens.

use proxmox_simulator::{Act, Config, EntryConfig, Simulator, TokenConfig, UserConfig};
use serde_json::json;

use crate::asking::{Answer, Asking, cluster};

const TOKEN: &str = "warren@pve!pool=secret";
const WHO: [&str; 2] = ["warren@pve", "warren@pve!pool"];
const CLONE: &str = "/nodes/pve1/qemu/9000/clone";

/// The rights that are enough for the whole life of a VM in a pool.
const ENOUGH: [(&str, &str); 5] = [
    ("/vms/9000", "PVETemplateUser"),
    (
        "/pool/acme",
        "VM.Allocate,VM.Audit,VM.PowerMgmt,VM.Config.CPU,VM.Config.Memory,VM.Config.Network,\
         VM.Config.Disk,VM.Config.CDROM,VM.Config.Cloudinit,VM.Config.Options,Pool.Audit,VM.GuestAgent.Audit",
    ),
    ("/storage/shared", "Datastore.AllocateSpace,Datastore.Audit,Datastore.AllocateTemplate"),
    ("/sdn/zones/localnetwork/vmbr0", "PVESDNUser"),
    ("/nodes/pve1", "Sys.Audit"),
];

async fn narrow(rights: &[(&str, &str)]) -> Simulator {
    let mut config = Config { pools: vec!["acme".into()], ..Config::default() };
    let token = TokenConfig { id: "pool".into(), secret: "secret".into(), is_separate: true };
    config.users.push(UserConfig {
        name: "warren@pve".into(),
        password: None,
        tokens: vec![token],
    });
    for (path, role) in rights {
        config.entries.extend(WHO.map(|who| EntryConfig {
            path: (*path).into(),
            who: who.into(),
            role: (*role).into(),
        }));
    }
    Simulator::in_process(config).await.expect("it starts")
}

fn refused(answer: &Answer) -> &str {
    assert_eq!(answer.status, 403, "{answer:?}");
    &answer.reason
}

#[tokio::test(start_paused = true)]
async fn the_smallest_rights_are_enough_for_the_whole_life() {
    let simulator = narrow(&ENOUGH).await;
    let asking = Asking::with_token(&simulator, TOKEN);
    let vm = "/nodes/pve1/qemu/100";
    assert_eq!(asking.run("POST", CLONE, "newid=100&pool=acme&full=1&name=a").await, "OK");
    let form = "cores=2&memory=2048&tags=a&ciuser=x&net0=virtio,bridge%3Dvmbr0";
    assert_eq!(asking.put(&format!("{vm}/config"), form).await.status, 200);
    assert_eq!(asking.run("PUT", &format!("{vm}/resize"), "disk=scsi0&size=8G").await, "OK");
    assert_eq!(asking.run("POST", &format!("{vm}/status/start"), "").await, "OK");
    assert_eq!(asking.run("POST", &format!("{vm}/status/stop"), "").await, "OK");
    assert_eq!(asking.run("DELETE", &format!("{vm}?purge=1"), "").await, "OK");
}

#[tokio::test(start_paused = true)]
async fn each_right_that_is_missing_is_named() {
    let path = |index: usize| ENOUGH[index].0;
    let cases = [
        (0, Some("VM.Clone")),
        // With an alternative there is no name.
        (1, None),
        (2, Some("Datastore.AllocateSpace")),
        (3, Some("SDN.Use")),
    ];
    for (index, privilege) in cases {
        let rights: Vec<_> =
            ENOUGH.iter().copied().filter(|(own, _)| *own != path(index)).collect();
        let simulator = narrow(&rights).await;
        let answer = Asking::with_token(&simulator, TOKEN).post(CLONE, "newid=100&pool=acme").await;
        let expected = match privilege {
            Some(name) => format!("Permission check failed ({}, {name})", path(index)),
            None => "Permission check failed".into(),
        };
        assert_eq!(refused(&answer), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_pool_the_new_id_itself_needs_the_right() {
    let simulator = narrow(&ENOUGH).await;
    let answer = Asking::with_token(&simulator, TOKEN).post(CLONE, "newid=100").await;
    assert_eq!(refused(&answer), "Permission check failed");
}

#[tokio::test(start_paused = true)]
async fn rights_by_a_pool_begin_with_the_end_of_the_clone_and_end_with_the_vm() {
    let simulator = narrow(&ENOUGH).await;
    let asking = Asking::with_token(&simulator, TOKEN);
    let answer = asking.post(CLONE, "newid=100&pool=acme&full=1").await;
    let upid = answer.data().as_str().expect("a task").to_owned();
    let config = "/nodes/pve1/qemu/100/config";
    tokio::time::sleep(std::time::Duration::from_millis(400)).await;
    let denied = "Permission check failed (/vms/100, VM.Audit)";
    assert_eq!(refused(&asking.get(config).await), denied);
    assert_eq!(asking.get("/cluster/nextid?vmid=100").await.status, 400);
    assert_eq!(asking.end(&upid).await, "OK");
    assert_eq!(asking.get(config).await.status, 200);
    assert_eq!(asking.run("DELETE", "/nodes/pve1/qemu/100", "").await, "OK");
    assert_eq!(refused(&asking.get(config).await), denied);
    assert_eq!(asking.get("/cluster/nextid?vmid=100").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_list_shows_what_may_be_seen() {
    let simulator = narrow(&ENOUGH).await;
    let asking = Asking::with_token(&simulator, TOKEN);
    let vms = asking.get("/nodes/pve1/qemu").await;
    let ids: Vec<_> =
        vms.data().as_array().expect("a list").iter().map(|vm| vm["vmid"].clone()).collect();
    assert_eq!(ids, [json!(9000)]);
    let nodes = asking.get("/nodes").await;
    let details = |name: &str| {
        let list = nodes.data().as_array().expect("a list");
        list.iter().find(|node| node["node"] == name).is_some_and(|node| node["maxmem"].is_number())
    };
    assert!(details("pve1"));
    assert!(!details("pve2"));
    assert_eq!(asking.get("/cluster/status").await.status, 403);
    let storages = asking.get("/nodes/pve1/storage").await;
    assert_eq!(storages.data().as_array().map(Vec::len), Some(1));
}

#[tokio::test(start_paused = true)]
async fn an_option_needs_the_right_of_its_kind() {
    let simulator = cluster().await;
    Asking::root(&simulator).clone_to(100).await;
    let narrow = narrow(&[("/vms/9000", "VM.Audit,VM.Config.CPU")]).await;
    let asking = Asking::with_token(&narrow, TOKEN);
    let config = "/nodes/pve1/qemu/9000/config";
    assert_eq!(asking.put(config, "cores=2").await.status, 200);
    for (form, privilege) in [
        ("memory=1024", "VM.Config.Memory"),
        ("ciuser=a", "VM.Config.Cloudinit"),
        ("net0=virtio,bridge%3Dvmbr0", "VM.Config.Network"),
        ("delete=scsi0", "VM.Config.Disk"),
        ("ide2=none,media%3Dcdrom", "VM.Config.CDROM"),
        ("serial0=socket", "VM.Config.HWType"),
        ("name=a", "VM.Config.Options"),
    ] {
        let answer = asking.put(config, form).await;
        let expected = format!("Permission check failed (/vms/9000, {privilege})");
        assert_eq!(refused(&answer), expected, "{form}");
    }
}

#[tokio::test(start_paused = true)]
async fn even_a_token_of_root_is_not_root() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let config = "/nodes/pve1/qemu/9000/config";
    for form in ["args=-x", "lock=backup", "hostpci0=0000:01:00"] {
        let answer = asking.put(config, form).await;
        assert_eq!(answer.status, 500, "{form}");
        assert!(answer.reason.starts_with("only root can set"), "{}", answer.reason);
    }
    let answer = asking.put(config, "cores=1&skiplock=1").await;
    assert_eq!(answer.error("skiplock"), "Only root may use this option.");
    assert_eq!(asking.put(config, "hostpci0=mapping%3Dgpu").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn tokens_roles_and_entries_are_made_by_the_api() {
    let simulator = cluster().await;
    let root = Asking::root(&simulator);
    assert_eq!(root.post("/access/users", "userid=a%40pve").await.status, 200);
    let made = root.post("/access/users/a@pve/token/t1", "privsep=1").await;
    assert_eq!(made.data()["full-tokenid"], "a@pve!t1");
    let token = format!("a@pve!t1={}", made.data()["value"].as_str().expect("a secret"));
    assert!(
        root.post("/access/users/a@pve/token/t", "").await.error("tokenid").contains("pattern")
    );
    let wrong = root.post("/access/roles", "roleid=r&privs=VM.Monitor").await;
    assert!(wrong.error("privs").contains("VM.Monitor"));
    assert_eq!(root.post("/access/roles", "roleid=r&privs=VM.Audit").await.status, 200);
    let asking = Asking::with_token(&simulator, &token);
    let config = "/nodes/pve1/qemu/9000/config";
    assert_eq!(asking.get(config).await.status, 403);
    let entry = "path=/vms/9000&roles=r";
    assert_eq!(root.put("/access/acl", &format!("{entry}&users=a%40pve")).await.status, 200);
    assert_eq!(asking.get(config).await.status, 403);
    assert_eq!(root.put("/access/acl", &format!("{entry}&tokens=a%40pve!t1")).await.status, 200);
    assert_eq!(asking.get(config).await.status, 200);
    let rights = asking.get("/access/permissions?path=/vms/9000").await;
    assert_eq!(rights.data(), &json!({"/vms/9000": {"VM.Audit": 1}}));
    assert_eq!(root.delete("/access/users/a@pve/token/t1").await.status, 200);
    assert_eq!(asking.get(config).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_right_can_be_taken_away_in_the_middle() {
    let simulator = narrow(&ENOUGH).await;
    let asking = Asking::with_token(&simulator, TOKEN);
    let taken = |is_taken: bool| {
        let (path, who, privilege) =
            ("/vms".to_owned(), "warren@pve".to_owned(), "VM.Clone".to_owned());
        if is_taken {
            Act::TakePrivilege { path, who, privilege }
        } else {
            Act::GivePrivilegeBack { path, who, privilege }
        }
    };
    simulator.act(taken(true)).await.expect("it is taken");
    let answer = asking.post(CLONE, "newid=100&pool=acme").await;
    assert_eq!(refused(&answer), "Permission check failed (/vms/9000, VM.Clone)");
    simulator.act(taken(false)).await.expect("it is back");
    assert_eq!(asking.post(CLONE, "newid=100&pool=acme").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn whoever_may_upload_an_image_may_not_remove_it() {
    let simulator = narrow(&ENOUGH).await;
    let asking = Asking::with_token(&simulator, TOKEN);
    let answer = asking.delete("/nodes/pve1/storage/shared/content/shared:iso/a.iso").await;
    assert_eq!(refused(&answer), "Permission check failed (/storage/shared, Datastore.Allocate)");
}

#[tokio::test(start_paused = true)]
async fn pools_are_made_filled_and_removed() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    assert_eq!(asking.post("/pools", "poolid=a").await.status, 200);
    assert_eq!(asking.post("/pools", "poolid=a").await.status, 500);
    assert_eq!(asking.post("/pools", "poolid=a/b").await.status, 200);
    assert_eq!(asking.put("/pools?poolid=a/b", "vms=9000").await.status, 200);
    let pool = asking.get("/pools/a/b").await;
    assert_eq!(pool.data()["members"][0]["vmid"], json!(9000));
    assert_eq!(asking.get("/pools?poolid=a/b").await.data()[0]["poolid"], "a/b");
    assert!(asking.delete("/pools?poolid=a/b").await.reason.contains("not empty"));
    assert_eq!(asking.put("/pools/a/b", "vms=9000&delete=1").await.status, 200);
    assert_eq!(asking.delete("/pools/a/b").await.status, 200);
    assert_eq!(
        asking.post(CLONE, "newid=100&pool=none").await.reason,
        "pool 'none' does not exist"
    );
}
