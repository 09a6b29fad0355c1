//! Heads and bodies as bytes.

use crate::link::Wire;
use crate::message::{Body, BodyError, Frame};
use bytes::{BufMut, BytesMut};
use ringwall_head::chunk;
use ringwall_model::{BodyLength, Field};
use std::task::{Context, Poll, ready};

/// How a body is delimited on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// There is none; a `content-length` that is there speaks of another message (`HEAD`, 304).
    Nothing,
    /// By `content-length`.
    Length,
    /// By chunks.
    Chunked,
    /// By the end of the stream.
    UntilClose,
}

/// Makes room for a head, and for a body of that length when it is short: it is written in one piece then.
pub(super) fn reserve(out: &mut BytesMut, length: BodyLength) {
    const SHORT: u64 = 16 * 1024;
    let body = match length {
        BodyLength::Known(length) if length <= SHORT => usize::try_from(length).unwrap_or_default(),
        _ => 0,
    };
    out.reserve(512 + body);
}

/// More than this is not gathered before it is written.
const HIGH_WATER: usize = 64 * 1024;

/// Appends field lines, with the field that delimits the body, and the empty line.
pub(super) fn fields<'a>(
    out: &mut BytesMut,
    fields: impl Iterator<Item = &'a Field>,
    length: BodyLength,
    delivery: Delivery,
) {
    let mut told = false;
    for field in fields {
        // INVARIANT: one framing field per message. The body's own delivery decides, whatever the fields say.
        let tells = field.is("content-length");
        told |= tells;
        if !(field.is("transfer-encoding") || (tells && chunked_or_open(delivery))) {
            line(out, &field.name, &field.value);
        }
    }
    match (delivery, length) {
        (Delivery::Chunked, _) => out.put_slice(b"transfer-encoding: chunked\r\n"),
        (Delivery::Length, BodyLength::Known(length)) if !told => {
            line(out, b"content-length", length.to_string().as_bytes());
        }
        (Delivery::Length, BodyLength::Empty) if !told => out.put_slice(b"content-length: 0\r\n"),
        _ => {}
    }
    out.put_slice(b"\r\n");
}

const fn chunked_or_open(delivery: Delivery) -> bool {
    matches!(delivery, Delivery::Chunked | Delivery::UntilClose)
}

pub(super) fn line(out: &mut BytesMut, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.put_slice(name);
    out.put_slice(b": ");
    out.put_slice(value);
    out.put_slice(b"\r\n");
}

/// Why a body was not written whole.
#[derive(Debug)]
pub(super) enum Unwritten {
    /// The sender of the body broke off.
    Source(BodyError),
    /// The receiver cannot be written to.
    Sink,
}

/// How far a body has been written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Content may follow.
    Content,
    /// The last chunk and the trailers stand in the output.
    Trailed,
    /// All stands in the output.
    Ended,
}

/// Writes a body, and before it what is in `wire.output`. Gathers what is there; flushes when nothing more is, so that
/// each event of a stream leaves at once.
pub(super) fn poll_body(
    wire: &mut Wire,
    body: &mut Body,
    delivery: Delivery,
    stage: &mut Stage,
    context: &mut Context<'_>,
) -> Poll<Result<(), Unwritten>> {
    loop {
        if *stage == Stage::Ended || wire.output.len() >= HIGH_WATER {
            ready!(wire.poll_flush(context)).map_err(|_| Unwritten::Sink)?;
        }
        if *stage == Stage::Ended {
            return Poll::Ready(Ok(()));
        }
        match body.poll_next(context) {
            Poll::Ready(Some(Ok(frame))) => append(&mut wire.output, &frame, delivery, stage),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(Unwritten::Source(error))),
            Poll::Ready(None) => {
                if delivery == Delivery::Chunked && *stage == Stage::Content {
                    wire.output.put_slice(b"0\r\n\r\n");
                }
                *stage = Stage::Ended;
            }
            Poll::Pending => {
                if let Poll::Ready(Err(_)) = wire.poll_flush(context) {
                    return Poll::Ready(Err(Unwritten::Sink));
                }
                return Poll::Pending;
            }
        }
    }
}

fn append(out: &mut BytesMut, frame: &Frame, delivery: Delivery, stage: &mut Stage) {
    match (frame, delivery) {
        (_, Delivery::Nothing) | (Frame::Trailers(_), Delivery::Length | Delivery::UntilClose) => {}
        (Frame::Bytes(bytes), _) if bytes.is_empty() => {}
        (Frame::Bytes(bytes), Delivery::Chunked) => {
            out.put_slice(&chunk::size_line(bytes.len()));
            out.put_slice(bytes);
            out.put_slice(b"\r\n");
        }
        (Frame::Bytes(bytes), _) => out.put_slice(bytes),
        (Frame::Trailers(fields), Delivery::Chunked) => {
            out.put_slice(b"0\r\n");
            fields.iter().for_each(|field| line(out, &field.name, &field.value));
            out.put_slice(b"\r\n");
            *stage = Stage::Trailed;
        }
    }
}
