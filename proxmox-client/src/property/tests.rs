use super::*;
use crate::{Bridge, MacAddress, StorageId, VolumeId};
use proptest::prelude::*;

fn bridge() -> Bridge {
    Bridge::new("vmbr0").expect("a bridge")
}

fn storage() -> StorageId {
    StorageId::new("local-lvm").expect("a storage")
}

#[test]
fn a_card_names_its_model_and_perhaps_its_address() {
    let net = Net::new(NetModel::Virtio, bridge());
    assert_eq!(net.to_string(), "virtio,bridge=vmbr0");
    let mac = MacAddress::new("BC:24:11:00:00:01").expect("an address");
    let net = net.mac(mac).vlan(7).and_then(|net| net.mtu(1)).expect("a card").firewall(true);
    assert_eq!(net.to_string(), "virtio=BC:24:11:00:00:01,bridge=vmbr0,tag=7,mtu=1,firewall=1");
}

#[test]
fn a_number_out_of_range_is_told_the_range() {
    let error = Net::new(NetModel::E1000, bridge()).vlan(4095).expect_err("no VLAN");
    assert_eq!(error.to_string(), "VLAN \"4095\": expected 1 to 4094");
    assert!(Net::new(NetModel::E1000, bridge()).mtu(2).is_err());
    assert!(Net::new(NetModel::E1000, bridge()).queues(0).is_err());
}

#[test]
fn addresses_are_static_or_asked_for() {
    let address = "10.1.0.7/24".parse().expect("an address");
    let gateway = Some("10.1.0.1".parse().expect("an address"));
    let v4 = Ip4::Static { address, gateway };
    assert_eq!(IpConfig::v4(v4).to_string(), "ip=10.1.0.7/24,gw=10.1.0.1");
    assert_eq!(IpConfig::both(Ip4::Dhcp, Ip6::Auto).to_string(), "ip=dhcp,ip6=auto");
    let v6 = Ip6::Static { address: "fd00::7/64".parse().expect("an address"), gateway: None };
    assert_eq!(IpConfig::v6(v6).to_string(), "ip6=fd00::7/64");
}

#[test]
fn a_drive_is_made_found_or_empty() {
    let volume = |text: &str| VolumeId::new(text).expect("a volume");
    assert_eq!(Drive::new_disk(storage(), 32).ssd(true).to_string(), "local-lvm:32,ssd=1");
    assert_eq!(Drive::cloud_init(storage()).to_string(), "local-lvm:cloudinit");
    assert_eq!(Drive::disc(volume("local:iso/a.iso")).to_string(), "local:iso/a.iso,media=cdrom");
    assert_eq!(Drive::no_disc().to_string(), "none,media=cdrom");
    assert_eq!(Drive::disk(volume("local:a=b")).to_string(), "file=local:a=b");
    let disk = Drive::disk(volume("local-lvm:vm-100-disk-0")).discard(true).io_thread(true);
    assert_eq!(disk.to_string(), "local-lvm:vm-100-disk-0,discard=on,iothread=1");
}

#[test]
fn a_bus_refuses_an_option_that_it_does_not_have() {
    let slot = |text: &str| text.parse::<Slot>().expect("a slot");
    assert!(Drive::no_disc().io_thread(true).check(slot("ide2")).is_err());
    assert!(Drive::no_disc().ssd(true).check(slot("virtio0")).is_err());
    assert!(Drive::no_disc().ssd(true).io_thread(true).check(slot("scsi30")).is_ok());
}

#[test]
fn there_is_no_slot_beyond_the_last() {
    for text in
        ["ide4", "sata6", "scsi31", "virtio16", "scsi", "scsi01", "nvme0", "scsi-1", "scsi+1"]
    {
        assert!(text.parse::<Slot>().is_err(), "{text}");
    }
    for text in ["ide0", "sata5", "scsi30", "virtio15"] {
        assert_eq!(text.parse::<Slot>().expect(text).to_string(), text);
    }
}

#[test]
fn texts_of_the_machine_go_in_base64() {
    let smbios = Smbios::new().serial("ds=nocloud;s=https://warren/seed,1");
    assert_eq!(
        smbios.to_string(),
        "serial=ZHM9bm9jbG91ZDtzPWh0dHBzOi8vd2FycmVuL3NlZWQsMQ==,base64=1"
    );
    assert!(smbios.check().is_ok());
    assert!(Smbios::new().check().is_err(), "nothing at all");
    assert!(Smbios::new().serial(&"x".repeat(400)).check().is_err(), "too long");
    assert!(Smbios::new().uuid("1-2-3").is_err());
    let uuid = "6921b0c1-0000-4000-8000-000000000001";
    assert_eq!(Smbios::new().uuid(uuid).expect("a UUID").to_string(), format!("uuid={uuid}"));
}

#[test]
fn other_options_of_the_machine_are_written() {
    let slot = |text: &str| text.parse::<Slot>().expect("a slot");
    assert_eq!(Agent::enabled().trims_clones(true).to_string(), "enabled=1,fstrim_cloned_disks=1");
    assert_eq!(Agent::disabled().to_string(), "enabled=0");
    assert_eq!(Boot::drive(slot("scsi0")).then_net(0).to_string(), "order=scsi0;net0");
    let pci = HostPci::mapping("gpu-a").expect("a mapping").pcie(true);
    assert_eq!(pci.to_string(), "mapping=gpu-a,pcie=1");
    assert!(HostPci::mapping("0000:01:00.0").is_err());
    let snippet = VolumeId::new("local:snippets/join.yaml").expect("a volume");
    assert_eq!(
        CustomCloudInit::new().vendor(snippet).to_string(),
        "vendor=local:snippets/join.yaml"
    );
}

#[test]
fn a_property_string_is_read_back() {
    let fields = Fields::read("virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1");
    assert_eq!(fields.get("bridge"), Some("vmbr0"));
    assert_eq!(fields.first(), None);
    let fields = Fields::read("local-lvm:vm-100-disk-0,size=32G");
    assert_eq!(
        (fields.first(), fields.get("size")),
        (Some("local-lvm:vm-100-disk-0"), Some("32G"))
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(tag in 1_u16..4095, rate in any::<u32>(), firewall in any::<bool>()) {
        let net = Net::new(NetModel::Virtio, bridge()).vlan(tag).expect("a VLAN").rate(rate).firewall(firewall);
        let fields = Fields::read(&net.to_string());
        prop_assert_eq!(fields.first(), Some("virtio"));
        prop_assert_eq!(fields.get("tag").map(str::to_owned), Some(tag.to_string()));
        prop_assert_eq!(fields.get("rate").map(str::to_owned), Some(rate.to_string()));
        prop_assert_eq!(fields.get("firewall"), Some(if firewall { "1" } else { "0" }));
    }

    #[test]
    fn any_serial_number_leaves_the_string_whole(serial in "\\PC{1,100}") {
        let text = Smbios::new().serial(&serial).to_string();
        let fields = Fields::read(&text);
        prop_assert_eq!(fields.iter().count(), 2);
        prop_assert_eq!(fields.get("base64"), Some("1"));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC*") {
        let _ = Fields::read(&text);
        let _ = text.parse::<Slot>();
    }
}
