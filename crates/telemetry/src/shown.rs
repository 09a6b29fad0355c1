//! What is written as text in JSON.

use serde::ser::{Serialize, Serializer};
use std::fmt::Display;

/// As its text.
pub struct Shown<T>(pub T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}
