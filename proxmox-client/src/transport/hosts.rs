//! Which API host is asked.
//!
//! Hosts of one cluster share users and tokens, so any of them will do; but what one has just changed
//! another may not show yet, so the same one is asked while it answers.

use crate::Invalid;
use std::{
    fmt,
    str::FromStr,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// The port on which the API answers.
const PORT: u16 = 8006;

/// After so many failures in a row a host is not asked for a while.
const PATIENCE: u32 = 3;
/// How long it is not asked at first; doubled with every attempt that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// And at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// The address of an API host: `https://HOST`, port 8006 unless it says another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ApiHost(String);

/// What is known about an API host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostHealth {
    /// Which host.
    pub host: ApiHost,
    /// Whether it is the one that is asked.
    pub is_current: bool,
    /// How often in a row it has failed.
    pub failures: u32,
    /// Why it failed last; nothing after a success.
    pub reason: Option<String>,
    /// For how long it is not asked; then a single call tries it.
    pub rests: Option<Duration>,
}

impl FromStr for ApiHost {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("API host", text, "https://HOST or https://HOST:PORT");
        let uri: http::Uri = text.parse().map_err(|_| invalid())?;
        let authority = uri.authority().ok_or_else(invalid)?;
        let is_bare = uri.path().trim_end_matches('/').is_empty() && uri.query().is_none();
        let has_user = authority.as_str().contains('@');
        if uri.scheme_str() != Some("https") || !is_bare || has_user || authority.host().is_empty()
        {
            return Err(invalid());
        }
        let port = authority.port_u16().unwrap_or(PORT);
        Ok(Self(format!("https://{}:{port}", authority.host())))
    }
}

impl ApiHost {
    /// The address, with its port.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ApiHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All API hosts of a cluster with what is known about them.
#[derive(Debug)]
pub(crate) struct Hosts(Mutex<State>);

#[derive(Debug)]
struct State {
    hosts: Vec<Host>,
    current: usize,
}

#[derive(Debug)]
struct Host {
    address: ApiHost,
    failures: u32,
    reason: Option<String>,
    pause: Duration,
    /// Not asked before; nothing if it is well.
    rests_until: Option<Instant>,
}

impl Hosts {
    pub(crate) fn new(addresses: Vec<ApiHost>) -> Self {
        let host = |address| Host {
            address,
            failures: 0,
            reason: None,
            pause: FIRST_PAUSE,
            rests_until: None,
        };
        Self(Mutex::new(State { hosts: addresses.into_iter().map(host).collect(), current: 0 }))
    }

    /// The host to ask, by its number: the current one or else the next that may be asked. `tried`
    /// come last. Of a host that has rested long enough a single call is told, until it rests again.
    pub(crate) fn pick(&self, tried: &[usize], now: Instant) -> Option<(usize, ApiHost)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let State { hosts, current } = &mut *state;
        let order = (0..hosts.len()).map(|step| (*current + step) % hosts.len());
        let may = |index: &usize| hosts[*index].rests_until.is_none_or(|until| until <= now);
        let mut able: Vec<usize> = order.filter(may).collect();
        able.sort_by_key(|index| (tried.contains(index), hosts[*index].rests_until.is_some()));
        let index = able.into_iter().next()?;
        let host = &mut hosts[index];
        if host.rests_until.is_some() {
            host.rests_until = Some(now + host.pause);
        }
        Some((index, host.address.clone()))
    }

    /// The host has answered: it is well, and the one to stay with.
    pub(crate) fn answered(&self, index: usize) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.current = index;
        let host = &mut state.hosts[index];
        (host.failures, host.reason, host.rests_until) = (0, None, None);
        host.pause = FIRST_PAUSE;
    }

    /// The host could not be reached or is mute; `is_grave` if asking again would take long.
    pub(crate) fn failed(&self, index: usize, reason: String, is_grave: bool, now: Instant) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let host = &mut state.hosts[index];
        host.failures += 1;
        host.reason = Some(reason);
        if host.rests_until.is_some() {
            host.pause = (host.pause * 2).min(LONGEST_PAUSE);
        }
        if is_grave || host.failures >= PATIENCE {
            host.rests_until = Some(now + host.pause);
        }
    }

    /// The host shows a certificate that is not trusted.
    pub(crate) fn distrusted(&self, index: usize, reason: String) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let host = &mut state.hosts[index];
        host.failures += 1;
        host.reason = Some(reason);
    }

    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).hosts.len()
    }

    /// What is known about every host.
    pub(crate) fn health(&self, now: Instant) -> Vec<HostHealth> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let health = |(index, host): (usize, &Host)| HostHealth {
            host: host.address.clone(),
            is_current: index == state.current,
            failures: host.failures,
            reason: host.reason.clone(),
            rests: host.rests_until.map(|until| until.saturating_duration_since(now)),
        };
        state.hosts.iter().enumerate().map(health).collect()
    }

    /// Why no host may be asked, in words.
    pub(crate) fn reasons(&self, now: Instant) -> String {
        let reason = |health: HostHealth| {
            let reason = health.reason.unwrap_or_else(|| "not asked".to_owned());
            format!("{}: {reason}", health.host)
        };
        self.health(now).into_iter().map(reason).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Hosts {
        let address = |name: &str| format!("https://{name}").parse().expect("an address");
        Hosts::new(["a", "b", "c"].map(address).into())
    }

    fn index(hosts: &Hosts, tried: &[usize], now: Instant) -> Option<usize> {
        hosts.pick(tried, now).map(|(index, _)| index)
    }

    #[test]
    fn an_address_is_https_and_nothing_more() {
        let read = |text: &str| text.parse::<ApiHost>().map(|host| host.to_string());
        assert_eq!(read("https://pve1").as_deref(), Ok("https://pve1:8006"));
        assert_eq!(read("https://10.0.0.1:443/").as_deref(), Ok("https://10.0.0.1:443"));
        assert_eq!(read("https://[fd00::1]").as_deref(), Ok("https://[fd00::1]:8006"));
        for text in
            ["http://pve1", "pve1", "https://pve1/api2", "https://root:x@pve1", "https://", ""]
        {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn it_stays_with_the_host_that_answers() {
        let (hosts, now) = (three(), Instant::now());
        assert_eq!(index(&hosts, &[], now), Some(0));
        hosts.failed(0, "refused".to_owned(), false, now);
        assert_eq!(index(&hosts, &[0], now), Some(1), "another one for the same call");
        hosts.answered(1);
        assert_eq!(index(&hosts, &[], now), Some(1), "and for the next ones");
        assert_eq!(index(&hosts, &[0, 1, 2], now), Some(1), "all were tried");
    }

    #[test]
    fn a_host_that_keeps_failing_rests_and_then_one_call_tries_it() {
        let (hosts, now) = (three(), Instant::now());
        for index in 0..3 {
            for _ in 0..PATIENCE {
                hosts.failed(index, format!("refused {index}"), false, now);
            }
        }
        assert_eq!(index(&hosts, &[], now), None);
        assert!(hosts.reasons(now).contains("https://b:8006: refused 1"));
        let later = now + FIRST_PAUSE;
        let probes = [(); 4].map(|()| index(&hosts, &[], later));
        assert_eq!(probes, [Some(0), Some(1), Some(2), None], "one for each host");
        hosts.failed(0, "refused".to_owned(), false, later);
        hosts.answered(1);
        assert_eq!(hosts.health(later)[0].rests, Some(FIRST_PAUSE * 2));
        assert_eq!(index(&hosts, &[], later), Some(1));
        assert_eq!(index(&hosts, &[], later), Some(1), "it is well again");
    }

    #[test]
    fn a_mute_host_rests_at_once() {
        let (hosts, now) = (three(), Instant::now());
        hosts.failed(0, "mute".to_owned(), true, now);
        assert_eq!(index(&hosts, &[], now), Some(1));
        assert_eq!(hosts.health(now)[0].failures, 1);
    }

    #[test]
    fn pauses_have_an_end() {
        let (hosts, mut now) = (three(), Instant::now());
        for _ in 0..20 {
            hosts.failed(0, "refused".to_owned(), true, now);
            now += LONGEST_PAUSE;
        }
        let rest = hosts.health(now - LONGEST_PAUSE)[0].rests;
        assert_eq!(rest, Some(LONGEST_PAUSE));
    }
}
