use super::Pairs;
use crate::{Invalid, StorageId, VolumeId};
use std::{fmt, str::FromStr};

/// Where a drive is plugged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    bus: Bus,
    index: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Bus {
    Ide,
    Sata,
    Scsi,
    Virtio,
}

/// Buses with their names and how many drives each takes.
const BUSES: [(Bus, &str, u8); 4] = [
    (Bus::Ide, "ide", 4),
    (Bus::Sata, "sata", 6),
    (Bus::Scsi, "scsi", 31),
    (Bus::Virtio, "virtio", 16),
];

impl Slot {
    /// `ide0` to `ide3`.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn ide(index: u8) -> Result<Self, Invalid> {
        Self::of(Bus::Ide, index)
    }

    /// `sata0` to `sata5`.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn sata(index: u8) -> Result<Self, Invalid> {
        Self::of(Bus::Sata, index)
    }

    /// `scsi0` to `scsi30`.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn scsi(index: u8) -> Result<Self, Invalid> {
        Self::of(Bus::Scsi, index)
    }

    /// `virtio0` to `virtio15`.
    ///
    /// # Errors
    /// If there is no such slot.
    pub fn virtio(index: u8) -> Result<Self, Invalid> {
        Self::of(Bus::Virtio, index)
    }

    fn of(bus: Bus, index: u8) -> Result<Self, Invalid> {
        let slot = Self { bus, index };
        let count = BUSES.iter().find(|(other, ..)| *other == bus).map_or(0, |(.., count)| *count);
        if index < count {
            Ok(slot)
        } else {
            Err(Invalid::new("drive slot", slot, "one that the bus has"))
        }
    }
}

impl FromStr for Slot {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        let invalid = || Invalid::new("drive slot", text, "ide, sata, scsi or virtio and a number");
        let (bus, rest) = BUSES
            .iter()
            .find_map(|(bus, name, _)| Some((*bus, text.strip_prefix(name)?)))
            .ok_or_else(invalid)?;
        let is_plain = rest == "0" || !rest.starts_with(['0', '+']);
        let index = rest.parse().ok().filter(|_| is_plain).ok_or_else(invalid)?;
        Self::of(bus, index)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = BUSES.iter().find(|(bus, ..)| *bus == self.bus).map_or("", |(_, name, _)| *name);
        write!(f, "{name}{}", self.index)
    }
}

/// What is plugged in: the value of `scsi0` and its like.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drive {
    source: Source,
    discard: Option<bool>,
    ssd: Option<bool>,
    io_thread: Option<bool>,
    backup: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    NewDisk { storage: StorageId, gibibytes: u32 },
    CloudInit { storage: StorageId },
    Disk(VolumeId),
    Disc(VolumeId),
    NoDisc,
}

impl Drive {
    /// A new disk of so many gibibytes on a storage.
    #[must_use]
    pub fn new_disk(storage: StorageId, gibibytes: u32) -> Self {
        Self::of(Source::NewDisk { storage, gibibytes })
    }

    /// A disk that exists.
    #[must_use]
    pub fn disk(volume: VolumeId) -> Self {
        Self::of(Source::Disk(volume))
    }

    /// A CD-ROM drive with an image in it.
    #[must_use]
    pub fn disc(volume: VolumeId) -> Self {
        Self::of(Source::Disc(volume))
    }

    /// A CD-ROM drive with nothing in it.
    #[must_use]
    pub fn no_disc() -> Self {
        Self::of(Source::NoDisc)
    }

    /// The drive that the server makes for cloud-init.
    #[must_use]
    pub fn cloud_init(storage: StorageId) -> Self {
        Self::of(Source::CloudInit { storage })
    }

    fn of(source: Source) -> Self {
        Self { source, discard: None, ssd: None, io_thread: None, backup: None }
    }

    /// Whether the guest's discards reach the storage.
    #[must_use]
    pub fn discard(mut self, is_on: bool) -> Self {
        self.discard = Some(is_on);
        self
    }

    /// Whether it looks like a solid-state disk; not on `virtio`.
    #[must_use]
    pub fn ssd(mut self, is_on: bool) -> Self {
        self.ssd = Some(is_on);
        self
    }

    /// Whether it has a thread of its own; only on `scsi` and `virtio`.
    #[must_use]
    pub fn io_thread(mut self, is_on: bool) -> Self {
        self.io_thread = Some(is_on);
        self
    }

    /// Whether backups contain it.
    #[must_use]
    pub fn backup(mut self, is_on: bool) -> Self {
        self.backup = Some(is_on);
        self
    }

    /// Checks that the slot's bus knows every option.
    pub(crate) fn check(&self, slot: Slot) -> Result<(), Invalid> {
        let has_thread = matches!(slot.bus, Bus::Scsi | Bus::Virtio);
        if self.io_thread.is_some() && !has_thread {
            return Err(Invalid::new("drive slot", slot, "scsi or virtio for a thread of its own"));
        }
        if self.ssd.is_some() && slot.bus == Bus::Virtio {
            return Err(Invalid::new(
                "drive slot",
                slot,
                "another bus than virtio for a solid-state disk",
            ));
        }
        Ok(())
    }
}

impl fmt::Display for Drive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut pairs = Pairs::default();
        let mut file = |volume: &VolumeId| {
            // Without its key a volume whose name has a '=' would be read as another key.
            if volume.as_str().contains('=') {
                pairs.pair("file", volume);
            } else {
                pairs.word(volume);
            }
        };
        match &self.source {
            Source::Disk(volume) | Source::Disc(volume) => file(volume),
            Source::NewDisk { storage, gibibytes } => {
                pairs.word(format_args!("{storage}:{gibibytes}"));
            }
            Source::CloudInit { storage } => pairs.word(format_args!("{storage}:cloudinit")),
            Source::NoDisc => pairs.word("none"),
        }
        if matches!(self.source, Source::Disc(_) | Source::NoDisc) {
            pairs.pair("media", "cdrom");
        }
        pairs.maybe("discard", self.discard.map(|is_on| if is_on { "on" } else { "ignore" }));
        pairs.flag("ssd", self.ssd);
        pairs.flag("iothread", self.io_thread);
        pairs.flag("backup", self.backup);
        pairs.write(f)
    }
}
