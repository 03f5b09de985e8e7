//! What people, nodes of Proxmox VE and the host cluster do to sagas about a tenant's nodes.

use super::{
    super::{
        accident::{Accident, Happens, Place},
        history::Outcome,
        it::fake::Fault,
        mishap::When,
    },
    Entry, Goes,
};
use Happens::{Act as Acts, Call, Cancel, Host, MovesIn, StartsUp, Taken};
use Outcome::{Done, Either, Undone};
use When::{After, Before, Within};
use http::Method;
use proxmox_simulator::Act;

/// A node of Proxmox VE is off for a while; when it is back it starts what is to start with it.
pub(super) const GOES_OFF: Accident = Accident {
    name: "a node of Proxmox VE goes off",
    happens: &[Acts(offline)],
    then: &[Acts(online), StartsUp],
};
/// The same at once.
pub(super) const RESTARTS: Accident = Accident {
    name: "a node of Proxmox VE restarts",
    happens: &[Acts(offline), Acts(online), StartsUp],
    then: &[],
};
pub(super) const NO_MAJORITY: Accident = Accident {
    name: "the majority is lost",
    happens: &[Acts(|_| Act::LoseQuorum)],
    then: &[Acts(|_| Act::RegainQuorum)],
};
pub(super) const NUMBER_TAKEN: Accident = once("somebody takes the number", &[Taken(recycle)]);
const NUMBER_GONE: Accident = once("somebody is quicker with the number", &[MovesIn]);
const DESTROYED: Accident =
    once("somebody destroys the machine", &[Acts(|place| Act::DestroyVm { vm: place.vm })]);
pub(super) const MOVED: Accident = once("somebody moves the machine", &[Acts(move_away)]);
pub(super) const LOCKED: Accident = Accident {
    name: "the machine is locked",
    happens: &[Acts(|place| Act::LockVm { vm: place.vm, lock: "backup".to_owned() })],
    then: &[Acts(|place| Act::UnlockVm { vm: place.vm })],
};
pub(super) const AWAY: Accident = once(
    "the host cluster is away",
    &[
        Host(Method::GET, "/", Fault::Break, 5),
        Host(Method::PATCH, "/", Fault::Refuse(503, "ServiceUnavailable"), 2),
        Host(Method::POST, "/eviction", Fault::Refuse(429, "TooManyRequests"), 3),
        Host(Method::DELETE, "/", Fault::LoseReply, 2),
    ],
);
pub(super) const UNHEARD: Accident = once(
    "nobody hears what the host cluster has done",
    &[
        Host(Method::PATCH, "/", Fault::LoseReply, 3),
        Host(Method::DELETE, "/", Fault::LoseReply, 3),
    ],
);

pub(super) const fn once(name: &'static str, happens: &'static [Happens]) -> Accident {
    Accident { name, happens, then: &[] }
}

fn offline(place: &Place) -> Act {
    Act::NodeOffline { node: place.node.clone() }
}

fn online(place: &Place) -> Act {
    Act::NodeOnline { node: place.node.clone() }
}

fn recycle(place: &Place) -> Act {
    Act::RecycleVm { vm: place.vm, name: "somebody-elses".to_owned() }
}

fn adopt(place: &Place) -> Act {
    let description = Some("mine now".to_owned());
    Act::AdoptVm { vm: place.vm, name: None, description, tags: None }
}

fn move_away(place: &Place) -> Act {
    let node = if place.node == "pve1" { "pve2" } else { "pve1" };
    Act::MoveVm { vm: place.vm, node: node.to_owned() }
}

/// While a node is made.
pub(super) static ATTACH: &[Entry] = &[
    (
        once("somebody gives the node up", &[Cancel]),
        &[
            ("reserve", Before),
            ("clone", Within(10)),
            ("configure", After),
            ("seed", Before),
            ("admit", After),
            ("start", After),
            ("join", Before),
            ("verify", After),
            ("tidy", After),
        ],
        Undone,
    ),
    (
        once(
            "the clone is slow and nobody hears that it began",
            &[Call(Goes::Unheard, "POST", "*/clone"), Call(Goes::Slow, "POST", "*/clone")],
        ),
        &[("clone", Before)],
        Done,
    ),
    (
        GOES_OFF,
        &[
            ("reserve", Before),
            ("clone", Before),
            ("clone", Within(30)),
            ("configure", Before),
            ("seed", Within(10)),
            ("start", Before),
            ("start", Within(10)),
            ("join", Before),
            ("tidy", Before),
        ],
        Either,
    ),
    (RESTARTS, &[("join", Before), ("verify", Before), ("tidy", Before)], Done),
    (
        NO_MAJORITY,
        &[
            ("clone", Before),
            ("clone", Within(30)),
            ("configure", Before),
            ("seed", Before),
            ("start", Before),
            ("tidy", Before),
        ],
        Done,
    ),
    (
        NUMBER_TAKEN,
        &[
            ("configure", Before),
            ("seed", After),
            ("start", Before),
            ("join", Before),
            ("verify", Before),
        ],
        Undone,
    ),
    (NUMBER_GONE, &[("reserve", After), ("clone", Before), ("clone", Within(4))], Undone),
    (
        once("somebody takes the machine", &[Taken(adopt)]),
        &[("configure", Before), ("start", Before)],
        Undone,
    ),
    (
        DESTROYED,
        &[("configure", Before), ("seed", Before), ("start", Before), ("join", Before)],
        Undone,
    ),
    (MOVED, &[("configure", Before), ("verify", Before)], Done),
    (
        // Its image stays where it was, and it does not start without.
        once("somebody moves the machine away from its image", &[Acts(move_away)]),
        &[("start", Before)],
        Undone,
    ),
    (LOCKED, &[("configure", Before), ("start", Before), ("tidy", Before)], Done),
    (AWAY, &[("admit", Before), ("join", Before), ("verify", Before)], Done),
    (UNHEARD, &[("admit", Before), ("join", Before), ("verify", Before)], Done),
];

/// While what was made is taken back.
pub(super) static UNDO: &[Entry] = &[
    (GOES_OFF, &[("tidy", Before), ("start", Before), ("seed", Before), ("clone", Before)], Undone),
    (RESTARTS, &[("start", Within(20)), ("start", After), ("seed", Before)], Undone),
    (NO_MAJORITY, &[("start", Before), ("seed", Before), ("clone", Before)], Undone),
    (
        NUMBER_TAKEN,
        &[("tidy", Before), ("start", Before), ("seed", Before), ("clone", Before)],
        Undone,
    ),
    (MOVED, &[("tidy", Before), ("seed", Before), ("clone", Before)], Undone),
    (UNHEARD, &[("start", Before), ("admit", Before)], Undone),
    (AWAY, &[("start", Before), ("admit", Before)], Undone),
];

/// While a node is given up.
pub(super) static RELEASE: &[Entry] = &[
    (
        GOES_OFF,
        &[
            ("cordon", Before),
            ("drain", Before),
            ("stop", Before),
            ("destroy", Before),
            ("destroy", Within(20)),
            ("absence", Before),
        ],
        Done,
    ),
    (
        RESTARTS,
        &[
            ("drain", Before),
            ("stop", After),
            ("remove", Within(20)),
            ("remove", Within(40)),
            ("remove", After),
            ("destroy", Within(20)),
        ],
        Done,
    ),
    (NO_MAJORITY, &[("stop", Before), ("destroy", Before), ("absence", Before)], Done),
    (LOCKED, &[("stop", Before), ("destroy", Before)], Done),
    (NUMBER_TAKEN, &[("cordon", Before), ("stop", Before), ("destroy", Before)], Done),
    (NUMBER_GONE, &[("destroy", After), ("absence", Before)], Done),
    (
        once("somebody switches the machine off", &[Acts(|place| Act::StopVm { vm: place.vm })]),
        &[("cordon", Before), ("drain", Before), ("stop", Before)],
        Done,
    ),
    (DESTROYED, &[("cordon", Before), ("stop", After), ("destroy", Before)], Done),
    (MOVED, &[("stop", Before), ("destroy", Before)], Done),
    (AWAY, &[("cordon", Before), ("drain", Before), ("remove", Before), ("absence", Before)], Done),
    (UNHEARD, &[("cordon", Before), ("remove", Before)], Done),
];
