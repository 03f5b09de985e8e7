use jiff::Timestamp;
use uuid::Uuid;

/// Tells the time. Injected, so that a test decides what "now" is.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present instant, UTC.
    fn now(&self) -> Timestamp;
}

/// Makes identifiers. Injected, so that a test decides them.
pub trait IdGen: Send + Sync + std::fmt::Debug {
    /// A new UUID, version 7 (RFC 9562): later ones sort after earlier ones.
    fn uuid(&self) -> Uuid;
    /// `N` unguessable bytes from the operating system.
    fn secret(&self) -> [u8; 32];
}
