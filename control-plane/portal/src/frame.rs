//! What is around every page: its title, where it is, and who looks at it.

use crate::{links::Url, person::Person, refusal::Refusal};
use application::tenant::may_create;
use askama::Template;
use axum::{
    http::{HeaderMap, Uri, header},
    response::{Html, IntoResponse as _, Response},
};
use domain::{ReadAudit, Tenant};
use std::error::Error;

/// The cookie that holds the choice between light and dark.
pub(crate) const THEME_COOKIE: &str = "theme";

/// How a person wants to see the portal, and where they are.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    /// Chosen by hand; otherwise as the system has it.
    pub(crate) theme: Theme,
    /// The page's own address, to come back to.
    pub(crate) here: String,
}

/// Light or dark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Theme {
    System,
    Light,
    Dark,
}

/// What the frame of a page shows.
#[derive(Debug)]
pub(crate) struct Frame {
    /// Of the window, without the product's name.
    pub(crate) title: String,
    pub(crate) crumbs: Vec<Crumb>,
    pub(crate) rail: Vec<Group>,
    /// Who is signed in.
    pub(crate) name: Option<String>,
    pub(crate) look: Look,
    /// Whether parts of the page change while it is looked at.
    pub(crate) is_live: bool,
}

/// One step of the way to a page; the page itself has no link.
#[derive(Debug)]
pub(crate) struct Crumb {
    pub(crate) label: String,
    pub(crate) url: Option<String>,
}

/// Links at the side that belong together.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) label: String,
    pub(crate) links: Vec<RailLink>,
}

/// A link at the side.
#[derive(Debug)]
pub(crate) struct RailLink {
    pub(crate) label: &'static str,
    pub(crate) url: String,
    pub(crate) is_current: bool,
}

/// Which part of a tenant's pages it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Overview,
    Sessions,
    Audit,
}

/// A page, or what went wrong when it was made.
pub(crate) fn html(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(error = &error as &dyn Error, "a page could not be made");
            Refusal::internal().into_response()
        }
    }
}

impl Look {
    pub(crate) fn of(headers: &HeaderMap, uri: &Uri) -> Self {
        let here = uri.path_and_query().map_or("/", |here| here.as_str()).to_owned();
        let theme = cookie(headers, THEME_COOKIE).map_or(Theme::System, Theme::of);
        Self { theme, here }
    }
}

impl Theme {
    pub(crate) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    pub(crate) fn of(text: &str) -> Self {
        Self::ALL.into_iter().find(|theme| theme.as_str() == text).unwrap_or(Self::System)
    }

    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

impl Frame {
    /// A page for somebody who is not signed in.
    pub(crate) fn public(title: impl Into<String>, look: Look) -> Self {
        let title = title.into();
        let crumbs = vec![Crumb { label: title.clone(), url: None }];
        Self { title, crumbs, rail: Vec::new(), name: None, look, is_live: false }
    }

    /// A page about the platform.
    pub(crate) fn platform(person: &Person, title: impl Into<String>) -> Self {
        let mut frame = Self::public(title, person.look.clone());
        frame.name = Some(person.name.clone());
        frame.rail.push(platform(person, &person.look.here));
        frame
    }

    /// A page about a tenant.
    pub(crate) fn tenant(
        person: &Person,
        tenant: &Tenant,
        section: Section,
        title: impl Into<String>,
    ) -> Self {
        let mut frame = Self::platform(person, title);
        let link = |label, url: Url<'_>, of| RailLink {
            label,
            url: url.to_string(),
            is_current: section == of,
        };
        let name = &tenant.name;
        let mut links = vec![
            link("Overview", Url::Tenant(name), Section::Overview),
            link("Sessions", Url::Sessions(name), Section::Sessions),
        ];
        if person.may::<ReadAudit>(tenant.scope()) {
            links.push(link("Audit log", Url::TenantAudit(name), Section::Audit));
        }
        frame.rail.insert(0, Group { label: name.to_string(), links });
        if frame.title != name.as_str() {
            frame = frame.below(name.as_str(), &Url::Tenant(name));
            frame.title = format!("{} · {name}", frame.title);
        }
        frame
    }

    /// The same page, one step further down: below the page `label`.
    pub(crate) fn below(mut self, label: &str, url: &Url<'_>) -> Self {
        let crumb = Crumb { label: label.to_owned(), url: Some(url.to_string()) };
        let last = self.crumbs.len().saturating_sub(1);
        self.crumbs.insert(last, crumb);
        self
    }

    /// The same page, of which parts change while it is looked at.
    pub(crate) fn live(mut self) -> Self {
        self.is_live = true;
        self
    }
}

fn platform(person: &Person, here: &str) -> Group {
    let path = here.split('?').next().unwrap_or_default();
    let link = |label, url: Url<'_>| {
        let url = url.to_string();
        RailLink { label, is_current: path == url, url }
    };
    let mut links = vec![link("Tenants", Url::Home)];
    if may_create(&person.actor) {
        links.push(link("New tenant", Url::NewTenant));
    }
    links.push(link("Organisations", Url::Organisations));
    if person.is_operator() {
        links.push(link("Operators", Url::Operators));
        links.push(link("Audit log", Url::Audit));
    }
    links.push(link("Plans", Url::Plans));
    Group { label: "Platform".to_owned(), links }
}

/// The value of a cookie.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let values = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = values.flat_map(|value| value.split(';'));
    pairs.find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then_some(value)
    })
}
