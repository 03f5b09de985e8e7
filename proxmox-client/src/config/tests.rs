use super::*;
use crate::{Agent, Bridge, Invalid, IpConfig, Net, NetModel, Tag, Version};
use percent_encoding::percent_decode_str;
use proptest::prelude::*;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;
use std::net::{Ipv4Addr, Ipv6Addr};

fn text(change: &ConfigChange) -> String {
    change.form().encoded().expose_secret().to_owned()
}

fn slot(text: &str) -> Slot {
    text.parse().expect("a slot")
}

#[test]
fn numbers_and_texts_of_every_release_are_read_alike() -> Result<(), serde_json::Error> {
    let old = json!({"memory": 4096, "template": 1, "agent": "1", "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0"});
    let new = json!({"memory": "4096", "template": "1", "agent": 1, "net0": "virtio=BC:24:11:00:00:01,bridge=vmbr0", "lock": null});
    let [old, new]: [VmConfig; 2] = [serde_json::from_value(old)?, serde_json::from_value(new)?];
    assert_eq!(old, new);
    assert!(old.is_template() && !old.is_protected() && old.lock().is_none());
    assert_eq!(old.mac(0), MacAddress::new("BC:24:11:00:00:01").ok());
    assert_eq!(old.mac(1), None);
    Ok(())
}

#[test]
fn drives_are_told_from_other_options() -> Result<(), serde_json::Error> {
    let config: VmConfig = serde_json::from_value(json!({
        "scsi0": "local-lvm:vm-120-disk-0,size=32G", "scsihw": "virtio-scsi-pci",
        "ide2": "local:iso/a.iso,media=cdrom", "unused0": "local-lvm:vm-120-disk-1",
    }))?;
    let slots: Vec<String> = config.drives().map(|(slot, _)| slot.to_string()).collect();
    assert_eq!(slots, ["ide2", "scsi0"]);
    let size = config.drive(slot("scsi0")).and_then(|drive| drive.get("size").map(str::to_owned));
    assert_eq!(size.as_deref(), Some("32G"));
    Ok(())
}

#[test]
fn values_of_a_configuration_are_not_shown() -> Result<(), serde_json::Error> {
    let config: VmConfig = serde_json::from_value(json!({"cipassword": "hunter2"}))?;
    assert_eq!(format!("{config:?}"), "{\"cipassword\"}");
    let change = ConfigChange::new().password(&SecretString::from("hunter2"));
    assert!(!format!("{change:?}").contains("hunter2"));
    Ok(())
}

#[test]
fn keys_are_encoded_twice_and_a_space_is_never_a_plus() -> Result<(), Invalid> {
    let change = ConfigChange::new().ssh_keys(&["ssh-ed25519 AA+/= me@here\n", "ssh-rsa BB"])?;
    assert_eq!(
        text(&change),
        "sshkeys=ssh-ed25519%2520AA%252B%252F%253D%2520me%2540here%250Assh-rsa%2520BB"
    );
    assert!(ConfigChange::new().ssh_keys(&[]).is_err());
    assert!(ConfigChange::new().ssh_keys(&["a\nb"]).is_err());
    Ok(())
}

#[test]
fn the_last_word_about_an_option_holds() -> Result<(), Invalid> {
    let change = ConfigChange::new().remove("ciuser")?.user("warren")?.remove("nameserver")?;
    let change = change.unplug(slot("ide2")).cores(2)?.cores(4)?;
    assert_eq!(text(&change), "ciuser=warren&cores=4&delete=ide2%2Cnameserver");
    Ok(())
}

#[test]
fn a_change_only_of_the_digest_changes_nothing() {
    assert!(ConfigChange::new().only_if("abc").is_empty());
    assert!(!ConfigChange::new().protection(false).is_empty());
}

#[test]
fn what_a_node_of_a_cluster_needs_can_be_said() -> Result<(), Invalid> {
    let net = Net::new(NetModel::Virtio, Bridge::new("vmbr0")?);
    let change = ConfigChange::new()
        .cores(4)?
        .memory(8192)?
        .tags(&[Tag::new("warren")?].into_iter().collect())
        .net(0, &net)?
        .ip_config(0, IpConfig::v4(crate::Ip4::Dhcp))?
        .agent(Agent::enabled())
        .name_servers(&[
            Ipv4Addr::new(10, 0, 0, 1).into(),
            Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1).into(),
        ])?
        .upgrades_at_first_start(false);
    assert_eq!(
        text(&change),
        "cores=4&memory=8192&tags=warren&net0=virtio%2Cbridge%3Dvmbr0&ipconfig0=ip%3Ddhcp\
         &agent=enabled%3D1&nameserver=10.0.0.1%20fd00%3A%3A1&ciupgrade=0"
    );
    let needs: Vec<Version> = change.needs().map(|(_, version)| version).collect();
    assert_eq!(needs, [Version::V8_0]);
    Ok(())
}

#[test]
fn what_is_out_of_range_is_refused() {
    assert!(ConfigChange::new().cores(0).is_err());
    assert!(ConfigChange::new().memory(15).is_err());
    assert!(ConfigChange::new().ip_config(32, IpConfig::v4(crate::Ip4::Dhcp)).is_err());
    assert!(ConfigChange::new().processor("host,flags=+aes").is_err());
    for option in ["", "Cores", "skiplock", "delete", "a=b", "a b", "0"] {
        assert!(ConfigChange::new().option(option, "1").is_err(), "{option}");
    }
}

proptest! {
    #[test]
    fn keys_survive_both_encodings(keys in proptest::collection::vec("ssh-[a-z0-9]{3,9} [A-Za-z0-9+/]{1,30}={0,2}( [a-z@. é]{0,9}[a-z])?", 1..4)) {
        let words: Vec<&str> = keys.iter().map(String::as_str).collect();
        let body = text(&ConfigChange::new().ssh_keys(&words).expect("keys"));
        let once = percent_decode_str(body.strip_prefix("sshkeys=").expect("the option")).decode_utf8().expect("UTF-8").into_owned();
        prop_assert!(!once.contains(['+', ' ', '&', '=']));
        let twice = percent_decode_str(&once).decode_utf8().expect("UTF-8").into_owned();
        prop_assert_eq!(twice, keys.join("\n"));
    }
}
