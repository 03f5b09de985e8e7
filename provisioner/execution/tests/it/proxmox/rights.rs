//! Rights: each that is missing is named, and what the doctor prints is enough.

use super::site::{Site, bare_cluster, cluster};
use crate::grants::{TOKEN, entries};
use proxmox_simulator::{Act, Config, Release};
use std::collections::BTreeMap;

#[tokio::test]
async fn every_privilege_that_is_missing_is_named_with_its_path() {
    let site = Site::new(cluster()).await;
    for (path, privilege) in [
        ("/vms/9001", "VM.Clone"),
        ("/pool/warren", "VM.PowerMgmt"),
        ("/pool/warren", "VM.Config.CDROM"),
        ("/storage/local", "Datastore.Allocate"),
    ] {
        let (path, who) = (path.to_owned(), "warren@pve".to_owned());
        site.act(Act::TakePrivilege { path, who, privilege: privilege.to_owned() }).await;
    }
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["privileges"], "{checks:?}");
    assert_eq!(
        checks.detail("privileges"),
        "4 of 25 are missing: /pool/warren: VM.Config.CDROM, VM.PowerMgmt; /storage/local: Datastore.Allocate; \
         /vms/9001: VM.Clone"
    );
    let way_out = checks.way_out("privileges");
    let roles: Vec<_> = way_out.lines().filter(|line| line.contains("role add")).collect();
    assert_eq!(roles.len(), 3, "only what is needed: {way_out}");
    assert!(
        way_out.contains(
            "pveum acl modify '/vms/9001' -roles WarrenTemplates -users 'warren@pve' -tokens 'warren@pve!control'\n"
        ),
        "{way_out}"
    );
    checks.keep_the_secret();
}

/// Reads the commands as a node would: the privileges at each path.
fn obeyed(commands: &str) -> Vec<(String, String)> {
    let mut roles = BTreeMap::new();
    let mut given: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in commands.lines().filter(|line| !line.starts_with('#')) {
        if let Some(rest) = line.strip_prefix("pveum role add ") {
            let (name, rest) = rest.split_once(" -privs \"").expect("a role");
            let (privileges, _) = rest.split_once('"').expect("its privileges");
            roles.insert(name.to_owned(), privileges.replace(' ', ","));
            continue;
        }
        let words: Vec<_> = line.split(' ').collect();
        let [pveum, "acl", "modify", path, "-roles", role, "-users", _, "-tokens", token] =
            words.as_slice()
        else {
            unreachable!("{line}")
        };
        assert_eq!((*pveum, token.trim_matches('\'')), ("pveum", TOKEN));
        let privileges = roles.get(*role).expect("it is made before").clone();
        given.entry(path.trim_matches('\'').to_owned()).or_default().push(privileges);
    }
    given.into_iter().map(|(path, roles)| (path, roles.join(","))).collect()
}

#[tokio::test]
async fn what_is_printed_is_enough_and_no_release_is_asked_for_what_it_does_not_know() {
    for (release, missing) in [(Release::V7_4, 24), (Release::V8_4, 25), (Release::V9_2, 25)] {
        let bare = Site::new(Config { release, ..bare_cluster() }).await;
        let mut rights = Vec::new();
        // At first not even the templates may be read; then their storages are known, too.
        for round in 0.. {
            assert!(round < 3, "{release:?}: {rights:?}");
            let config = Config { release, entries: entries(rights.clone()), ..bare_cluster() };
            let site = Site::new(config).await;
            let checks = site.examine().await;
            if checks.bad().is_empty() {
                break;
            }
            rights.extend(obeyed(checks.way_out("privileges")));
        }
        let count: usize = rights.iter().map(|(_, role)| role.split(',').count()).sum();
        assert_eq!(count, missing, "{release:?}: {rights:?}");
        let checks = bare.examine().await;
        let rest = checks.detail("privileges");
        assert!(rest.contains("not known before it can be read"), "{rest}");
    }
}
