//! Bytes on their way from one pod to another, through Warren: both connect outwards and show a token that is good for
//! this one way. A few pieces are in memory at a time, so whoever reads slowly holds up whoever writes.

use bytes::Bytes;
use domain::Digest;
use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::watch::{Receiver, Sender},
    time::timeout,
};

/// The most pieces in memory of one relay. A piece is as large as a body may be.
const PIECES: usize = 4;
/// How long a pod waits for room or for a piece before it is told to ask again; less than it waits for an answer.
const WAIT: Duration = Duration::from_secs(5);

/// All relays of a process; clones are the same ones. They are lost with it: what was under way begins anew.
#[derive(Clone, Default)]
pub struct Relays(Arc<Mutex<HashMap<String, End>>>);

/// One relay, from the side of whoever opened it. Dropping it closes both ends.
pub struct Relay {
    relays: Relays,
    tokens: [String; 2],
    state: Sender<State>,
}

/// One end of a relay, from the side of whoever showed its token.
#[derive(Debug, Clone)]
pub struct End {
    side: Side,
    state: Sender<State>,
}

/// Which end it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Bytes come from here.
    Out,
    /// Bytes go there.
    In,
}

/// All that one side has sent, or got.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    pub digest: Digest,
}

/// How far a relay is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many bytes the one side has sent.
    pub bytes: u64,
    /// How many it says that there are, about; nothing before it has counted.
    pub of: Option<u64>,
    /// What it came to: the other side has got all of it and has kept it, or what went wrong.
    pub outcome: Option<Result<Whole, String>>,
}

/// What a side gets that asks for bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// The bytes from where it asked.
    Piece(Bytes),
    /// None yet.
    Nothing,
    /// There are no more.
    End(Whole),
}

/// Why a side's call had no effect.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RelayError {
    /// The bytes before, or after, have their turn.
    #[error("the next byte is number {next}")]
    Gap {
        /// Where it goes on.
        next: u64,
    },
    /// That is the other side's call.
    #[error("this is not for this end of the relay")]
    WrongSide,
}

#[derive(Debug, Default)]
struct State {
    pieces: VecDeque<(u64, Bytes)>,
    sent: u64,
    of: Option<u64>,
    whole: Option<Whole>,
    outcome: Option<Result<Whole, String>>,
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relays({} ends)", self.ends().len())
    }
}

impl fmt::Debug for Relay {
    /// Without its tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Relay({:?})", self.passed())
    }
}

impl Relays {
    /// Opens a relay whose ends show these tokens.
    #[must_use]
    pub fn open(&self, out: String, into: String) -> Relay {
        let state = Sender::new(State::default());
        let tokens = [out, into];
        for (token, side) in tokens.iter().zip([Side::Out, Side::In]) {
            self.ends().insert(token.clone(), End { side, state: state.clone() });
        }
        Relay { relays: self.clone(), tokens, state }
    }

    /// The end that this token is good for.
    #[must_use]
    pub fn end(&self, token: &str) -> Option<End> {
        self.ends().get(token).cloned()
    }

    fn ends(&self) -> MutexGuard<'_, HashMap<String, End>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let mut ends = self.relays.ends();
        for token in &self.tokens {
            ends.remove(token);
        }
    }
}

impl Relay {
    /// How far it is.
    #[must_use]
    pub fn passed(&self) -> Passed {
        let state = self.state.borrow();
        Passed { bytes: state.sent, of: state.of, outcome: state.outcome.clone() }
    }
}

impl End {
    /// Sends the bytes from number `at` on, of `of` in all. Where it goes on: at the same place if there was no room.
    ///
    /// # Errors
    /// If other bytes have their turn, or this is where they go to.
    pub async fn put(&self, at: u64, of: u64, bytes: Bytes) -> Result<u64, RelayError> {
        self.check(Side::Out)?;
        let mut watched = self.state.subscribe();
        let has_room = |state: &State| state.pieces.len() < PIECES || at < state.sent;
        wait(&mut watched, has_room).await;
        let mut result = Err(RelayError::Gap { next: 0 });
        self.state.send_if_modified(|state| {
            state.of = Some(of);
            let is_repeated = at.saturating_add(bytes.len() as u64) <= state.sent;
            let is_next = at == state.sent && state.pieces.len() < PIECES && !bytes.is_empty();
            result = if is_repeated || at == state.sent {
                Ok(state.sent + if is_next { bytes.len() as u64 } else { 0 })
            } else {
                Err(RelayError::Gap { next: state.sent })
            };
            if is_next {
                state.pieces.push_back((at, bytes.clone()));
                state.sent += bytes.len() as u64;
            }
            is_next
        });
        result
    }

    /// Gets the bytes from number `at` on; those before it are not needed any more.
    ///
    /// # Errors
    /// If bytes are asked for that are not there any more or never were, or this is where they come from.
    pub async fn take(&self, at: u64) -> Result<Taken, RelayError> {
        self.check(Side::In)?;
        self.state.send_if_modified(|state| {
            let before = state.pieces.len();
            state.pieces.retain(|(from, bytes)| from + bytes.len() as u64 > at);
            state.pieces.len() != before
        });
        let mut watched = self.state.subscribe();
        let is_there = |state: &State| !state.pieces.is_empty() || state.whole.is_some();
        wait(&mut watched, is_there).await;
        let state = self.state.borrow();
        match (state.pieces.front(), &state.whole) {
            (Some((from, bytes)), _) if *from == at => Ok(Taken::Piece(bytes.clone())),
            (Some((from, _)), _) => Err(RelayError::Gap { next: *from }),
            (None, _) if at != state.sent => Err(RelayError::Gap { next: state.sent }),
            (None, Some(whole)) => Ok(Taken::End(whole.clone())),
            (None, None) => Ok(Taken::Nothing),
        }
    }

    /// Says what this side has sent or got and kept, or what went wrong. It is done when both say the same.
    pub fn finish(&self, said: Result<Whole, String>) {
        let side = self.side;
        self.state.send_modify(|state| match said {
            // The first thing that went wrong explains the others.
            Err(problem) => drop(state.outcome.get_or_insert(Err(problem))),
            Ok(whole) if side == Side::Out => state.whole = Some(whole),
            Ok(got) => {
                let outcome = match &state.whole {
                    Some(whole) if *whole == got => Ok(got),
                    _ => Err("what was received is not what was sent".to_owned()),
                };
                state.outcome.get_or_insert(outcome);
            }
        });
    }

    const fn check(&self, side: Side) -> Result<(), RelayError> {
        match (side, self.side) {
            (Side::Out, Side::Out) | (Side::In, Side::In) => Ok(()),
            (Side::Out, Side::In) | (Side::In, Side::Out) => Err(RelayError::WrongSide),
        }
    }
}

/// Waits for a while; whoever asks again waits on.
async fn wait(watched: &mut Receiver<State>, is_so: impl FnMut(&State) -> bool) {
    // Neither the end of the time nor that of the relay is a matter here.
    let _ = timeout(WAIT, watched.wait_for(is_so)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: u64, digit: char) -> Whole {
        let digest = format!("sha256:{}", digit.to_string().repeat(64)).parse();
        Whole { bytes, digest: digest.expect("a digest") }
    }

    fn ends() -> (Relays, Relay, End, End) {
        let relays = Relays::default();
        let relay = relays.open("a".to_owned(), "b".to_owned());
        let (out, into) = (relays.end("a").expect("open"), relays.end("b").expect("open"));
        (relays, relay, out, into)
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_repeated_after_a_lost_reply_is_passed_on_once() {
        let (_, relay, out, into) = ends();
        assert_eq!(out.put(0, 5, Bytes::from("abc")).await, Ok(3));
        assert_eq!(out.put(0, 5, Bytes::from("abc")).await, Ok(3));
        assert_eq!(out.put(3, 5, Bytes::from("de")).await, Ok(5));
        for _ in 0..2 {
            assert_eq!(into.take(0).await, Ok(Taken::Piece(Bytes::from("abc"))));
        }
        assert_eq!(into.take(3).await, Ok(Taken::Piece(Bytes::from("de"))));
        assert_eq!(into.take(5).await, Ok(Taken::Nothing));
        assert_eq!(into.take(0).await, Err(RelayError::Gap { next: 5 }));
        let far = out.put(u64::MAX, 5, Bytes::from("x")).await;
        assert_eq!(far, Err(RelayError::Gap { next: 5 }));
        out.finish(Ok(whole(5, 'a')));
        assert_eq!(into.take(5).await, Ok(Taken::End(whole(5, 'a'))));
        assert_eq!(relay.passed(), Passed { bytes: 5, of: Some(5), outcome: None });
        into.finish(Ok(whole(5, 'a')));
        assert_eq!(relay.passed().outcome, Some(Ok(whole(5, 'a'))));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_reads_slowly_holds_up_whoever_writes() {
        let (_, _relay, out, into) = ends();
        for at in 0..PIECES as u64 {
            assert_eq!(out.put(at, 9, Bytes::from("x")).await, Ok(at + 1));
        }
        let full = PIECES as u64;
        assert_eq!(out.put(full, 9, Bytes::from("x")).await, Ok(full), "not taken");
        let waits = tokio::spawn({
            let out = out.clone();
            async move { out.put(full, 9, Bytes::from("x")).await }
        });
        tokio::task::yield_now().await;
        assert!(!waits.is_finished());
        assert_eq!(into.take(1).await, Ok(Taken::Piece(Bytes::from("x"))));
        assert_eq!(waits.await.expect("it ends"), Ok(full + 1));
    }

    #[tokio::test(start_paused = true)]
    async fn other_bytes_than_were_sent_are_no_success_and_the_first_problem_stays() {
        let (_, relay, out, into) = ends();
        out.finish(Ok(whole(5, 'a')));
        into.finish(Ok(whole(5, 'b')));
        assert!(matches!(relay.passed().outcome, Some(Err(_))));
        let (_, relay, out, into) = ends();
        out.finish(Err("the disk is broken".to_owned()));
        into.finish(Err("it went away".to_owned()));
        assert_eq!(relay.passed().outcome, Some(Err("the disk is broken".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_good_for_its_own_end_and_while_the_relay_is_open() {
        let (relays, relay, out, into) = ends();
        assert_eq!(into.put(0, 1, Bytes::from("x")).await, Err(RelayError::WrongSide));
        assert_eq!(out.take(0).await, Err(RelayError::WrongSide));
        drop(relay);
        assert!(relays.end("a").is_none() && relays.end("b").is_none());
    }
}
