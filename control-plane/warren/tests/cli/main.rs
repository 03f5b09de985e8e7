//! The command line as its users meet it: the real program against a server that gives the API's
//! answers. What the server itself does is tested with the server.
#![expect(clippy::unwrap_used, reason = "what a test sets up works, or the test has failed")]

mod batches;
mod errors;
mod forms;
mod logs;
mod reruns;
mod server;
mod uploads;
mod waiting;

use std::{
    path::Path,
    process::{Output, Stdio},
};
use tokio::process::Command;

const TOKEN: &str = "wrn_a-token-that-nobody-may-read-in-an-output";

/// How the program ended and what it wrote.
#[derive(Debug)]
struct Ended {
    code: i32,
    stdout: String,
    stderr: String,
}

/// Runs the program against `url` with a token, an empty environment and no terminal.
async fn warren(url: &str, arguments: &[&str]) -> Ended {
    warren_in(Path::new("/"), url, arguments).await
}

async fn warren_in(folder: &Path, url: &str, arguments: &[&str]) -> Ended {
    let output = Command::new(env!("CARGO_BIN_EXE_warren"))
        .args(arguments)
        .env_clear()
        .env("WARREN_URL", url)
        .env("WARREN_TOKEN", TOKEN)
        .env("FROM_OUTSIDE", "kept out of the argument list")
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the program starts");
    let Output { status, stdout, stderr } = output;
    let text = |bytes| String::from_utf8(bytes).expect("it writes UTF-8");
    let ended = Ended {
        code: status.code().expect("it ends by itself"),
        stdout: text(stdout),
        stderr: text(stderr),
    };
    assert!(!ended.stdout.contains(TOKEN) && !ended.stderr.contains(TOKEN), "{ended:?}");
    ended
}
