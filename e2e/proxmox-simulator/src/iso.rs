//! Reading an image of a CD: ISO 9660 (ECMA-119) with the names of Rock Ridge or Joliet, the root folder only.

use std::collections::BTreeMap;

/// Bytes of a sector.
const SECTOR: usize = 2048;
/// Where the descriptors begin.
const DESCRIPTORS: usize = 16;
/// Descriptors that are looked at.
const MOST: usize = 32;

/// What is on a CD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Disc {
    /// The name of the volume.
    pub label: String,
    /// The files of the root folder.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Why an image cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IsoError {
    #[error("is no ISO 9660 image")]
    NoVolume,
    #[error("ends before its own end")]
    CutOff,
}

/// One of the volume's directories of the same files.
struct Volume<'a> {
    label: &'a [u8],
    root: &'a [u8],
    is_joliet: bool,
}

impl Disc {
    /// Reads an image.
    ///
    /// # Errors
    /// If it is none, or not whole.
    pub fn read(image: &[u8]) -> Result<Self, IsoError> {
        let (primary, joliet) = volumes(image)?;
        let own = entries(image, &primary)?;
        let has_long_names = own.iter().any(|entry| entry.rock_ridge.is_some());
        let entries = match &joliet {
            Some(joliet) if !has_long_names => entries(image, joliet)?,
            _ => own,
        };
        let label = String::from_utf8_lossy(primary.label).trim_end().to_owned();
        let mut files = BTreeMap::new();
        for entry in entries {
            files.insert(entry.rock_ridge.unwrap_or(entry.name), entry.content.to_vec());
        }
        Ok(Self { label, files })
    }
}

fn volumes(image: &[u8]) -> Result<(Volume<'_>, Option<Volume<'_>>), IsoError> {
    let (mut primary, mut joliet) = (None, None);
    for number in DESCRIPTORS..DESCRIPTORS + MOST {
        let Some(sector) = image.get(number * SECTOR..(number + 1) * SECTOR) else { break };
        if sector.get(1..6) != Some(b"CD001") {
            break;
        }
        let is_joliet = sector.get(88..91).is_some_and(|escape| {
            [b"%/@", b"%/C", b"%/E"].into_iter().any(|known| escape == known)
        });
        let volume = Volume { label: &sector[40..72], root: &sector[156..190], is_joliet };
        match sector[0] {
            1 => primary = Some(volume),
            2 if is_joliet => joliet = Some(volume),
            255 => break,
            _ => {}
        }
    }
    Ok((primary.ok_or(IsoError::NoVolume)?, joliet))
}

struct File<'a> {
    name: String,
    rock_ridge: Option<String>,
    content: &'a [u8],
}

fn entries<'a>(image: &'a [u8], volume: &Volume<'_>) -> Result<Vec<File<'a>>, IsoError> {
    let folder = extent(image, volume.root)?;
    let mut found = Vec::new();
    let mut at = 0;
    while at < folder.len() {
        let length = usize::from(folder[at]);
        if length == 0 {
            // Records do not cross sectors: the rest of this one is empty.
            at = (at / SECTOR + 1) * SECTOR;
            continue;
        }
        let record = folder.get(at..at + length).ok_or(IsoError::CutOff)?;
        at += length;
        let name_length = usize::from(*record.get(32).ok_or(IsoError::CutOff)?);
        let name = record.get(33..33 + name_length).ok_or(IsoError::CutOff)?;
        let is_folder = record[25] & 2 != 0;
        if is_folder {
            continue;
        }
        // The name is padded to an even length.
        let system = record.get(33 + name_length + (1 - name_length % 2)..).unwrap_or_default();
        let rock_ridge = if volume.is_joliet { None } else { rock_ridge_name(image, system, 0) };
        let name = if volume.is_joliet { joliet_name(name) } else { plain_name(name) };
        found.push(File { name, rock_ridge, content: extent(image, record)? });
    }
    Ok(found)
}

/// The bytes that a directory record speaks of.
fn extent<'a>(image: &'a [u8], record: &[u8]) -> Result<&'a [u8], IsoError> {
    let number = |at: usize| {
        let bytes = record.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        let number = bytes.map(u32::from_le_bytes).ok_or(IsoError::CutOff)?;
        usize::try_from(number).map_err(|_| IsoError::CutOff)
    };
    let (start, length) = (number(2)?.saturating_mul(SECTOR), number(10)?);
    image.get(start..start.saturating_add(length)).ok_or(IsoError::CutOff)
}

fn plain_name(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name).to_lowercase();
    let text = text.split(';').next().unwrap_or_default();
    text.trim_end_matches('.').to_owned()
}

fn joliet_name(name: &[u8]) -> String {
    let units: Vec<u16> =
        name.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
    let text = String::from_utf16_lossy(&units);
    text.split(';').next().unwrap_or_default().to_owned()
}

/// The name in the system use area (SUSP 5, RRIP 4.1.4), which may go on elsewhere.
fn rock_ridge_name(image: &[u8], mut area: &[u8], depth: u32) -> Option<String> {
    let mut name: Option<String> = None;
    while let [first, second, length, _, rest @ ..] = area {
        let length = usize::from(*length);
        let body = rest.get(..length.checked_sub(4)?)?;
        match [*first, *second] {
            [b'N', b'M'] => {
                let part = String::from_utf8_lossy(body.get(1..)?).into_owned();
                name = Some(name.unwrap_or_default() + &part);
            }
            [b'C', b'E'] if depth < 4 => {
                let number = |at: usize| {
                    let bytes: [u8; 4] = body.get(at..at + 4)?.try_into().ok()?;
                    usize::try_from(u32::from_le_bytes(bytes)).ok()
                };
                let start = number(0)?.checked_mul(SECTOR)?.checked_add(number(8)?)?;
                let more = image.get(start..start.checked_add(number(16)?)?)?;
                let part = rock_ridge_name(image, more, depth + 1);
                name = match (name, part) {
                    (Some(name), Some(part)) => Some(name + &part),
                    (name, part) => name.or(part),
                };
            }
            _ => {}
        }
        area = area.get(length..)?;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Names, image};

    #[test]
    fn files_are_found_by_either_kind_of_long_names() {
        let files = [("meta-data", "instance-id: a\n"), ("network-config", "version: 2\n")];
        for names in [Names::RockRidge, Names::Joliet] {
            let disc = Disc::read(&image("cidata", &files, names)).expect("is an image");
            assert_eq!(disc.label, "cidata");
            let found: Vec<_> = disc.files.keys().map(String::as_str).collect();
            assert_eq!(found, ["meta-data", "network-config"], "{names:?}");
            assert_eq!(disc.files["meta-data"], b"instance-id: a\n");
        }
    }

    #[test]
    fn what_is_no_image_or_cut_off_is_refused() {
        assert_eq!(Disc::read(b"no image"), Err(IsoError::NoVolume));
        let whole = image("cidata", &[("user-data", "text")], Names::RockRidge);
        assert_eq!(Disc::read(&whole[..20 * SECTOR]), Err(IsoError::CutOff));
    }
}
