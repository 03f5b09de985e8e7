use crate::harness::{TestApp, request};
use axum::{body::Body, http::Method};

#[tokio::test]
async fn metrics_count_tenants_sessions_operations_and_requests() {
    let server = TestApp::new().await;
    let tenant = server.tenant("acme").await;
    server.session(&tenant).await;
    server.get("/api/v1/tenants/acme").await;
    server.get("/wp-login.php").await;
    let made_up = Method::from_bytes(b"BREW").expect("a method");
    server.call(request("none", made_up, "/livez").body(Body::empty())).await;
    let text = server.metrics().await;
    for line in [
        "warren_build_info{version=\"0.0.0-test\",commit=\"\"} 1",
        "warren_tenants{phase=\"pending\"} 1",
        "warren_tenants{phase=\"ready\"} 0",
        "warren_sessions{state=\"queued\"} 1",
        "warren_operations_in_flight{kind=\"tenant-create\"} 1",
        "warren_plan_batch_lines{state=\"waiting\"} 0",
        "warren_http_request_duration_seconds_count{route=\"/api/v1/tenants/{tenant}\",method=\"GET\",code=\"200\"} 1",
        "warren_http_request_duration_seconds_count{route=\"none\",method=\"GET\",code=\"404\"} 1",
        "warren_http_request_duration_seconds_count{route=\"/livez\",method=\"other\",code=\"405\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\nis not in\n{text}");
    }
    assert!(text.contains("process_resident_memory_bytes "), "{text}");
    assert_eq!(text.matches("# EOF").count(), 1);
    assert!(text.ends_with("# EOF\n"));

    server.make_ready(&tenant).await;
    let text = server.metrics().await;
    assert!(text.contains("warren_tenants{phase=\"ready\"} 1\n"), "{text}");
    assert!(text.contains("warren_operations_in_flight{kind=\"tenant-create\"} 0\n"), "{text}");
}
