//! Whether the API hosts answer, are who they should be, and take the token.

use super::{Answer, Obstacle, ask, list, verdict};
use crate::doctor::Check;
use domain::Clock;
use futures::future::join_all;
use jiff::{SignedDuration, Timestamp};
use proxmox_client::{ApiHost, Client, Error, Greeting, Version};

const HOSTS: &str = "api-hosts";
const CERTIFICATES: &str = "certificates";
const TOKEN: &str = "token";
const VERSION: &str = "version";
const CLOCK: &str = "clock";

/// The oldest release whose API has all that Warren uses.
const OLDEST: Version = Version::new(7, 4);
/// The newest major release that Warren knows the privileges of.
const NEWEST_MAJOR: u16 = 9;
/// How far the clocks may be apart: machines take theirs from their node, and certificates are backdated by more.
const CLOCK_TOLERANCE: SignedDuration = SignedDuration::from_secs(30);

/// All API hosts that are configured.
#[derive(Debug)]
pub(super) struct Endpoint(Vec<Host>);

/// One of them, by itself.
#[derive(Debug)]
struct Host {
    address: ApiHost,
    client: Client,
    answer: Answer<Greeting>,
    /// Our clock when it was asked.
    asked_at: Timestamp,
}

/// How far a call got to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reached {
    /// It does not answer.
    Nothing,
    /// It shows a certificate that is not trusted, so nothing was said to it.
    Stranger,
    /// It does not take the token.
    Door,
    /// Something else answers, or it is ill.
    Trouble,
    /// All is well.
    Inside,
}

impl Endpoint {
    /// Asks each host by itself, all at the same time.
    pub(super) async fn look(client: &Client, clock: &dyn Clock) -> Self {
        let hosts = client.hosts().into_iter().map(async |health| {
            let client = client.alone(&health.host);
            let asked_at = clock.now();
            let answer = ask(client.greet()).await;
            Host { address: health.host, client, answer, asked_at }
        });
        Self(join_all(hosts).await)
    }

    /// A client of a host that lets us in, and its release; the oldest one's, as all have to know what is asked of them.
    pub(super) fn usable(&self) -> Option<(&Client, Version)> {
        let inside =
            self.0.iter().filter_map(|host| Some((&host.client, host.greeting()?.version)));
        inside.min_by_key(|(_, version)| *version)
    }

    /// What was found; `offline` nodes of the cluster are known to be switched off, and so may be as many hosts.
    pub(super) fn judge(&self, token: &str, offline: usize) -> Vec<Check> {
        let mut checks = vec![self.reachable(offline)];
        checks.extend(self.certificates());
        checks.extend(self.token(token));
        checks.extend(self.version());
        checks.extend(self.clock());
        checks
    }

    fn reachable(&self, offline: usize) -> Check {
        let mute: Vec<String> = self.told(Reached::Nothing);
        let ill: Vec<String> = self.told(Reached::Trouble);
        let answering = list(self.answering().map(|host| &host.address));
        let advice = "see that port 8006 of it can be reached from here and that its pveproxy runs; else mend proxmox.hosts";
        if answering.is_empty() || !ill.is_empty() || mute.len() > offline {
            let found: Vec<String> = mute.into_iter().chain(ill).collect();
            return Check::bad(HOSTS, found.join("; "), advice);
        }
        if mute.is_empty() {
            return Check::ok(HOSTS, format!("{answering}: every one answers"));
        }
        let found = format!("{answering} answers; {}: as many nodes are offline", mute.join("; "));
        Check::warn(
            HOSTS,
            found,
            "start the nodes that are offline; until then the others are asked",
        )
    }

    fn certificates(&self) -> Option<Check> {
        let mut answering = self.answering().peekable();
        answering.peek()?;
        let advice = "compare it with what `pvenode cert info` shows on that node; if it is the same, give its SHA-256 in \
                      proxmox.fingerprints, or the cluster's /etc/pve/pve-root-ca.pem in proxmox.ca_file";
        let strangers: Vec<_> = self.told(Reached::Stranger);
        let findings: Vec<_> =
            strangers.into_iter().map(|found| (found, advice.to_owned())).collect();
        Some(verdict(CERTIFICATES, format!("{} trusted", answering.count()), &findings))
    }

    fn token(&self, token: &str) -> Option<Check> {
        let refused = self.told(Reached::Door);
        if refused.is_empty() {
            self.usable()?;
            return Some(Check::ok(TOKEN, format!("{token} is accepted")));
        }
        let (user, id) = token.split_once('!').unwrap_or((token, "control"));
        let advice = format!(
            "see that proxmox.token_id is its full name and proxmox.token_file holds its secret and that it has not \
             expired; `pveum user token add {user} {id}` makes one and shows its secret once"
        );
        Some(Check::bad(TOKEN, format!("{token}: {}", refused.join("; ")), advice))
    }

    fn version(&self) -> Option<Check> {
        let mut versions: Vec<Version> =
            self.0.iter().filter_map(|host| Some(host.greeting()?.version)).collect();
        versions.sort_unstable();
        versions.dedup();
        let (oldest, newest) = (*versions.first()?, *versions.last()?);
        let told = list(&versions);
        if oldest < OLDEST {
            let advice = format!("update the cluster to {OLDEST} or newer");
            return Some(Check::bad(VERSION, format!("Proxmox VE {told}"), advice));
        }
        if newest.major > NEWEST_MAJOR {
            let found = format!("Proxmox VE {told}: newer than what Warren was made for");
            return Some(Check::warn(VERSION, found, "see whether there is a newer Warren"));
        }
        Some(Check::ok(VERSION, format!("Proxmox VE {told}")))
    }

    fn clock(&self) -> Option<Check> {
        self.usable()?;
        let apart = |host: &Host| {
            let time = i64::try_from(host.greeting()?.time?).ok()?;
            let theirs = Timestamp::from_second(time).ok()?;
            Some((host.asked_at.duration_since(theirs).abs(), host.address.clone()))
        };
        let seen: Vec<_> = self.0.iter().filter_map(apart).collect();
        if seen.is_empty() {
            return Some(Check::ok(CLOCK, "no host tells its time"));
        }
        let wrong = seen.iter().filter(|(apart, _)| *apart > CLOCK_TOLERANCE);
        let findings: Vec<_> = wrong
            .map(|(apart, host)| {
                let found = format!("{host} is {} s apart from Warren", apart.as_secs());
                (found, "synchronise the clocks, e.g. with chrony".to_owned())
            })
            .collect();
        let well = format!("within {} s of Warren", CLOCK_TOLERANCE.as_secs());
        Some(verdict(CLOCK, well, &findings))
    }

    fn answering(&self) -> impl Iterator<Item = &Host> {
        self.0.iter().filter(|host| host.reached() != Reached::Nothing)
    }

    /// Those that a call got so far to, each with what it said.
    fn told(&self, reached: Reached) -> Vec<String> {
        let of = self.0.iter().filter(|host| host.reached() == reached);
        of.filter_map(|host| Some(host.told(host.answer.as_ref().err()?))).collect()
    }
}

impl Host {
    fn greeting(&self) -> Option<&Greeting> {
        self.answer.as_ref().ok()
    }

    fn reached(&self) -> Reached {
        match &self.answer {
            Ok(_) => Reached::Inside,
            Err(Obstacle::Error(Error::Untrusted { .. })) => Reached::Stranger,
            Err(Obstacle::Error(Error::Unauthorized { .. })) => Reached::Door,
            Err(Obstacle::Error(Error::Refused { .. } | Error::Unreadable { .. })) => {
                Reached::Trouble
            }
            Err(_) => Reached::Nothing,
        }
    }

    fn told(&self, obstacle: &Obstacle) -> String {
        let said = match obstacle {
            // Without the call, which says nothing here.
            Obstacle::Error(Error::Untrusted { reason, .. }) => {
                format!("its certificate is not trusted: {reason}")
            }
            Obstacle::Error(Error::Unauthorized { text, .. }) => format!("refused: {text}"),
            Obstacle::Silent | Obstacle::Error(_) => obstacle.to_string(),
        };
        format!("{}: {said}", self.address)
    }
}
