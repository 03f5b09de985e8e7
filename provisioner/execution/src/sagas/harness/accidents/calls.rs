//! What goes wrong with single calls of Proxmox VE, and with the tasks that they begin.

use super::Call;
use Goes::{Fails, Locked, Lost, Refused, Slow, Unheard, Warns};
use Moment::{Begin, End, Middle};
use proxmox_simulator::{Effect, Fault, Lock, Moment};

/// How it goes wrong.
#[derive(Debug, Clone, Copy)]
pub(in crate::sagas::harness) enum Goes {
    /// It never arrives.
    Lost,
    /// It is done, and nobody hears of it.
    Unheard,
    /// Its task fails.
    Fails(Moment),
    /// Its task waits for a lock in vain.
    Locked(Lock),
    /// Its task ends with a warning; that of a removal leaves the disks.
    Warns,
    /// Its task takes a minute.
    Slow,
    /// It is told that the storage is busy.
    Refused,
}

impl Goes {
    pub(in crate::sagas::harness) fn fault(self, method: &str, path: &str) -> Fault {
        let busy = "cfs-lock 'storage-local-lvm' error: got lock request timeout";
        let effect = match self {
            Lost => Effect::ReplyLost { after_effect: false },
            Unheard => Effect::ReplyLost { after_effect: true },
            Fails(at) => Effect::TaskFails { text: "it broke".to_owned(), at },
            Locked(lock) => Effect::LockTimeout { lock },
            Warns => Effect::TaskWarns { count: 1 },
            Slow => Effect::TaskSlow { ms: 60_000 },
            Refused => Effect::Answer { status: 500, reason: busy.to_owned() },
        };
        effect.once(method, path)
    }
}

/// While a node is made.
pub(super) const ATTACH: &[Call] = &[
    ("the clone fails at once", "clone", Fails(Begin), "POST", "*/clone"),
    ("the clone fails halfway", "clone", Fails(Middle), "POST", "*/clone"),
    ("the clone fails when it is done", "clone", Fails(End), "POST", "*/clone"),
    ("nobody hears that the clone began", "clone", Unheard, "POST", "*/clone"),
    ("the order to clone is lost", "clone", Lost, "POST", "*/clone"),
    ("the number is locked", "clone", Locked(Lock::NewId), "POST", "*/clone"),
    ("the storage is locked", "clone", Locked(Lock::Storage), "POST", "*/clone"),
    ("the template is locked", "clone", Locked(Lock::Vm), "POST", "*/clone"),
    ("the clone ends with a warning", "clone", Warns, "POST", "*/clone"),
    ("the clone is refused for a while", "clone", Refused, "POST", "*/clone"),
    ("nobody hears that the machine was changed", "configure", Unheard, "PUT", "*/config"),
    ("nobody hears that the disk grew", "configure", Unheard, "PUT", "*/resize"),
    ("the disk is locked while it grows", "configure", Locked(Lock::Vm), "PUT", "*/resize"),
    ("nobody hears that the image has come", "seed", Unheard, "POST", "*/upload"),
    ("the image is not taken", "seed", Fails(Begin), "POST", "*/upload"),
    ("nobody hears that the image is in the drive", "seed", Unheard, "PUT", "*/config"),
    ("the machine does not start", "start", Fails(Begin), "POST", "*/status/start"),
    ("nobody hears that the machine starts", "start", Unheard, "POST", "*/status/start"),
    ("the start is said to have failed", "start", Fails(End), "POST", "*/status/start"),
    ("nobody hears that the drive is empty", "tidy", Unheard, "PUT", "*/config"),
    ("nobody hears that the image is deleted", "tidy", Unheard, "DELETE", "*/content/*"),
    ("the image is not deleted", "tidy", Fails(Begin), "DELETE", "*/content/*"),
];

/// While what was made is taken back.
pub(super) const UNDO: &[Call] = &[
    ("the machine does not stop", "start", Fails(Begin), "POST", "*/status/stop"),
    ("nobody hears that the machine stops", "start", Unheard, "POST", "*/status/stop"),
    ("the image is not deleted", "seed", Fails(Begin), "DELETE", "*/content/*"),
    ("a disk is left", "clone", Warns, "DELETE", "*/qemu/*"),
    ("a disk is not deleted", "clone", Refused, "PUT", "*/config"),
    ("nobody hears that a disk is deleted", "clone", Unheard, "PUT", "*/config"),
    ("the machine is not destroyed", "clone", Fails(Begin), "DELETE", "*/qemu/*"),
    ("nobody hears that the machine is destroyed", "clone", Unheard, "DELETE", "*/qemu/*"),
];

/// While a node is given up.
pub(super) const RELEASE: &[Call] = &[
    ("nobody hears that the machine stops", "stop", Unheard, "POST", "*/status/stop"),
    ("the machine does not stop", "stop", Fails(Begin), "POST", "*/status/stop"),
    ("a disk is left", "destroy", Warns, "DELETE", "*/qemu/*"),
    ("a disk is not deleted", "destroy", Refused, "PUT", "*/config"),
    ("nobody hears that a disk is deleted", "destroy", Unheard, "PUT", "*/config"),
    ("the machine is not destroyed", "destroy", Fails(Begin), "DELETE", "*/qemu/*"),
    ("the machine is destroyed halfway", "destroy", Fails(Middle), "DELETE", "*/qemu/*"),
    ("the removal is said to have failed", "destroy", Fails(End), "DELETE", "*/qemu/*"),
    ("nobody hears that the machine is destroyed", "destroy", Unheard, "DELETE", "*/qemu/*"),
    ("the machine is locked for a moment", "destroy", Locked(Lock::Vm), "DELETE", "*/qemu/*"),
];

/// While a node is switched off.
pub(super) const STOP: &[Call] = &[
    ("nobody hears that the guest shuts down", "stop", Unheard, "POST", "*/status/shutdown"),
    ("the order to shut down is lost", "stop", Lost, "POST", "*/status/shutdown"),
    ("the guest does not shut down", "stop", Fails(Begin), "POST", "*/status/shutdown"),
    ("the shutdown is said to have failed", "stop", Fails(End), "POST", "*/status/shutdown"),
    ("the machine is locked for a moment", "stop", Locked(Lock::Vm), "POST", "*/status/shutdown"),
    ("nobody hears that it is not to start again", "stop", Unheard, "PUT", "*/config"),
];

/// While a node is switched on again.
pub(super) const START: &[Call] = &[
    ("the machine does not start", "start", Fails(Begin), "POST", "*/status/start"),
    ("nobody hears that the machine starts", "start", Unheard, "POST", "*/status/start"),
    ("the start is said to have failed", "start", Fails(End), "POST", "*/status/start"),
    ("nobody hears that it is to start with its node", "start", Unheard, "PUT", "*/config"),
];

/// While it is both.
pub(super) const REBOOT: &[Call] = &[
    ("nobody hears that the guest shuts down", "stop", Unheard, "POST", "*/status/shutdown"),
    ("the guest does not shut down", "stop", Fails(Begin), "POST", "*/status/shutdown"),
    ("the machine does not start", "start", Fails(Begin), "POST", "*/status/start"),
    ("nobody hears that the machine starts", "start", Unheard, "POST", "*/status/start"),
];
