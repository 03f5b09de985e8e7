//! The portal, as somebody uses it whose browser runs no scripts: from the operator's link to a tenant's end.

use anyhow::{Context, Result, ensure};
use black_box::{Lab, kubectl_in, run, until};
use reqwest::{
    Method,
    blocking::{Client, Response},
    header::{COOKIE, SET_COOKIE},
    redirect::Policy,
};
use std::time::Duration;

/// How long something may take.
const PATIENCE: Duration = Duration::from_mins(3);
const EMAIL: &str = "operator@portal.test";
const PASSWORD: &str = "a password of the tests";

/// A browser: it keeps cookies, and shows pages.
struct Browser {
    base: String,
    client: Client,
    cookies: Vec<(String, String)>,
}

struct Page {
    status: u16,
    /// Where it leads; empty if it is a page.
    next: String,
    text: String,
}

impl Browser {
    fn new(lab: &Lab) -> Result<Self> {
        let client = Client::builder().redirect(Policy::none()).no_proxy().timeout(PATIENCE);
        Ok(Self { base: lab.api_url.clone(), client: client.build()?, cookies: Vec::new() })
    }

    fn send(&mut self, method: Method, path: &str, form: &[(&str, &str)]) -> Result<Response> {
        let pairs = self.cookies.iter().map(|(name, value)| format!("{name}={value}"));
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.base))
            .header(COOKIE, pairs.collect::<Vec<_>>().join("; "))
            .header("sec-fetch-site", "same-origin");
        if !form.is_empty() {
            request = request.form(form);
        }
        let response = request.send().with_context(|| path.to_owned())?;
        for set in response.headers().get_all(SET_COOKIE) {
            let (name, value) = set.to_str()?.split_once('=').context("a cookie")?;
            let value = value.split(';').next().unwrap_or_default().to_owned();
            self.cookies.retain(|(known, _)| known != name);
            self.cookies.push((name.to_owned(), value));
        }
        Ok(response)
    }

    fn page(&mut self, method: Method, path: &str, form: &[(&str, &str)]) -> Result<Page> {
        let response = self.send(method, path, form)?;
        let status = response.status().as_u16();
        let next = response.headers().get("location");
        let next = next.map(|next| next.to_str().map(str::to_owned)).transpose()?;
        Ok(Page { status, next: next.unwrap_or_default(), text: response.text()? })
    }

    fn get(&mut self, path: &str) -> Result<Page> {
        self.page(Method::GET, path, &[])
    }

    /// Sends a form that is taken: where it leads.
    fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Result<String> {
        let Page { status, next, text } = self.page(Method::POST, path, form)?;
        ensure!(status == 303, "{path}: {status} {text}");
        Ok(next)
    }

    /// Reloads a page until it says something.
    fn until(&mut self, path: &str, says: impl Fn(&Page) -> bool) -> Result<Page> {
        let what = format!("{path} to say what is waited for");
        until(&what, PATIENCE.as_secs(), || {
            let page = self.get(path)?;
            Ok(if says(&page) { Ok(page) } else { Err(format!("{} {}", page.status, page.text)) })
        })
    }

    /// An operator: makes the account with the link, or signs in if an earlier run made it.
    fn operator(lab: &Lab) -> Result<Self> {
        let mut browser = Self::new(lab)?;
        let link = std::fs::read_to_string(&lab.link_file).context("read the operator's link")?;
        let path = link.trim().find("/join").map(|at| &link.trim()[at..]);
        browser.follow(path.context("a link")?, EMAIL, "Oscar")?;
        Ok(browser)
    }

    /// Follows an invite with a new account; one that was used leads to signing in.
    fn follow(&mut self, path: &str, email: &str, name: &str) -> Result<()> {
        ensure!(self.get(path)?.next == "/join", "the code leaves the address");
        let account = [("email", email), ("name", name), ("password", PASSWORD)];
        let path = if self.get("/join")?.status == 200 { "/join" } else { "/sign-in" };
        ensure!(self.post(path, &account)? == "/", "{email} is in");
        Ok(())
    }
}

/// What stands between two texts, the first time.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Result<&'a str> {
    let rest = text.split_once(before).with_context(|| format!("{before} in {text}"))?.1;
    Ok(rest.split_once(after).with_context(|| format!("{after} in {rest}"))?.0)
}

#[test]
fn somebody_is_invited_makes_a_tenant_runs_a_session_and_deletes_all_of_it() -> Result<()> {
    let Some(lab) = Lab::running() else { return Ok(()) };
    let mark = std::process::id().to_string();
    let (organisation, tenant) = (format!("org-{mark}"), format!("portal-{mark}"));
    let mut operator = Browser::operator(&lab)?;
    let form = [("name", organisation.as_str()), ("max_tenants", "1")];
    let place = operator.post("/organisations", &form)?;
    let form = [("role", "owner"), ("note", "Anna")];
    let made = operator.page(Method::POST, &format!("{place}/invites"), &form)?;
    let code = between(&made.text, "/join?code=", "<")?;

    let mut anna = Browser::new(&lab)?;
    anna.follow(&format!("/join?code={code}"), &format!("anna-{mark}@portal.test"), "Anna")?;
    let choice = format!("name={tenant}&plan=starter&step=review");
    let review = anna.get(&format!("/tenants/new?{choice}"))?;
    ensure!(review.text.contains(&format!("warren tenant create {tenant}")), "{}", review.text);
    let key = between(&review.text, "name=\"key\" value=\"", "\"")?;
    let form = [("name", tenant.as_str()), ("plan", "starter"), ("nodes", ""), ("key", key)];
    let home = anna.post("/tenants", &form)?;
    ensure!(anna.post("/tenants", &form)? == home, "a second click makes nothing");
    let second = [("name", "one-more"), ("plan", "starter")];
    let refused = anna.page(Method::POST, "/tenants", &second)?;
    ensure!(refused.text.contains("may have 1 tenants"), "{} {}", refused.status, refused.text);
    anna.until(&home, |page| page.text.contains("<title>Ready"))?;

    let file = anna.get(&format!("{home}/kubeconfig"))?;
    let folder = tempfile::tempdir()?;
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, &file.text)?;
    let mut kubectl = kubectl_in(&lab.control_namespace, &lab.kubectl, &kubeconfig);
    let seen = run(kubectl.args(["get", "namespaces", "-o", "name"]), "")?.success()?;
    ensure!(seen.contains("namespace/default"), "{seen}");

    let line = "echo 'a <b>line</b>'; echo '{\"sum\": 3}' > $WARREN_OUTPUT_DIR/result.json";
    let command = format!("/bin/sh\n-c\n{line}");
    let form = [("image", lab.image("busybox")), ("command", command.as_str())];
    let session = anna.post(&format!("{home}/sessions"), &form)?;
    let over = anna.until(&session, |page| page.text.contains("Succeeded"))?;
    ensure!(over.text.contains("a &#60;b&#62;line"), "{}", over.text);
    ensure!(anna.get(&format!("{session}/log.txt"))?.text.contains("a <b>line</b>"), "the log");
    ensure!(anna.get(&format!("{session}/result.json"))?.text.contains("\"sum\""), "the result");

    let typo = anna.page(Method::POST, &format!("{home}/delete"), &[("confirm", "x")])?;
    ensure!(typo.status == 422, "{}", typo.text);
    anna.post(&format!("{home}/delete"), &[("confirm", &tenant)])?;
    anna.until(&home, |page| page.status == 404)?;
    ensure!(anna.post("/sign-out", &[("x", "x")])?.starts_with("/sign-in"), "she is out");
    ensure!(anna.get("/")?.status == 303, "and stays out");
    Ok(())
}
