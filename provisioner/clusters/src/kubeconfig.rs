use crate::{Authority, ClientCertificate};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use secrecy::SecretString;

/// A kubeconfig file, as YAML, for one API server and one client certificate. It holds the private
/// key.
///
/// `server` is the address as the reader of the file reaches it, e.g. `https://10.79.1.2:443`;
/// `tls_server_name` the name to verify when it is not in the address, e.g. behind a forwarded port.
#[must_use]
pub fn kubeconfig(
    name: &str,
    server: &str,
    tls_server_name: Option<&str>,
    authority: &Authority,
    user: &str,
    certificate: &ClientCertificate,
) -> SecretString {
    let mut cluster = serde_json::json!({
        "server": server,
        "certificate-authority-data": STANDARD.encode(authority.certificate()),
    });
    if let Some(tls_server_name) = tls_server_name {
        cluster["tls-server-name"] = tls_server_name.into();
    }
    let file = serde_json::json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": name, "cluster": cluster }],
        "users": [{ "name": user, "user": {
            "client-certificate-data": STANDARD.encode(&certificate.certificate),
            "client-key-data": STANDARD.encode(certificate.expose_key()),
        }}],
        "contexts": [{ "name": name, "context": { "cluster": name, "user": user } }],
        "current-context": name,
    });
    // JSON is YAML (YAML 1.2, section 1.3), and kubectl reads it.
    SecretString::from(format!("{file:#}"))
}
