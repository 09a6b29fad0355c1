//! Where a body ends, and taking it off the wire piece by piece.

use crate::link::Wire;
use crate::message::{BodyError, Frame};
use bytes::Buf;
use ringwall_head::chunk::{Decoder, Piece};
use std::task::{Context, Poll, ready};

/// What is left of the body that is being read.
#[derive(Debug, Default)]
pub(super) enum Framing {
    /// Nothing: the next bytes are the next message.
    #[default]
    Done,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunked(Decoder),
    /// Everything until the stream ends.
    UntilClose,
    /// It broke; the stream cannot be used any more.
    Broken,
}

impl Framing {
    /// Whether the stream stands at the beginning of a message.
    pub(super) const fn is_done(&self) -> bool {
        matches!(self, Self::Done | Self::Length(0))
    }

    /// The next frame of the body.
    pub(super) fn poll(
        &mut self,
        wire: &mut Wire,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame, BodyError>>> {
        loop {
            match self.step(wire) {
                Ok(Step::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Step::End) => {
                    wire.rest();
                    return Poll::Ready(None);
                }
                Ok(Step::Starved) => {}
                Err(error) => {
                    *self = Self::Broken;
                    return Poll::Ready(Some(Err(error)));
                }
            }
            let ended = !matches!(ready!(wire.poll_fill(context)), Ok(1..));
            match (ended, &*self) {
                (true, Self::UntilClose) => *self = Self::Done,
                (true, _) => {
                    *self = Self::Broken;
                    return Poll::Ready(Some(Err(BodyError::Closed)));
                }
                (false, _) => {}
            }
        }
    }

    fn step(&mut self, wire: &mut Wire) -> Result<Step, BodyError> {
        match self {
            Self::Done | Self::Length(0) => Ok(Step::End),
            Self::Broken => Err(BodyError::Closed),
            Self::Length(_) | Self::UntilClose if wire.input.is_empty() => Ok(Step::Starved),
            Self::UntilClose => Ok(Step::Frame(Frame::Bytes(wire.take(u64::MAX)))),
            Self::Length(left) => {
                let bytes = wire.take(*left);
                *left = left.saturating_sub(bytes.len() as u64);
                Ok(Step::Frame(Frame::Bytes(bytes)))
            }
            Self::Chunked(decoder) => match decoder.next(&wire.input).map_err(|_| BodyError::Malformed)? {
                Piece::Partial => Ok(Step::Starved),
                Piece::Content { framing, content } => {
                    wire.input.advance(framing);
                    if content == 0 {
                        return Ok(Step::Starved);
                    }
                    Ok(Step::Frame(Frame::Bytes(wire.take(content as u64))))
                }
                Piece::End { framing, trailers } => {
                    wire.input.advance(framing);
                    *self = Self::Done;
                    if trailers.0.is_empty() { Ok(Step::End) } else { Ok(Step::Frame(Frame::Trailers(trailers))) }
                }
            },
        }
    }
}

enum Step {
    Frame(Frame),
    End,
    Starved,
}
