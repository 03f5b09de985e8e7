//! The image that a machine reads at its first start: ISO 9660 with the names of Rock Ridge, labelled as cloud-init's
//! data source `NoCloud` wants it.

use hadris_iso::{
    read::PathSeparator,
    write::{
        InputEntry, InputTree, IsoCreationError, IsoImageWriter,
        options::{CreationFeatures, IsoFormatOptions},
    },
};
use std::io::Cursor;

/// Bytes of a sector (ECMA-119, section 6.1).
const SECTOR: usize = 2048;

/// Makes an image of some small files.
pub(super) fn write(label: &str, files: &[(&str, String)]) -> Result<Vec<u8>, IsoCreationError> {
    let entries = files.iter().map(|(name, text)| InputEntry::file(*name, text.as_bytes()));
    let tree = InputTree::new(PathSeparator::ForwardSlash, entries.collect());
    let options = IsoFormatOptions {
        volume_name: label.to_owned(),
        features: CreationFeatures::rock_ridge(),
        path_separator: PathSeparator::ForwardSlash,
        sector_size: SECTOR,
        system_id: None,
        volume_set_id: None,
        publisher_id: None,
        preparer_id: None,
        application_id: None,
        strict_charset: false,
    };
    Ok(IsoImageWriter::create(Cursor::new(Vec::new()), tree, options)?.into_inner())
}
