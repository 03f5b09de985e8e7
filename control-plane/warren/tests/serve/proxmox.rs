//! `warren doctor proxmox` against a server that is configured for a simulated cluster, or for none.

use crate::server::{Home, Server};
use proxmox_simulator::{Act, Clock, Config, Simulator, machines::imaginary::Imaginary};
use serde_json::Value;
use std::{sync::Arc, time::Duration};

const SECRET: &str = "0f6b2c1e-7d43-4b5e-8f0a-3c9d1e2f4a5b";

async fn cluster() -> Simulator {
    let mut config = Config { pools: vec!["warren".into()], ..Config::default() };
    config.users[0].tokens[0].secret = SECRET.into();
    let machines = Arc::new(Imaginary::new(Duration::ZERO, Duration::ZERO));
    Simulator::start(config, Clock::system(), machines).await.unwrap()
}

/// The section of the configuration for it, with its files in the home's folder.
fn section(simulator: &Simulator, home: &Home) -> String {
    let write = |name: &str, text: &str| {
        let path = home.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let hosts = ["pve1", "pve2", "pve3"].map(|node| simulator.url(node).unwrap());
    let token = write("token", &format!("{SECRET}\n"));
    let authority = write("authority.pem", simulator.authority_pem().unwrap());
    format!(
        r#"
        [proxmox]
        hosts = {hosts:?}
        token_id = "root@pam!test"
        token_file = "{token}"
        ca_file = "{authority}"
        pool = "warren"
        seed_storage = "local"
        bridge = "vmbr0"
        vlan = 12
        vms = "1000-1099"
        join_server = "https://10.0.0.1:6443"
        [proxmox.templates]
        pve1 = 9001
        pve2 = 9002
        pve3 = 9003
        "#
    )
}

/// Exit code, stdout and stderr of the command.
async fn doctor(server: &Server, home: &Home, arguments: &[&str]) -> (i32, String, String) {
    let arguments = [&["doctor", "proxmox"], arguments].concat();
    server.warren(&server.token(), home.folder.path(), &arguments).await
}

#[tokio::test]
async fn a_cluster_is_looked_at_and_what_is_missing_is_printed_for_a_shell() {
    let simulator = cluster().await;
    let mut home = Home::new();
    home.section = section(&simulator, &home);
    let server = home.start().await;
    let (code, stdout, stderr) = doctor(&server, &home, &["-o", "json"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""), "{stdout}");
    let answer: Value = serde_json::from_str(&stdout).unwrap();
    let checks = answer.as_array().or_else(|| answer["items"].as_array()).unwrap();
    assert!(checks.len() > 15, "the host cluster is away, and does not matter here: {stdout}");

    let path = "/vms/9002".to_owned();
    let (who, privilege) = ("root@pam!test".to_owned(), "VM.Clone".to_owned());
    simulator.act(Act::TakePrivilege { path, who, privilege }).await.unwrap();
    let (code, stdout, stderr) = doctor(&server, &home, &[]).await;
    assert_eq!(code, 1, "{stdout}");
    let (table, below) = stdout.split_once("\n\n").unwrap();
    assert!(table.contains("/vms/9002: VM.Clone"), "{table}");
    assert!(stderr.starts_with("error: 1 of 17 checks failed\n  privileges\n"), "{stderr}");
    let commands = below.lines().filter(|line| !line.starts_with('#'));
    assert!(commands.clone().count() == 2 && commands.clone().all(|l| l.starts_with("pveum ")));
    let all = format!("{stdout}{stderr}{}", server.said.join("\n"));
    assert!(!all.contains(SECRET), "{all}");
}

#[tokio::test]
async fn without_a_section_it_says_so_and_how_to_write_one() {
    let home = Home::new();
    let server = home.start().await;
    let (code, stdout, stderr) = doctor(&server, &home, &[]).await;
    assert_eq!(code, 1);
    let (table, below) = stdout.split_once("\n\n").unwrap();
    assert!(table.contains("no section [proxmox]"), "{table}");
    assert!(below.contains("\n[proxmox]\n") && below.contains("token_file = "), "{below}");
    assert!(stderr.contains("1 of 1 checks failed"), "{stderr}");
}
