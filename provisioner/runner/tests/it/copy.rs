//! A folder goes from one process to another, through the real run endpoint.

use crate::world::World;
use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fs::{self, File, FileTimes, Permissions},
    io::Write as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
    },
    path::{Path, PathBuf},
    process::{Output, Stdio},
    time::{Duration, SystemTime},
};
use tokio::process::{Child, Command};

/// A runner that copies a folder; `token` is what it shows.
fn copy(world: &World, side: &str, token: &str, folder: &Path) -> Child {
    let settings = world.folder.path().join(format!("copy-{side}-{token}"));
    fs::create_dir_all(&settings).expect("the folder is ours");
    fs::write(settings.join("token"), token).expect("the folder is ours");
    fs::write(settings.join("ca.crt"), &world.authority).expect("the folder is ours");
    Command::new(env!("CARGO_BIN_EXE_warren-runner"))
        .arg("copy")
        .arg(side)
        .arg(folder)
        .env_clear()
        .env("WARREN_RUN_ENDPOINT", format!("https://{}", world.address))
        .env("WARREN_RUN_DIR", &settings)
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts")
}

async fn ended(child: Child) -> Output {
    let ended = tokio::time::timeout(Duration::from_mins(1), child.wait_with_output()).await;
    ended.expect("it ends in time").expect("it can be waited for")
}

/// Everything below a folder, in words: what it is, whose, since when, and what is in it.
fn seen(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut all = BTreeMap::new();
    let mut names: BTreeMap<u64, PathBuf> = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    let mut look = |path: &Path| {
        let known = fs::symlink_metadata(path).expect("it is there");
        let name = path.strip_prefix(root).expect("it is below").to_owned();
        let first = names.entry(known.ino()).or_insert_with(|| name.clone()).clone();
        let contents = if known.is_file() {
            format!(
                "{:?}",
                fs::read(path).expect("readable").chunks(512).map(sum).collect::<Vec<_>>()
            )
        } else if known.is_symlink() {
            fs::read_link(path).expect("readable").display().to_string()
        } else {
            String::new()
        };
        let (mode, user, group) = (known.mode(), known.uid(), known.gid());
        let time = (known.mtime(), known.mtime_nsec());
        let first = if known.is_dir() { name.clone() } else { first };
        all.insert(
            name,
            format!("{mode:o} {user}:{group} {time:?} {} {contents}", first.display()),
        );
        known.is_dir()
    };
    look(root);
    while let Some(folder) = folders.pop() {
        let mut inside: Vec<PathBuf> = fs::read_dir(&folder)
            .expect("readable")
            .map(|entry| entry.expect("one").path())
            .collect();
        inside.sort();
        folders.extend(inside.into_iter().filter(|path| look(path)));
    }
    all
}

fn sum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(7, |sum, byte| (sum * 31 + u64::from(*byte)) % 1_000_003)
}

/// Whoever may gives away a file; nobody else can.
fn give_away(path: &Path) {
    if is_root() {
        std::os::unix::fs::lchown(path, Some(1234), Some(4321)).expect("root may");
    }
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|of| of.uid() == 0)
}

fn furnish(root: &Path) {
    fs::create_dir_all(root.join("a/b")).expect("the folder is ours");
    fs::write(root.join("a/b/text"), "hello\n").expect("writable");
    fs::set_permissions(root.join("a/b/text"), Permissions::from_mode(0o640)).expect("ours");
    give_away(&root.join("a/b/text"));
    fs::write(root.join("empty"), "").expect("writable");
    let bytes: Vec<u8> =
        (0..3_500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    fs::write(root.join("large"), bytes).expect("writable");
    fs::hard_link(root.join("large"), root.join("a/same")).expect("one file system");
    let mut sparse = File::create(root.join("sparse")).expect("writable");
    sparse.set_len(64 << 20).expect("a hole takes no room");
    sparse.write_all(b"begin").expect("writable");
    symlink("../nowhere", root.join("a/link")).expect("writable");
    give_away(&root.join("a/link"));
    fs::write(root.join(OsStr::from_bytes(b"odd \xff\nname")), "odd").expect("writable");
    fs::set_permissions(root.join("a/b"), Permissions::from_mode(0o2770)).expect("ours");
    give_away(&root.join("a/b"));
    fs::set_permissions(root.join("a/b"), Permissions::from_mode(0o2770)).expect("ours");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for path in ["a", "empty", "."] {
        let opened = File::open(root.join(path)).expect("readable");
        opened.set_times(FileTimes::new().set_modified(long_ago)).expect("ours");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_at_the_other_place_as_it_was_with_owners_modes_times_and_holes() {
    let world = World::start().await;
    let (from, to) = (world.folder.path().join("from"), world.folder.path().join("to"));
    fs::create_dir_all(&from).expect("the folder is ours");
    fs::create_dir_all(to.join("left/over")).expect("the folder is ours");
    furnish(&from);
    let relay = world.relays.open("there".to_owned(), "here".to_owned());
    let (out, into) = (copy(&world, "out", "there", &from), copy(&world, "in", "here", &to));
    let (out, into) = tokio::join!(ended(out), ended(into));
    assert!(out.status.success() && into.status.success(), "{out:?} {into:?}");
    assert_eq!(seen(&to), seen(&from));
    let blocks = |root: &Path| fs::metadata(root.join("sparse")).expect("it is there").blocks();
    assert!(blocks(&to) <= blocks(&from).max(256), "the hole is a hole");
    let passed = relay.passed();
    let whole = passed.outcome.expect("it is over").expect("both say the same");
    assert_eq!(whole.bytes, passed.bytes);
    let of = passed.of.expect("it was counted");
    assert!(of.abs_diff(passed.bytes) < 64 << 10, "{of} were foretold, {} came", passed.bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_without_a_token_that_is_known_ends_and_says_why() {
    let world = World::start().await;
    let folder = world.folder.path().join("from");
    fs::create_dir_all(&folder).expect("the folder is ours");
    let ended = ended(copy(&world, "out", "unknown", &folder)).await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("does not accept the token"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_kept_is_told_to_warren() {
    let world = World::start().await;
    let (from, to) = (world.folder.path().join("from"), world.folder.path().join("missing"));
    fs::create_dir_all(&from).expect("the folder is ours");
    let relay = world.relays.open("there".to_owned(), "here".to_owned());
    let ended = ended(copy(&world, "in", "here", &to)).await;
    assert!(!ended.status.success());
    let outcome = relay.passed().outcome.expect("it is over");
    let problem = outcome.expect_err("there is no such folder");
    assert!(problem.contains("missing"), "{problem}");
}
