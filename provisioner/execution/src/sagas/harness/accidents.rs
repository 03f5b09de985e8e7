//! Which accidents there are, where they happen, and what the operation is to come to.

mod calls;
mod nodes;
mod power;

use super::{
    accident::{Accident, Happens},
    history::{Case, Outcome, Rehearsed},
    mishap::{Mishap, Way, What, When},
    node,
};
pub(super) use calls::Goes;

/// Something that goes wrong with one call of Proxmox VE: its name, in which step, what, method and path of the call.
/// Steps are repeatable, so it changes nothing about what the operation comes to.
type Call = (&'static str, &'static str, Goes, &'static str, &'static str);

/// An accident, where it happens, and what the operation is to come to.
type Entry = (Accident, &'static [(&'static str, When)], Outcome);

/// All histories with accidents.
pub(super) fn cases() -> Vec<Case> {
    let [attach, release, stop, start, reboot] = &node::SAGAS;
    let turn = Mishap { way: Way::Forward, step: "tidy", when: When::After, what: What::Fail };
    let mut cases = Vec::new();
    for (saga, calls, entries, turn) in [
        (attach, calls::ATTACH, nodes::ATTACH, None),
        (attach, calls::UNDO, nodes::UNDO, Some(turn)),
        (release, calls::RELEASE, nodes::RELEASE, None),
        (stop, calls::STOP, power::STOP, None),
        (start, calls::START, power::START, None),
        (reboot, calls::REBOOT, power::REBOOT, None),
    ] {
        let outcome = if turn.is_some() { Outcome::Undone } else { Outcome::Done };
        for &(name, step, goes, method, path) in calls {
            let happens = vec![Happens::Call(goes, method, path)].leak();
            let accident: &Accident = Box::leak(Box::new(Accident { name, happens, then: &[] }));
            cases.push(case(saga, accident, (step, When::Before), outcome, turn));
        }
        for (accident, places, outcome) in entries {
            let places = places.iter();
            cases.extend(places.map(|place| case(saga, accident, *place, *outcome, turn)));
        }
    }
    cases
}

fn case(
    saga: &'static Rehearsed,
    accident: &'static Accident,
    (step, when): (&'static str, When),
    outcome: Outcome,
    turn: Option<Mishap>,
) -> Case {
    let way = if turn.is_some() { Way::Back } else { Way::Forward };
    let happens = Mishap { way, step, when, what: What::Accident };
    let mishaps = turn.into_iter().chain([happens]).collect();
    Case { saga, mishaps, accident: Some(accident), outcome }
}
