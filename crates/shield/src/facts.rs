//! What the shield knows of the world: reputation feeds and address databases, handed in as bytes and swapped alone.
//!
//! In: bytes of MaxMind DB files (format 2.0), networks of feeds. Out: country and autonomous system of an address.
//! Never: files, downloads; the shell does these.

use crate::AddressSet;
use bytes::Bytes;
use maxminddb::{PathElement, Reader};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// All that is known now. A name that is absent was never read.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Address databases by the name that policies give them.
    pub databases: BTreeMap<Arc<str>, Arc<Database>>,
    /// Feeds by the name that policies give them.
    pub feeds: BTreeMap<Arc<str>, Arc<AddressSet<()>>>,
}

/// A MaxMind DB: GeoLite2, GeoIP2, DB-IP or IPinfo, for countries or autonomous systems.
#[derive(Debug)]
pub struct Database {
    reader: Reader<Bytes>,
}

/// Why bytes are not an address database.
#[derive(Debug, thiserror::Error)]
#[error("not a MaxMind DB: {0}")]
pub struct BadDatabase(String);

impl Database {
    /// Takes the bytes of a whole file and checks its structure once (tree, data section), so that look-ups meet no
    /// broken pointer.
    ///
    /// # Errors
    /// [`BadDatabase`] when the bytes are not a sound MaxMind DB.
    pub fn read(bytes: Bytes) -> Result<Self, BadDatabase> {
        let reader = Reader::from_source(bytes).map_err(|error| BadDatabase(error.to_string()))?;
        reader.verify().map_err(|error| BadDatabase(error.to_string()))?;
        Ok(Self { reader })
    }

    /// ISO 3166-1 alpha-2 code, upper case: of the country where the address is, else of the one it is registered in.
    pub fn country(&self, address: IpAddr) -> Option<[u8; 2]> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        let at = |record: &'static str| {
            let path = [PathElement::Key(record), PathElement::Key("iso_code")];
            found.decode_path::<String>(&path).ok().flatten()
        };
        let code = at("country").or_else(|| at("registered_country"))?;
        <[u8; 2]>::try_from(code.to_ascii_uppercase().as_bytes()).ok()
    }

    /// Number of the autonomous system that announces the address.
    pub fn system(&self, address: IpAddr) -> Option<u32> {
        let found = self.reader.lookup(address.to_canonical()).ok()?;
        found.decode_path::<u32>(&[PathElement::Key("autonomous_system_number")]).ok().flatten()
    }
}

#[cfg(test)]
pub(crate) mod tests;
