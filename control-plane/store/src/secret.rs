use crate::StoreError;
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, Nonce, RandomizedNonceKey},
    digest, rand,
};
use secrecy::{ExposeSecret, SecretBox};
use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const NONCE_BYTES: usize = 12;

/// The key that the record's secrets are encrypted with: 32 bytes.
#[derive(Clone)]
pub struct SecretKey(Arc<SecretBox<[u8; 32]>>);

/// Why the key file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SecretKeyError {
    /// Reading or writing failed.
    #[error("{action} the key file {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// It is not 32 bytes long.
    #[error("the key file {path} holds {found} bytes, 32 are expected")]
    Length {
        /// The file.
        path: PathBuf,
        /// Its length in bytes.
        found: usize,
    },
    /// Others than its owner and group may use it.
    #[error("the key file {path} has mode {mode:o}: everybody may use it; chmod 600 it")]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SecretKey").field(&self.id()).finish()
    }
}

impl SecretKey {
    /// Wraps 32 random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Arc::new(SecretBox::new(Box::new(bytes))))
    }

    /// Reads the key, or makes it (mode 0600) if there is no such file. Blocks on the disk.
    ///
    /// # Errors
    /// If the file cannot be read or made, is not 32 bytes long, or everybody may use it.
    pub fn load_or_create(path: &Path) -> Result<Self, SecretKeyError> {
        match Self::load(path) {
            Err(SecretKeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                create(path)?;
                Self::load(path)
            }
            result => result,
        }
    }

    /// Names the key without telling it.
    #[must_use]
    pub fn id(&self) -> String {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"warren secret key\0");
        context.update(self.0.expose_secret());
        hex::encode(&context.finish().as_ref()[..8])
    }

    fn load(path: &Path) -> Result<Self, SecretKeyError> {
        let io =
            |action| move |source| SecretKeyError::Io { action, path: path.to_owned(), source };
        let mode = fs::metadata(path).map_err(io("look at"))?.mode() & 0o777;
        if mode & 0o007 != 0 {
            return Err(SecretKeyError::Mode { path: path.to_owned(), mode });
        }
        let bytes = SecretBox::new(Box::new(fs::read(path).map_err(io("read"))?));
        let found = bytes.expose_secret().len();
        let key = <[u8; 32]>::try_from(bytes.expose_secret().as_slice());
        key.map(Self::from_bytes)
            .map_err(|_| SecretKeyError::Length { path: path.to_owned(), found })
    }
}

/// Makes the file whole or not at all; a file that is there stays as it is.
fn create(path: &Path) -> Result<(), SecretKeyError> {
    let io = |action| move |source| SecretKeyError::Io { action, path: path.to_owned(), source };
    let mut bytes = SecretBox::new(Box::new([0; 32]));
    fill(&mut bytes).map_err(io("find random bytes for"))?;
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".new-{}", std::process::id()));
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new);
    let mut file = made.map_err(io("make"))?;
    let linked =
        file.write_all(bytes.expose_secret()).and_then(|()| file.sync_all()).and_then(|()| {
            match fs::hard_link(&new, path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                result => result,
            }
        });
    fs::remove_file(&new).and(linked).map_err(io("make"))?;
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(io("make"))
}

fn fill(bytes: &mut SecretBox<[u8; 32]>) -> io::Result<()> {
    use secrecy::ExposeSecretMut;
    rand::fill(bytes.expose_secret_mut()).map_err(io::Error::other)
}

/// Which cell a secret belongs to; a ciphertext that was moved to another cell does not open.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cell<'a> {
    /// Table and column, as `table.column`.
    pub(crate) column: &'static str,
    /// The row's primary key.
    pub(crate) row: &'a str,
}

impl Cell<'_> {
    fn associated_data(self) -> Aad<Vec<u8>> {
        Aad::from(format!("{}/{}", self.column, self.row).into_bytes())
    }

    fn error(self, key: &str) -> StoreError {
        StoreError::Secret { column: self.column, key: key.to_owned() }
    }
}

/// Encrypts and decrypts cells: AES-256-GCM, random nonces.
#[derive(Debug)]
pub(crate) struct Vault {
    key: RandomizedNonceKey,
    id: String,
}

impl Vault {
    pub(crate) fn new(key: &SecretKey) -> Self {
        let id = key.id();
        let key = RandomizedNonceKey::new(&AES_256_GCM, key.0.expose_secret())
            .expect("32 bytes are a key of AES-256-GCM");
        Self { key, id }
    }

    /// The identifier to store beside what was sealed.
    pub(crate) fn key_id(&self) -> &str {
        &self.id
    }

    /// Nonce and ciphertext with tag.
    pub(crate) fn seal(&self, cell: Cell<'_>, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut text = plain.to_vec();
        let nonce = self
            .key
            .seal_in_place_append_tag(cell.associated_data(), &mut text)
            .map_err(|_| cell.error(&self.id))?;
        Ok([nonce.as_ref().as_slice(), &text].concat())
    }

    pub(crate) fn open(
        &self,
        cell: Cell<'_>,
        key_id: &str,
        sealed: &[u8],
    ) -> Result<SecretBox<Vec<u8>>, StoreError> {
        let error = |()| cell.error(key_id);
        if key_id != self.id {
            return Err(error(()));
        }
        let (nonce, text) = sealed.split_at_checked(NONCE_BYTES).ok_or(()).map_err(error)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| error(()))?;
        let mut text = text.to_vec();
        let plain = self.key.open_in_place(nonce, cell.associated_data(), &mut text);
        let length = plain.map_err(|_| error(()))?.len();
        text.truncate(length);
        Ok(SecretBox::new(Box::new(text)))
    }
}

/// SHA-256, as tokens are stored.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = digest::digest(&digest::SHA256, bytes);
    digest.as_ref().try_into().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CELL: Cell<'_> = Cell { column: "tenants.keys", row: "1" };

    #[test]
    fn a_secret_opens_in_its_own_cell_and_with_its_own_key_only() {
        let vault = Vault::new(&SecretKey::from_bytes([1; 32]));
        let sealed = vault.seal(CELL, b"secret").expect("sealing works");
        let plain = vault.open(CELL, vault.key_id(), &sealed).expect("it is the same cell");
        assert_eq!(plain.expose_secret(), b"secret");

        let elsewhere = Cell { row: "2", ..CELL };
        assert!(vault.open(elsewhere, vault.key_id(), &sealed).is_err());
        let other = Vault::new(&SecretKey::from_bytes([2; 32]));
        assert!(other.open(CELL, vault.key_id(), &sealed).is_err());
        assert!(other.open(CELL, other.key_id(), &sealed).is_err());
        assert!(vault.open(CELL, vault.key_id(), &sealed[..5]).is_err());
    }

    #[test]
    fn the_same_secret_is_never_stored_the_same_way_twice() {
        let vault = Vault::new(&SecretKey::from_bytes([1; 32]));
        let seal = || vault.seal(CELL, b"secret").expect("sealing works");
        assert_ne!(seal(), seal());
    }

    #[test]
    fn a_key_file_is_made_once_for_its_owner_and_read_afterwards() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret.key");
        let key = SecretKey::load_or_create(&path).expect("it can be made");
        assert_eq!(SecretKey::load_or_create(&path).expect("it is there").id(), key.id());
        let mode = fs::metadata(&path).expect("it is there").mode() & 0o777;
        assert_eq!(mode, 0o600);
        let files = fs::read_dir(folder.path()).expect("the folder is there").count();
        assert_eq!(files, 1, "nothing else is left behind");
    }

    #[test]
    fn a_key_file_that_everybody_may_read_or_that_is_cut_off_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("secret.key");
        fs::write(&path, [0; 31]).expect("the folder is writable");
        let chmod = |mode| fs::set_permissions(&path, fs::Permissions::from_mode(mode));
        chmod(0o604).expect("it is ours");
        let error = SecretKey::load_or_create(&path).expect_err("others may read it");
        assert!(matches!(error, SecretKeyError::Mode { mode: 0o604, .. }), "{error}");
        chmod(0o600).expect("it is ours");
        let error = SecretKey::load_or_create(&path).expect_err("a byte is missing");
        assert!(matches!(error, SecretKeyError::Length { found: 31, .. }), "{error}");
    }

    #[test]
    fn a_key_does_not_show_itself() {
        let shown = format!("{:?}", SecretKey::from_bytes([7; 32]));
        assert_eq!(shown.len(), r#"SecretKey("0123456789abcdef")"#.len(), "{shown}");
        assert!(!shown.contains("0707"), "{shown}");
    }
}
