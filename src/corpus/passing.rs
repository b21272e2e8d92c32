//! Pipes, which may say nothing for as long as they like: a wish to stop is heard meanwhile.

use std::io::{Cursor, Read, Result};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::task::Ticket;

/// Bytes read at a time, and pieces that wait to be taken.
const PIECE: usize = 1 << 18;
const WAITING: usize = 2;
/// How often a silent pipe is asked about a wish to stop.
const PATIENCE: Duration = Duration::from_millis(100);

/// Reads on a thread of its own. Where the work is stopped while the pipe is silent, that thread stays behind until the pipe
/// ends or the program does: nothing else wakes it.
pub(super) struct PassingReader {
    pieces: Receiver<Result<Vec<u8>>>,
    rest: Cursor<Vec<u8>>,
    ticket: Ticket,
}

impl PassingReader {
    /// Reads what `open` opens, which may take as long as reading it.
    ///
    /// # Errors
    /// Where no thread can be started.
    pub(super) fn start<R: Read>(open: impl FnOnce() -> Result<R> + Send + 'static, ticket: &Ticket) -> Result<Self> {
        let (send, pieces) = sync_channel(WAITING);
        std::thread::Builder::new().name("pipe".to_owned()).spawn(move || {
            let mut from = match open() {
                Ok(from) => from,
                Err(error) => return drop(send.send(Err(error))),
            };
            loop {
                let mut piece = vec![0u8; PIECE];
                let read = match from.read(&mut piece) {
                    Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
                    read => read,
                };
                let is_last = !matches!(read, Ok(1..));
                let piece = read.map(|length| {
                    piece.truncate(length);
                    piece
                });
                if send.send(piece).is_err() || is_last {
                    return;
                }
            }
        })?;
        Ok(Self { pieces, rest: Cursor::default(), ticket: ticket.clone() })
    }

    /// From here on another work's wish to stop is heard.
    pub(super) fn hear(&mut self, ticket: &Ticket) {
        self.ticket = ticket.clone();
    }
}

impl Read for PassingReader {
    /// # Errors
    /// Where the pipe fails, or a stop is asked for, which the ticket tells.
    fn read(&mut self, to: &mut [u8]) -> Result<usize> {
        loop {
            let read = self.rest.read(to)?;
            if read > 0 || to.is_empty() {
                return Ok(read);
            }
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(Ok(piece)) if piece.is_empty() => return Ok(0),
                Ok(piece) => self.rest = Cursor::new(piece?),
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
                Err(RecvTimeoutError::Timeout) => self.ticket.check().map_err(std::io::Error::other)?,
            }
        }
    }
}
