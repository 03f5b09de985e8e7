//! Numbers that are left for machines.

use super::site::{Site, cluster};
use crate::grants::TOKEN;
use proxmox_simulator::{Act, Config, TemplateConfig};

/// A cluster where somebody has two machines with these numbers, one of which the token may see.
fn with_strangers(first: u32, second: u32) -> Config {
    let mut config = cluster();
    let template = config.templates[0].clone();
    for id in [first, second] {
        config.templates.push(TemplateConfig {
            id,
            name: format!("other-{id}"),
            ..template.clone()
        });
    }
    config
}

#[tokio::test]
async fn numbers_of_other_people_are_told_and_no_problem() {
    let site = Site::new(with_strangers(1003, 1150)).await;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), Vec::<&str>::new(), "{checks:?}");
    assert_eq!(
        checks.detail("machine-numbers"),
        "1000-1199: 199 are free, 0 Warren's, 0 rest, others have 1003 and keep them; only the next 100 were \
         asked for"
    );
    let who = TOKEN.to_owned();
    let path = "/vms/1003".to_owned();
    site.act(Act::TakePrivilege { path, who, privilege: "VM.Audit".to_owned() }).await;
    assert!(site.examine().await.detail("machine-numbers").contains("1003"), "seen or not");
}

#[tokio::test]
async fn a_range_that_is_used_up_is_told() {
    let mut site = Site::new(with_strangers(1003, 1004)).await;
    site.settings.vms = 1003..=1004;
    let checks = site.examine().await;
    assert_eq!(checks.bad(), ["machine-numbers"], "{checks:?}");
    assert!(checks.way_out("machine-numbers").contains("proxmox.vms"), "{checks:?}");
    assert!(checks.detail("machine-numbers").contains("1003, 1004"), "{checks:?}");
    site.settings.vms = 1003..=1005;
    assert_eq!(site.examine().await.bad(), Vec::<&str>::new());
}
