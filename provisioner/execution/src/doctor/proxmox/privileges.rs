//! Whether the token has every right that it needs; what is missing is printed as commands for a node.

use super::{Place, ask, list};
use crate::{MachineSettings, doctor::Check};
use futures::future::join_all;
use proxmox_client::{
    Client, Extras, Need, NodeName, RolePart, Site, Version, VmId, missing, needs, role,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

const PRIVILEGES: &str = "privileges";
/// The zone of bridges that no virtual network is made of.
const LOCAL_ZONE: &str = "localnetwork";

pub(super) async fn check(
    client: &Client,
    settings: &MachineSettings,
    version: Version,
    (templates, places): (&BTreeMap<NodeName, VmId>, &[Place]),
) -> Check {
    let site = site(settings, templates, places);
    let needs = needs(&site, version);
    let paths = needs.chunk_by(|one, next| one.path == next.path);
    let answers = paths.map(async |of_path| {
        let path = of_path.first().map(|need| need.path.as_str());
        Ok(missing(of_path, &ask(client.permissions(path)).await?))
    });
    let answers: Result<Vec<_>, super::Obstacle> = join_all(answers).await.into_iter().collect();
    let lacking: Vec<Need> = match answers {
        Ok(lacking) => lacking.concat(),
        Err(obstacle) => {
            return Check::bad(PRIVILEGES, obstacle.to_string(), "see that the cluster answers");
        }
    };
    let unread = places.iter().filter(|place| place.template.config.is_err());
    let unread = list(unread.map(|place| place.template.id));
    let rest = match (unread.as_str(), &settings.storage) {
        ("", _) | (_, Some(_)) => String::new(),
        (unread, None) => {
            format!(
                "; which storages the disks of {unread} need is not known before it can be read"
            )
        }
    };
    let total = needs.len();
    if lacking.is_empty() {
        return Check::ok(PRIVILEGES, format!("all {total} are there{rest}"));
    }
    let by_path = by_path(&lacking).into_iter();
    let told: Vec<_> = by_path
        .map(|(path, needs)| format!("{path}: {}", list(needs.iter().map(|n| n.privilege))))
        .collect();
    let token = client.token_id();
    let found = format!("{} of {total} are missing: {}{rest}", lacking.len(), told.join("; "));
    Check::bad(PRIVILEGES, found, commands(&lacking, &site.extras, version, &token))
}

/// What the token works with.
fn site(
    settings: &MachineSettings,
    templates: &BTreeMap<NodeName, VmId>,
    places: &[Place],
) -> Site {
    let mut storages: BTreeSet<_> = settings.storage.iter().cloned().collect();
    let mut bridges = BTreeSet::from([settings.bridge.clone()]);
    for Place { template, bridges: known, .. } in places {
        if settings.storage.is_none() {
            storages.extend(template.storages());
        }
        // A clone has the cards of its template at first.
        bridges.extend(template.bridges());
        // A virtual network has a zone of its own; that it is listed shows that it may be used.
        let networks =
            known.as_deref().unwrap_or_default().iter().filter(|entry| entry.kind == "vnet");
        for network in networks {
            bridges.retain(|bridge| bridge.as_str() != network.name);
        }
    }
    Site {
        templates: templates.values().copied().collect(),
        pool: settings.pool.clone(),
        storages: storages.into_iter().collect(),
        networks: bridges.into_iter().map(|bridge| (LOCAL_ZONE.to_owned(), bridge)).collect(),
        nodes: Vec::new(),
        extras: Extras {
            uploads_images_to: Some(settings.seed_storage.clone()),
            sets_hardware: true,
            ..Extras::default()
        },
    }
}

fn by_path(needs: &[Need]) -> BTreeMap<&str, Vec<&Need>> {
    let mut grouped: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for need in needs {
        grouped.entry(need.path.as_str()).or_default().push(need);
    }
    grouped
}

/// What a role is called that is for one part of the cluster. One role for all would let the token destroy templates.
const fn role_name(part: RolePart) -> &'static str {
    match part {
        RolePart::Template => "WarrenTemplates",
        RolePart::Pool => "WarrenNodes",
        RolePart::Storage => "WarrenDisks",
        RolePart::ImageStorage => "WarrenSeeds",
        RolePart::Network => "WarrenNetwork",
        RolePart::Node => "WarrenCapacity",
        RolePart::Cluster => "WarrenCluster",
        RolePart::Mapping => "WarrenDevices",
    }
}

/// The commands that make the roles and give them, for a shell on a node. They can be repeated.
fn commands(lacking: &[Need], extras: &Extras, version: Version, token: &str) -> String {
    let parts: BTreeSet<RolePart> = lacking.iter().map(|need| need.part).collect();
    let places: BTreeSet<(&str, RolePart)> =
        lacking.iter().map(|need| (need.path.as_str(), need.part)).collect();
    let mut text = format!(
        "# Give this to a shell on a node of Proxmox VE {}.{}, as root. Every role is given twice, to the token and\n\
         # to its user: a token whose privileges are separate has only what both have.\n",
        version.major, version.minor
    );
    for part in parts {
        let (name, privileges) = (role_name(part), role(part, extras, version).join(" "));
        writeln!(
            text,
            "pveum role add {name} -privs \"{privileges}\" || pveum role modify {name} -privs \"{privileges}\""
        )
        .expect("writing to a string cannot fail");
    }
    let user = token.split_once('!').map_or(token, |(user, _)| user);
    for (path, part) in places {
        let name = role_name(part);
        writeln!(text, "pveum acl modify '{path}' -roles {name} -users '{user}' -tokens '{token}'")
            .expect("writing to a string cannot fail");
    }
    text
}
