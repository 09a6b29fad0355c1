//! Lines that are alike: most of what a line says was said by a line before. One that stands for its kind is kept, and of the
//! next one of that kind only what differs is written anew.
//!
//! In: parts of a format, an exchange. Out: the same bytes as without this. Bounded: so many lines a thread, none of them
//! long; who makes calls that are unlike each other makes them be written whole, nothing worse.

use super::Part;
use super::line::Line;
use super::operator::Likeness;
use crate::telemetry::Names;
use ringwall_model::{Exchange, Field, Fields, Trace};
use std::sync::Arc;

/// Lines that are kept.
const PLACES: usize = 16;
/// A line longer than this is not kept.
const LONGEST: usize = 2048;
/// A place is given to another line after so many that had little in common with its own.
const PATIENCE: u8 = 16;

/// What a thread writes lines with.
#[derive(Debug, Default)]
pub struct Pen {
    pub(super) line: Line,
    kept: [Option<Box<Kept>>; PLACES],
}

/// A line that stands for its kind.
#[derive(Debug)]
struct Kept {
    parts: Arc<[Part]>,
    of: Exchange,
    line: Vec<u8>,
    /// Where each part of it ends.
    ends: Vec<usize>,
    unlike: u8,
}

impl Pen {
    /// Writes all parts into its line, which is empty before.
    pub(super) fn write(&mut self, parts: &Arc<[Part]>, exchange: &Exchange, names: &Names<'_>) {
        self.line.begin();
        let place = usize::from(exchange.status) + exchange.cluster.len() + exchange.target.len();
        let Some(place) = self.kept.get_mut(place % PLACES) else { return };
        if let Some(kept) = place {
            if Arc::ptr_eq(&kept.parts, parts) && kept.follow(exchange, names, &mut self.line) * 2 <= kept.operators() {
                return kept.unlike = 0;
            }
            kept.unlike += 1;
            if kept.unlike < PATIENCE {
                if self.line.written().is_empty() {
                    parts.iter().for_each(|part| part.write(exchange, names, &mut self.line));
                }
                return;
            }
        }
        self.line.begin();
        let mut ends = Vec::with_capacity(parts.len());
        for part in parts.iter() {
            part.write(exchange, names, &mut self.line);
            ends.push(self.line.place());
        }
        // What may hold a credential is not kept in memory for longer than it is needed.
        let keeps = self.line.place() <= LONGEST && !exchange.target.contains(&b'?');
        *place = keeps.then(|| {
            let line = self.line.written().to_vec();
            Box::new(Kept { parts: parts.clone(), of: copy(exchange), line, ends, unlike: 0 })
        });
    }
}

impl Kept {
    /// Takes over what is the same; how many parts are not.
    fn follow(&self, exchange: &Exchange, names: &Names<'_>, line: &mut Line) -> usize {
        let likeness = Likeness::of(exchange, &self.of);
        let (mut taken, mut end, mut differing) = (0, 0, 0);
        for (part, its_end) in self.parts.iter().zip(&self.ends) {
            if !part.is_same(&likeness) {
                line.text(self.line.get(taken..end).unwrap_or_default());
                part.write(exchange, names, line);
                (taken, differing) = (*its_end, differing + 1);
            }
            end = *its_end;
        }
        line.text(self.line.get(taken..end).unwrap_or_default());
        differing
    }

    fn operators(&self) -> usize {
        self.ends.len().div_ceil(2)
    }
}

/// What operators look at, in memory of its own: the bytes of a call are parts of what its connection read.
fn copy(exchange: &Exchange) -> Exchange {
    let fields = |fields: &Fields| {
        let own = |field: &Field| Field { name: field.name.to_vec().into(), value: field.value.to_vec().into() };
        Fields(fields.iter().map(own).collect())
    };
    Exchange {
        method: exchange.method.to_vec().into(),
        target: exchange.target.to_vec().into(),
        authority: exchange.authority.to_vec().into(),
        request_fields: fields(&exchange.request_fields),
        response_fields: fields(&exchange.response_fields),
        trace: Trace::default(),
        decided: None,
        inspected: None,
        span: None,
        ..exchange.clone()
    }
}
