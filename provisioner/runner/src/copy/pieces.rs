//! A stream of bytes, made of calls.

use super::CopyError;
use crate::{
    endpoint::{CallError, Pieces, Taken, Whole},
    inputs::hex,
    patience::Patience,
};
use ring::digest::{Context, SHA256};
use std::io::{self, Read, Write};

/// Where bytes go.
pub(super) struct Writer<'a> {
    endpoint: &'a Pieces,
    patience: &'a Patience,
    buffer: Vec<u8>,
    /// How many bytes were sent.
    sent: u64,
    of: u64,
    hash: Context,
}

/// Where bytes come from.
pub(super) struct Reader<'a> {
    endpoint: &'a Pieces,
    patience: &'a Patience,
    piece: Vec<u8>,
    read: usize,
    /// How many bytes were received.
    got: u64,
    hash: Context,
    end: Option<Whole>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(endpoint: &'a Pieces, patience: &'a Patience, of: u64) -> Self {
        let buffer = Vec::with_capacity(Pieces::MOST);
        Self { endpoint, patience, buffer, sent: 0, of, hash: Context::new(&SHA256) }
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<Whole, CopyError> {
        self.send().map_err(CopyError::Stream)?;
        Ok(Whole { bytes: self.sent, digest: format!("sha256:{}", hex(self.hash)) })
    }

    fn send(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let next = self.sent + self.buffer.len() as u64;
        // Asked again and again while the other side has not read what it has: it has all the time it needs.
        while call(self.patience, || self.endpoint.put(self.sent, self.of, &self.buffer))? < next {}
        self.hash.update(&self.buffer);
        self.sent = next;
        self.buffer.clear();
        Ok(())
    }
}

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() == Pieces::MOST {
            self.send()?;
        }
        let count = bytes.len().min(Pieces::MOST - self.buffer.len());
        self.buffer.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(endpoint: &'a Pieces, patience: &'a Patience) -> Self {
        let (piece, hash) = (Vec::new(), Context::new(&SHA256));
        Self { endpoint, patience, piece, read: 0, got: 0, hash, end: None }
    }

    /// What was sent, as its sender says, and what was received.
    pub(super) fn finish(mut self) -> Result<(Whole, Whole), CopyError> {
        if self.read(&mut [0]).map_err(CopyError::Stream)? > 0 {
            return Err(CopyError::Form("there is more after its end"));
        }
        let sent = self.end.ok_or(CopyError::Form("it has no end"))?;
        Ok((sent, Whole { bytes: self.got, digest: format!("sha256:{}", hex(self.hash)) }))
    }

    fn next(&mut self) -> io::Result<()> {
        while self.end.is_none() && self.read == self.piece.len() {
            match call(self.patience, || self.endpoint.take(self.got))? {
                Taken::Piece(piece) => {
                    self.hash.update(&piece);
                    self.got += piece.len() as u64;
                    (self.piece, self.read) = (piece, 0);
                }
                Taken::Nothing => {}
                Taken::End(whole) => self.end = Some(whole),
            }
        }
        Ok(())
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.next()?;
        let count = (&self.piece[self.read..]).read(buffer)?;
        self.read += count;
        Ok(count)
    }
}

/// Does a call for as long as Warren may be away, counted anew for each.
fn call<T>(patience: &Patience, call: impl FnMut() -> Result<T, CallError>) -> io::Result<T> {
    patience.end_in(super::PATIENCE);
    patience.persist(call).map_err(io::Error::other)
}
