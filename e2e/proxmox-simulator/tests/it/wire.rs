//! Section 1.1 of the facts: the wire.

use serde_json::json;
use tokio::time::{Duration, Instant};

use crate::asking::{Asking, ROOT, cluster, read, say};

fn login() -> String {
    format!("Host: x\r\nAuthorization: PVEAPIToken={ROOT}\r\n")
}

#[tokio::test(start_paused = true)]
async fn an_answer_is_data_below_a_key() {
    let simulator = cluster().await;
    let answer = Asking::root(&simulator).get("/version").await;
    assert_eq!(answer.data()["release"], "9.2");
    assert!(!answer.closes());
    let answer = Asking::root(&simulator).put("/nodes/pve1/qemu/9000/config", "cores=4").await;
    assert_eq!(answer.text, r#"{"data":null}"#);
}

#[tokio::test(start_paused = true)]
async fn a_connection_serves_a_hundred_requests_and_no_more() {
    let simulator = cluster().await;
    let mut stream = simulator.connect("pve1");
    let request = format!("GET /api2/json/version HTTP/1.1\r\n{}\r\n", login());
    for number in 1..=100 {
        let answer = say(&mut stream, &request).await;
        assert_eq!((answer.status, answer.closes()), (200, number == 100), "{number}");
    }
    assert_eq!(say(&mut stream, &request).await.status, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_ends_after_five_seconds() {
    let simulator = cluster().await;
    let mut stream = simulator.connect("pve1");
    let began = Instant::now();
    assert_eq!(read(&mut stream).await.status, 0);
    assert_eq!(began.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn every_error_closes_the_connection() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    for path in ["/nodes/pve1/qemu/100/config", "/nothing", "/cluster/nextid?vmid=1"] {
        let answer = asking.get(path).await;
        assert!(answer.status >= 400 && answer.closes(), "{path}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn other_methods_and_unknown_paths_are_501() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    for method in ["PATCH", "HEAD", "OPTIONS"] {
        assert_eq!(asking.send(method, "/version", "", "").await.status, 501, "{method}");
    }
    let answer = asking.get("/nodes/pve1/other").await;
    assert_eq!(answer.status, 501);
    assert_eq!(answer.reason, "Method 'GET /nodes/pve1/other' not implemented");
    assert_eq!(answer.body["message"], answer.reason.as_str());
    let answer = asking.post("/version", "a=1").await;
    assert_eq!(answer.reason, "Method 'POST /version' not implemented");
}

#[tokio::test(start_paused = true)]
async fn chunked_bodies_are_501() {
    let simulator = cluster().await;
    let mut stream = simulator.connect("pve1");
    let request = format!(
        "POST /api2/json/pools HTTP/1.1\r\n{}Transfer-Encoding: chunked\r\n\r\n8\r\npoolid=a\r\n0\r\n\r\n",
        login()
    );
    assert_eq!(say(&mut stream, &request).await.status, 501);
}

#[tokio::test(start_paused = true)]
async fn bodies_of_delete_and_get_are_501() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let form = "application/x-www-form-urlencoded";
    for method in ["DELETE", "GET"] {
        let answer = asking.send(method, "/nodes/pve1/qemu/9000", form, "purge=1").await;
        assert_eq!(answer.reason, format!("Unexpected content for method '{method}'"));
        assert_eq!(answer.status, 501);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_more_than_half_a_mebibyte_is_501() {
    let simulator = cluster().await;
    let mut stream = simulator.connect("pve1");
    let request = format!(
        "POST /api2/json/pools HTTP/1.1\r\n{}Content-Length: {}\r\n\r\n",
        login(),
        512 * 1024 + 1
    );
    assert_eq!(say(&mut stream, &request).await.status, 501);
}

#[tokio::test(start_paused = true)]
async fn another_content_type_or_version_is_506() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    assert_eq!(asking.send("POST", "/pools", "text/plain", "poolid=a").await.status, 506);
    let mut stream = simulator.connect("pve1");
    assert_eq!(say(&mut stream, "GET / HTTP/2.0\r\n\r\n").await.status, 506);
}

#[tokio::test(start_paused = true)]
async fn a_json_body_may_say_true_and_a_form_may_not() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let path = "/nodes/pve1/qemu/9000/config";
    let answer = asking.put(path, "onboot=true").await;
    assert_eq!(answer.error("onboot"), "type check ('boolean') failed - got 'true'");
    let body = json!({"onboot": true, "cores": 3}).to_string();
    assert_eq!(asking.send("PUT", path, "application/json", &body).await.status, 200);
    let config = asking.get(path).await;
    assert_eq!(config.data()["onboot"], json!(1));
    assert_eq!(config.data()["cores"], json!(3));
    assert_eq!(asking.put(path, "onboot=0").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_form_that_is_not_encoded_is_misread() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let path = "/nodes/pve1/qemu/9000/config";
    let answer = asking.put(path, "tags=a;b").await;
    assert!(answer.error("b").starts_with("property is not defined in schema"));
    let answer = asking.put(path, "ipconfig0=ip=10.0.0.5/24").await;
    assert!(answer.error("ipconfig0").contains("ipconfig0.ip"));
    assert_eq!(asking.put(path, "tags=b%3Ba%3Ba").await.status, 200);
    assert_eq!(asking.get(path).await.data()["tags"], "a;b");
}

#[tokio::test(start_paused = true)]
async fn the_query_wins_and_the_path_may_not_be_contradicted() {
    let simulator = cluster().await;
    let asking = Asking::root(&simulator);
    let path = "/nodes/pve1/qemu/9000/config";
    assert_eq!(asking.put(&format!("{path}?cores=5"), "cores=3").await.status, 200);
    assert_eq!(asking.get(path).await.data()["cores"], json!(5));
    let answer = asking.put(path, "node=pve2&cores=1").await;
    assert!(answer.error("node").starts_with("duplicate parameter"));
    assert_eq!(asking.put(path, "node=pve1&vmid=9000&cores=1").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn keys_come_in_another_order_each_time() {
    let simulator = cluster().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..20 {
        seen.insert(Asking::root(&simulator).get("/version").await.text);
    }
    assert!(seen.len() > 1);
}

#[tokio::test(start_paused = true)]
async fn a_login_that_is_missing_or_wrong_is_told_after_three_seconds() {
    let simulator = cluster().await;
    let wrong = "root@pam!test=other";
    let missing = "root@pam!other=secret";
    for (token, reason) in
        [("", "No ticket"), (wrong, "Authentication failed!"), (missing, "Authentication failed!")]
    {
        let began = Instant::now();
        let answer = Asking::with_token(&simulator, token).get("/version").await;
        assert_eq!((answer.status, answer.reason.as_str()), (401, reason));
        assert_eq!(answer.text, "");
        assert!(answer.closes());
        assert!(began.elapsed() >= Duration::from_secs(3));
    }
    let answer = Asking::with_token(&simulator, "")
        .post("/access/ticket", "username=root%40pam&password=wrong")
        .await;
    assert_eq!((answer.status, answer.reason.as_str()), (401, "authentication failure"));
}

#[tokio::test(start_paused = true)]
async fn a_ticket_needs_its_guard_to_change_something_and_lives_two_hours() {
    let simulator = cluster().await;
    let form = "username=root%40pam&password=secret";
    let answer = Asking::with_token(&simulator, "").post("/access/ticket", form).await;
    let ticket = answer.data()["ticket"].as_str().expect("a ticket").replace(':', "%3A");
    let guard = answer.data()["CSRFPreventionToken"].as_str().expect("a guard").to_owned();
    assert_eq!(answer.data()["username"], "root@pam");
    assert!(answer.data()["cap"]["vms"]["VM.Audit"].is_number());
    let ask = async |method: &str, guard: &str| {
        let mut stream = simulator.connect("pve1");
        let path = if method == "GET" { "version" } else { "pools?poolid=a" };
        let head = format!(
            "{method} /api2/json/{path} HTTP/1.1\r\nCookie: PVEAuthCookie={ticket}\r\n{guard}\r\n"
        );
        say(&mut stream, &head).await
    };
    assert_eq!(ask("GET", "").await.status, 200);
    assert_eq!(ask("POST", "").await.status, 401);
    assert_eq!(ask("POST", &format!("CSRFPreventionToken: {guard}\r\n")).await.status, 200);
    tokio::time::sleep(Duration::from_hours(2)).await;
    assert_eq!(ask("GET", "").await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn a_ticket_is_renewed_by_itself_and_goes_before_a_token() {
    let simulator = cluster().await;
    let nobody = Asking::with_token(&simulator, "");
    let form = "username=root%40pam&password=secret";
    let first = nobody.post("/access/ticket", form).await.data()["ticket"].clone();
    let first = first.as_str().expect("a ticket").replace(':', "%3A").replace('@', "%40");
    let form = format!("username=root&realm=pam&password={first}");
    assert!(nobody.post("/access/ticket", &form).await.data()["ticket"].is_string());
    let mut stream = simulator.connect("pve1");
    let head = format!(
        "GET /api2/json/version HTTP/1.1\r\nCookie: PVEAuthCookie=PVE:wrong\r\n{}\r\n",
        login()
    );
    assert_eq!(say(&mut stream, &head).await.status, 401);
}

#[tokio::test(start_paused = true)]
async fn time_may_stand_still_over_sockets_too() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let simulator = cluster().await;
    let began = Instant::now();
    for _ in 0..50 {
        let mut stream = tokio::net::TcpStream::connect(simulator.addresses()["pve1"])
            .await
            .expect("it listens");
        let request =
            format!("GET /api2/json/version HTTP/1.1\r\n{}Connection: close\r\n\r\n", login());
        stream.write_all(request.as_bytes()).await.expect("is sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("is text");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn the_other_format_always_answers_200() {
    let simulator = cluster().await;
    let mut stream = simulator.connect("pve1");
    let request = format!("GET /api2/extjs/nodes/pve1/qemu/100/config HTTP/1.1\r\n{}\r\n", login());
    let answer = say(&mut stream, &request).await;
    assert_eq!((answer.status, &answer.body["success"]), (200, &json!(0)));
    assert_eq!(answer.body["status"], json!(500));
}
