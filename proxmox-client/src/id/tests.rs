use super::*;
use proptest::prelude::*;

#[test]
fn a_vm_id_is_a_number_from_100() {
    assert_eq!("100".parse::<VmId>().map(VmId::get), Ok(100));
    for text in ["99", "1000000000", "-1", "", "1e3", "100 "] {
        assert!(text.parse::<VmId>().is_err(), "{text}");
    }
}

#[test]
fn a_node_is_never_named_by_its_domain_name() {
    assert!(NodeName::new("pve1").is_ok());
    for text in ["pve1.example.com", "", "-a", "a-", "a_b", "a/b", "..", "%2e"] {
        let error = NodeName::new(text).expect_err(text);
        assert!(error.to_string().contains("label"), "{error}");
    }
}

#[test]
fn names_follow_the_rules_of_their_kind() {
    assert!(StorageId::new("local-lvm").is_ok());
    assert!(StorageId::new("x").is_err());
    assert!(StorageId::new("local-").is_err());
    assert!(PoolId::new("warren/tenant-1").is_ok());
    for text in ["", "a//b", "a/b/c/d", "a b", "../x"] {
        assert!(PoolId::new(text).is_err(), "{text}");
    }
    assert!(VmName::new("warren-a.b").is_ok());
    for text in ["a_b", "", ".", "a..b", "a "] {
        assert!(VmName::new(text).is_err(), "{text}");
    }
    assert!(SnapshotName::new("before_join").is_ok());
    assert!(SnapshotName::new("current").is_err());
    assert!(FileName::new("seed-120.iso").is_ok());
    assert!(FileName::new("../seed.iso").is_err());
    assert!(VolumeId::new("local:iso/seed.iso").is_ok());
    for text in ["local", "local:", ":x", "local:a,b", "local:../x", "local:a b"] {
        assert!(VolumeId::new(text).is_err(), "{text}");
    }
}

#[test]
fn a_hardware_address_belongs_to_one_card() {
    assert!(MacAddress::new("BC:24:11:00:00:01").is_ok());
    for text in ["BD:24:11:00:00:01", "bc:24:11:00:00:01", "BC:24:11:00:00", "BC-24-11-00-00-01"] {
        assert!(MacAddress::new(text).is_err(), "{text}");
    }
}

#[test]
fn tags_are_sorted_and_said_once() {
    let tags: Tags = ["warren", "a+b", "warren"]
        .map(|text| Tag::new(text).expect("a tag"))
        .into_iter()
        .collect();
    assert_eq!(tags.to_string(), "a+b;warren");
    assert_eq!(Tags::read("Warren;a+b, a+b"), tags);
    for text in ["", "-a", "a;b", "A", "ä"] {
        assert!(Tag::new(text).is_err(), "{text}");
    }
}

proptest! {
    #[test]
    fn an_accepted_name_cannot_leave_its_place_in_a_path_or_a_list(text in "\\PC{0,40}|[A-Za-z0-9._/:+-]{0,40}") {
        let clean = |text: &str| !text.contains([' ', ',', ';', '=', '&', '?', '#', '%', '\n', '\\']);
        prop_assert!(NodeName::new(&*text).is_err() || clean(&text) && !text.contains('/'));
        prop_assert!(StorageId::new(&*text).is_err() || clean(&text) && !text.contains('/'));
        prop_assert!(SnapshotName::new(&*text).is_err() || clean(&text) && !text.contains('/'));
        prop_assert!(PoolId::new(&*text).is_err() || clean(&text));
        prop_assert!(Tag::new(&*text).is_err() || clean(&text));
        prop_assert!(FileName::new(&*text).is_err() || clean(&text) && !text.contains('/'));
    }

    #[test]
    fn tags_survive_their_text(words in proptest::collection::btree_set("[a-z0-9_][a-z0-9_+.-]{0,8}", 0..6)) {
        let tags: Tags = words.iter().map(|word| Tag::new(word.as_str()).expect("a tag")).collect();
        prop_assert_eq!(Tags::read(&tags.to_string()), tags);
    }
}
