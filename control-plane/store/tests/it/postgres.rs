//! One PostgreSQL server per test process, which ends with the process, however that ends.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

/// Makes a cluster, starts it, says where, and takes it away when its input ends.
const SCRIPT: &str = r#"
dir=$(mktemp -d /tmp/warren-store-XXXXXX) || exit 1
trap '"$1/pg_ctl" -D "$dir/data" -m immediate stop >/dev/null 2>&1; rm -rf "$dir"' EXIT
{
    "$1/initdb" -D "$dir/data" -U warren -A trust -E UTF8 --no-locale --no-sync &&
    "$1/pg_ctl" -D "$dir/data" -l "$dir/log" -w -o "-c listen_addresses= -k $dir -c fsync=off -c max_connections=400" start
} >"$dir/out" 2>&1 || { cat "$dir/out" "$dir/log" >&2; exit 1; }
echo "$dir"
cat >/dev/null
"#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Server {
    socket: String,
    databases: AtomicU32,
    /// Kept open: its end is the end of the server.
    _life: ChildStdin,
    _child: Child,
}

impl Server {
    /// The server of this process; nothing if PostgreSQL is not installed and not required.
    pub(crate) fn get() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<Server>> = OnceLock::new();
        SERVER.get_or_init(Self::start).as_ref()
    }

    /// The URL of a new, empty database.
    pub(crate) async fn database(&self) -> String {
        use sea_orm::{ConnectOptions, ConnectionTrait, Database};
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let mut options = ConnectOptions::new(self.url("postgres"));
        options.max_connections(1).sqlx_logging(false);
        let admin = Database::connect(options).await.expect("the server answers");
        let create = format!("CREATE DATABASE {name}");
        admin.execute_unprepared(&create).await.expect("the database is new");
        admin.close().await.expect("the connection can be ended");
        self.url(&name)
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://warren@localhost/{database}?host={}", self.socket)
    }

    fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            let is_required =
                std::env::var_os("WARREN_TEST_POSTGRES").is_some_and(|value| value == "required");
            assert!(!is_required, "WARREN_TEST_POSTGRES=required, but there is no initdb");
            // Past the test harness, which would swallow it.
            let mut out = io::stderr().lock();
            writeln!(out, "skipped: no PostgreSQL under /usr/lib/postgresql").expect("stderr");
            return None;
        };
        Some(Self::start_with(&programs))
    }

    fn start_with(programs: &Path) -> Self {
        let mut command = unprivileged();
        command.args(["sh", "-c", SCRIPT, "sh"]).arg(programs);
        command.current_dir("/").process_group(0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("sh and setpriv are there");
        let life = child.stdin.take().expect("it is piped");
        let mut socket = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("it is piped"));
        out.read_line(&mut socket).expect("the script speaks text");
        let socket = socket.trim().to_owned();
        let mut error = String::new();
        if socket.is_empty() {
            let mut stderr = child.stderr.take().expect("it is piped");
            stderr.read_to_string(&mut error).expect("PostgreSQL speaks text");
        }
        assert!(!socket.is_empty(), "PostgreSQL does not start: {error}");
        Self { socket, databases: AtomicU32::new(0), _life: life, _child: child }
    }
}

/// The folder of the newest installed server.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.filter_map(|entry| Some(entry.ok()?.path().join("bin")));
    folders.filter(|folder| folder.join("initdb").exists()).max()
}

/// PostgreSQL refuses to run as root.
fn unprivileged() -> Command {
    if !rustix::process::getuid().is_root() {
        return Command::new("env");
    }
    let users = fs::read_to_string(Path::new("/etc/passwd")).expect("there are users");
    let has_own = users.lines().any(|line| line.starts_with("postgres:"));
    let (user, group) = if has_own { ("postgres", "postgres") } else { ("nobody", "nogroup") };
    let mut command = Command::new("setpriv");
    command.args(["--reuid", user, "--regid", group, "--clear-groups", "--"]);
    command
}
