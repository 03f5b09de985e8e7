//! Small images of CDs, written for tests.

const SECTOR: usize = 2048;

/// How names are written into an image made for a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    RockRidge,
    Joliet,
}

fn record(name: &[u8], sector: usize, length: usize, flags: u8, system: &[u8]) -> Vec<u8> {
    let mut record = vec![0; 33];
    let put = |record: &mut Vec<u8>, at: usize, number: usize| {
        let number = u32::try_from(number).expect("is small");
        record[at..at + 4].copy_from_slice(&number.to_le_bytes());
        record[at + 4..at + 8].copy_from_slice(&number.to_be_bytes());
    };
    put(&mut record, 2, sector);
    put(&mut record, 10, length);
    record[25] = flags;
    record[32] = u8::try_from(name.len()).expect("is short");
    record.extend_from_slice(name);
    if name.len().is_multiple_of(2) {
        record.push(0);
    }
    record.extend_from_slice(system);
    record[0] = u8::try_from(record.len()).expect("is short");
    record
}

fn descriptor(kind: u8, label: &[u8], root: &[u8], escape: &[u8]) -> Vec<u8> {
    let mut sector = vec![0; SECTOR];
    sector[0] = kind;
    sector[1..6].copy_from_slice(b"CD001");
    sector[40..72].fill(b' ');
    sector[40..40 + label.len()].copy_from_slice(label);
    sector[88..88 + escape.len()].copy_from_slice(escape);
    sector[156..156 + root.len()].copy_from_slice(root);
    sector
}

/// A small image of a CD.
pub(crate) fn image(label: &str, files: &[(&str, &str)], names: Names) -> Vec<u8> {
    let (plain, joliet, content) = (20, 21, 22);
    let folder = |is_joliet: bool| {
        let mut folder = Vec::new();
        let mut sector = content;
        for (number, (name, text)) in files.iter().enumerate() {
            let short = format!("FILE{number}.;1");
            let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_be_bytes).collect();
            let mut system = vec![b'N', b'M', u8::try_from(name.len() + 5).expect("short"), 1, 0];
            system.extend_from_slice(name.as_bytes());
            let system = if names == Names::RockRidge && !is_joliet { system } else { Vec::new() };
            let name = if is_joliet { wide } else { short.into_bytes() };
            folder.extend(record(&name, sector, text.len(), 0, &system));
            sector += text.len().div_ceil(SECTOR).max(1);
        }
        folder.extend(record(&[1], plain, SECTOR, 2, &[]));
        folder.resize(SECTOR, 0);
        folder
    };
    let mut image = vec![0; 16 * SECTOR];
    let root = |sector| record(&[0], sector, SECTOR, 2, &[]);
    image.extend(descriptor(1, label.as_bytes(), &root(plain), &[]));
    if names == Names::Joliet {
        image.extend(descriptor(2, &[], &root(joliet), b"%/E"));
    }
    image.extend(descriptor(255, &[], &[], &[]));
    image.resize(plain * SECTOR, 0);
    image.extend(folder(false));
    image.extend(folder(true));
    for (_, text) in files {
        image.extend_from_slice(text.as_bytes());
        image.resize(image.len().next_multiple_of(SECTOR), 0);
    }
    image
}
