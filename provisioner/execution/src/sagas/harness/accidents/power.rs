//! What people, nodes of Proxmox VE and the host cluster do to sagas that switch a tenant's node off and on.

use super::{
    super::{
        accident::{Accident, Happens},
        history::Outcome,
        mishap::When,
    },
    Entry,
    nodes::{AWAY, GOES_OFF, LOCKED, MOVED, NO_MAJORITY, NUMBER_TAKEN, RESTARTS, UNHEARD, once},
};
use Happens::{Act as Acts, Cancel, Robbed};
use Outcome::{Done, Either, Undone};
use When::{After, Before, Within};
use proxmox_simulator::Act;

const DESTROYED: Accident =
    once("somebody destroys the machine", &[Robbed(|place| Act::DestroyVm { vm: place.vm })]);
const GIVEN_UP: Accident = once("somebody gives the node up", &[Cancel]);
const SWITCHED_OFF: Accident =
    once("somebody switches the machine off", &[Acts(|place| Act::StopVm { vm: place.vm })]);

const DEAF: Accident =
    once("the guest hears nothing", &[Acts(|place| Act::DeafenVm { vm: place.vm, is_deaf: true })]);

/// While a node is switched off.
pub(super) static STOP: &[Entry] = &[
    (GIVEN_UP, &[("cordon", Before), ("cordon", After)], Undone),
    // From there it only goes forward; whoever wants it gone asks again.
    (GIVEN_UP, &[("stop", Before), ("stop", After)], Done),
    (
        GOES_OFF,
        &[("cordon", Before), ("drain", Before), ("stop", Before), ("stop", Within(10))],
        Done,
    ),
    (RESTARTS, &[("stop", Before), ("stop", Within(10)), ("stop", After)], Done),
    (NO_MAJORITY, &[("stop", Before), ("stop", Within(4))], Done),
    (LOCKED, &[("stop", Before)], Done),
    (DEAF, &[("stop", Before)], Done),
    (SWITCHED_OFF, &[("drain", Before), ("stop", Before)], Done),
    (DESTROYED, &[("cordon", Before)], Undone),
    (DESTROYED, &[("stop", Before)], Done),
    (NUMBER_TAKEN, &[("cordon", Before)], Undone),
    (NUMBER_TAKEN, &[("stop", Before)], Done),
    (MOVED, &[("cordon", Before), ("stop", Before)], Done),
    (AWAY, &[("cordon", Before), ("drain", Before), ("stop", Before)], Done),
    (UNHEARD, &[("cordon", Before), ("stop", Before)], Done),
];

/// While a node is switched on again.
pub(super) static START: &[Entry] = &[
    (
        GIVEN_UP,
        &[("start", Before), ("start", After), ("verify", After), ("uncordon", After)],
        Undone,
    ),
    (GOES_OFF, &[("start", Before), ("verify", Before)], Either),
    (RESTARTS, &[("verify", Before), ("verify", After)], Done),
    (NO_MAJORITY, &[("start", Before)], Done),
    (LOCKED, &[("start", Before)], Done),
    (DESTROYED, &[("start", Before), ("verify", Before)], Undone),
    (NUMBER_TAKEN, &[("start", Before)], Undone),
    (MOVED, &[("start", Before)], Done),
    (AWAY, &[("start", Before), ("verify", Before), ("uncordon", Before)], Done),
    (UNHEARD, &[("verify", Before), ("uncordon", Before)], Done),
];

/// While it is both.
pub(super) static REBOOT: &[Entry] = &[
    (
        GIVEN_UP,
        &[("cordon", After), ("stop", Within(10)), ("stop", After), ("start", After)],
        Undone,
    ),
    (GOES_OFF, &[("cordon", Before), ("stop", Before), ("start", Before)], Either),
    (RESTARTS, &[("stop", After), ("verify", Before)], Done),
    (DESTROYED, &[("cordon", Before), ("stop", Before), ("start", Before)], Undone),
    (NUMBER_TAKEN, &[("stop", Before), ("start", Before)], Undone),
    (AWAY, &[("cordon", Before), ("stop", Before), ("verify", Before)], Done),
    (UNHEARD, &[("cordon", Before), ("stop", Before), ("uncordon", Before)], Done),
];
