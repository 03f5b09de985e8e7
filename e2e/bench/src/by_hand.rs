//! A tenant's objects as Warren rendered them, under another name: what somebody would apply by hand.

use anyhow::{Context, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use black_box::{Lab, TestTenant, kubectl_in, run};
use serde_json::{Value, json};
use std::{
    path::{Path, PathBuf},
    process::Command,
};

const KINDS: &str = "serviceaccounts,rolebindings,resourcequotas,limitranges,networkpolicies,secrets,services,statefulsets";
/// What vCluster's own Secret holds before the first start: authorities only.
const AUTHORITY_FILES: [&str; 8] = [
    "ca.crt",
    "ca.key",
    "etcd-ca.crt",
    "etcd-ca.key",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "sa.key",
    "sa.pub",
];

/// The objects of one tenant as a template, and its certificate authority.
#[derive(Clone)]
pub(crate) struct Template {
    cluster: String,
    objects: Vec<Value>,
    authority: Value,
}

/// A virtual cluster that was made by hand.
pub(crate) struct HandMade {
    lab: Lab,
    namespace: String,
}

impl Template {
    /// Takes the objects of a tenant from the host.
    fn of(tenant: &TestTenant) -> Result<Self> {
        let lab = &tenant.lab;
        let (cluster, namespace) = (tenant.cluster()?, tenant.host_namespace()?);
        let selector = format!("app.kubernetes.io/managed-by=warren,warren.dev/cluster={cluster}");
        let own = lab.kubectl(&["get", "namespace", &namespace, "-o", "json"])?.success()?;
        let rest = lab
            .kubectl(&["-n", &namespace, "get", KINDS, "-l", &selector, "-o", "json"])?
            .success()?;
        let rest: Value = serde_json::from_str(&rest)?;
        let mut objects = vec![serde_json::from_str::<Value>(&own)?];
        objects.extend(rest["items"].as_array().cloned().context("items")?);
        let mut authority = Value::Null;
        for object in &mut objects {
            strip(object);
            if object["kind"] == "Secret"
                && object["metadata"]["name"] == format!("{cluster}-certs")
            {
                let data = object["data"].as_object_mut().context("data")?;
                data.retain(|name, _| AUTHORITY_FILES.contains(&name.as_str()));
                authority = object["data"].clone();
            }
        }
        ensure!(authority.is_object(), "the tenant's authority is among its objects");
        Ok(Self { cluster, objects, authority })
    }

    /// That of a tenant which is made for it and deleted again.
    pub(crate) fn made(lab: &Lab, name: &str) -> Result<Self> {
        let tenant = TestTenant::ready(lab, name)?;
        let template = Self::of(&tenant)?;
        tenant.removed(120)?;
        Ok(template)
    }

    /// The same with every object changed.
    pub(crate) fn changed(&self, change: impl Fn(&mut Value)) -> Self {
        let mut changed = self.clone();
        changed.objects.iter_mut().for_each(change);
        changed
    }

    /// Applies the objects under a new name; returns what to clean up and a kubeconfig for it, made
    /// before the clock starts. `start` is called right before the first request.
    pub(crate) fn apply(
        &self,
        lab: &Lab,
        number: usize,
        folder: &Path,
    ) -> Result<(HandMade, f64, PathBuf)> {
        let name = format!("w{:0>12}", format!("hand{number}{}", std::process::id() % 10_000));
        let text = self.renamed(&name)?;
        let (certificate, key) = self.mint(folder)?;
        let kubeconfig = folder.join(format!("{name}.kubeconfig"));
        let namespace = format!("warren-{name}");
        let made = HandMade { lab: lab.clone(), namespace: namespace.clone() };
        let start = crate::probe::now();
        let mut apply = kubectl_in(&lab.control_namespace, &lab.kubectl, &lab.kubeconfig);
        apply.args(["apply", "--server-side", "--field-manager=hand", "-f", "-"]);
        run(&mut apply, &text)?.success()?;
        let address = lab
            .kubectl(&[
                "-n",
                &namespace,
                "get",
                "service",
                &name,
                "-o",
                "jsonpath={.spec.clusterIP}",
            ])?
            .success()?;
        let authority = self.authority["ca.crt"].as_str().context("ca.crt")?;
        let config = json!({"clusters": [{"name": "c", "cluster": {"server": format!("https://{address}:443"),
            "certificate-authority-data": authority}}],
            "users": [{"name": "u", "user": {"client-certificate-data": certificate, "client-key-data": key}}]});
        std::fs::write(&kubeconfig, config.to_string())?;
        Ok((made, start, kubeconfig))
    }

    fn renamed(&self, name: &str) -> Result<String> {
        let mut objects = self.objects.clone();
        for object in &mut objects {
            if let Some(config) = object["data"]["config.yaml"].as_str() {
                let text = String::from_utf8(BASE64_STANDARD.decode(config)?)?
                    .replace(&self.cluster, name);
                object["data"]["config.yaml"] = json!(BASE64_STANDARD.encode(text));
            }
            // A copy is not Warren's: otherwise it would be looked after.
            if let Some(labels) =
                object.pointer_mut("/metadata/labels").and_then(Value::as_object_mut)
            {
                labels.remove("app.kubernetes.io/managed-by");
            }
        }
        let list = json!({"apiVersion": "v1", "kind": "List", "items": objects});
        Ok(list.to_string().replace(&self.cluster, name))
    }

    /// A client certificate by `openssl`, as somebody without Warren would make it.
    fn mint(&self, folder: &Path) -> Result<(String, String)> {
        for file in ["ca.crt", "ca.key"] {
            let bytes = BASE64_STANDARD
                .decode(self.authority[file].as_str().context("an authority file")?)?;
            std::fs::write(folder.join(file), bytes)?;
        }
        let openssl = |arguments: &[&str]| -> Result<String> {
            run(Command::new("openssl").args(arguments).current_dir(folder), "")?.success()
        };
        openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "client.key"])?;
        openssl(&[
            "req",
            "-new",
            "-key",
            "client.key",
            "-subj",
            "/O=system:masters/CN=hand",
            "-out",
            "client.csr",
        ])?;
        // Extensions make it a certificate of version 3: older ones are refused by strict readers.
        std::fs::write(folder.join("extensions"), "extendedKeyUsage = clientAuth\n")?;
        let sign = "x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 1 -extfile extensions -out client.crt";
        openssl(&sign.split(' ').collect::<Vec<_>>())?;
        let read =
            |file: &str| anyhow::Ok(BASE64_STANDARD.encode(std::fs::read(folder.join(file))?));
        Ok((read("client.crt")?, read("client.key")?))
    }
}

impl Drop for HandMade {
    fn drop(&mut self) {
        // Waits: the next run must not share the machine with this one's end.
        let _ = self.lab.kubectl(&[
            "delete",
            "namespace",
            &self.namespace,
            "--wait=true",
            "--timeout=90s",
        ]);
    }
}

fn strip(object: &mut Value) {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
    }
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        for field in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "managedFields",
            "generation",
            "ownerReferences",
            "selfLink",
        ] {
            metadata.remove(field);
        }
    }
    let kind = object["kind"].as_str().unwrap_or_default().to_owned();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        match kind.as_str() {
            "Service" if spec.get("clusterIP") != Some(&json!("None")) => {
                spec.retain(|field, _| !["clusterIP", "clusterIPs"].contains(&field.as_str()));
            }
            "Namespace" => {
                spec.remove("finalizers");
            }
            _ => {}
        }
    }
}
