use crate::server::Home;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, StatusCode};
use serde_json::Value;

/// A home whose server has a certificate, and a client that trusts it.
fn certified(plaintext: &str) -> (Home, Client) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let mut home = Home::new();
    let file = |name: &str, text: String| {
        let path = home.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let (certificate, key) =
        (file("api.crt", cert.pem()), file("api.key", signing_key.serialize_pem()));
    home.section = format!(
        "[api.tls]\ncertificate_file = \"{certificate}\"\nkey_file = \"{key}\"\n{plaintext}\n"
    );
    let trusted = Certificate::from_pem(cert.pem().as_bytes()).unwrap();
    (home, Client::builder().no_proxy().tls_certs_only([trusted]).build().unwrap())
}

#[tokio::test]
async fn a_port_with_a_certificate_speaks_https_and_says_so_to_those_who_do_not() {
    let (home, client) = certified("");
    let server = home.start().await;
    let secure = server.api.replace("http://", "https://");
    let answer = client.get(format!("{secure}/livez")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let (status, said) = server.get("", "/livez").await;
    assert!(status == 400 && said.contains("HTTPS"), "{status} {said}");
}

#[tokio::test]
async fn both_are_served_where_that_is_wanted() {
    let (home, client) = certified("plaintext = \"served\"");
    let server = home.start().await;
    let secure = server.api.replace("http://", "https://");
    assert_eq!(server.get("", "/livez").await.0, 200);
    let answer = client.get(format!("{secure}/livez")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_key_that_does_not_belong_to_the_certificate_is_named() {
    let (home, _) = certified("");
    let other = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    std::fs::write(home.folder.path().join("api.key"), other.signing_key.serialize_pem()).unwrap();
    let ended = home.try_start("info").await.err().expect("it does not serve");
    assert!(!ended.status.success());
    let said = ended.said.join("\n");
    assert!(said.contains("api.tls.certificate_file with api.tls.key_file"), "{said}");
}

/// What client-go reads, whoever refuses.
#[tokio::test]
async fn whoever_is_refused_on_the_way_to_a_tenant_is_told_so_in_kubernetes_words() {
    let home = Home::new();
    let server = home.start().await;
    let token = server.token();
    server
        .warren(&token, home.folder.path(), &["tenant", "create", "acme", "--plan", "starter"])
        .await;
    for (token, path, code, reason, message) in [
        ("", "/k8s/acme/api", 401, "Unauthorized", "does not know this token"),
        ("wrn_no", "/k8s/acme/api", 401, "Unauthorized", "does not know this token"),
        (&*token, "/k8s/other/api", 404, "NotFound", "no such tenant"),
        (&*token, "/k8s/-/api", 404, "NotFound", "no such tenant"),
        (&*token, "/k8s/acme/api", 503, "ServiceUnavailable", "is not there yet"),
        (&*token, "/k8s/acme", 503, "ServiceUnavailable", "is not there yet"),
    ] {
        let (status, body) = server.get(token, path).await;
        let body: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((status, body["code"].as_u64()), (code, Some(code.into())), "{path}: {body}");
        assert_eq!((&body["kind"], &body["reason"]), (&"Status".into(), &reason.into()));
        assert!(body["message"].as_str().unwrap().contains(message), "{body}");
    }
}
