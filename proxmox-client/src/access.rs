use crate::{Client, Error, form::Form, request::Request, scalar::Scalar};
use std::collections::{BTreeMap, BTreeSet};

/// The rights of the token: which privileges on which paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Permissions(BTreeMap<String, BTreeSet<String>>);

impl Permissions {
    /// Whether the privilege is there on exactly this path.
    #[must_use]
    pub fn has(&self, path: &str, privilege: &str) -> bool {
        self.on(path).any(|other| other == privilege)
    }

    /// The privileges on a path.
    pub fn on(&self, path: &str) -> impl Iterator<Item = &str> {
        self.0.get(path).into_iter().flatten().map(String::as_str)
    }

    /// The paths that anything is known of.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Client {
    /// The token's own rights: `GET /access/permissions`. Without a path, those on every path
    /// that somebody was given rights on.
    ///
    /// # Errors
    /// If it cannot be asked.
    pub async fn permissions(&self, path: Option<&str>) -> Result<Permissions, Error> {
        let mut form = Form::new();
        if let Some(path) = path {
            form.set("path", path);
        }
        let request = Request::get("/access/permissions".to_owned()).with(form);
        // The value says whether the right reaches further down; that it is listed says that it is there.
        let answer: Option<BTreeMap<String, Option<BTreeMap<String, Scalar>>>> =
            self.fetch(request).await?;
        let privileges = |found: Option<BTreeMap<String, Scalar>>| {
            found.unwrap_or_default().into_keys().collect::<BTreeSet<_>>()
        };
        let paths = answer.unwrap_or_default().into_iter();
        Ok(Permissions(paths.map(|(path, found)| (path, privileges(found))).collect()))
    }
}
