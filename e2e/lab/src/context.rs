//! What every piece of the lab's work needs.

use crate::cancel::Cancel;
use crate::host::Host;
use crate::layout::Layout;
use crate::progress::Progress;

#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) layout: Layout,
    /// The way to make a host cluster, where one has to be made.
    pub(crate) host: Host,
    pub(crate) progress: Progress,
    pub(crate) cancel: Cancel,
}

impl Context {
    /// The same for work that has to be finished, whoever asks for the end.
    pub(crate) fn patient(&self) -> Self {
        Self { cancel: Cancel::default(), ..self.clone() }
    }
}
