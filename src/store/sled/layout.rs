//! How records lie in sled: one tree, a record cut into parts.
//!
//! A sled key is the table's name, the record's key (escaped, so that order is kept) and a part
//! number. The number of commits has a key of its own, which is no table's.

use crate::store::{Entry, StoreFault, Table, VALUE_BYTES_LIMIT, readable};

/// A value is cut into parts of this size.
const PART_BYTES: usize = 4096;
// Part numbers are one byte.
const _: () = assert!(VALUE_BYTES_LIMIT / PART_BYTES <= u8::MAX as usize);

/// Where the number of commits is kept: no table's name is empty, so it is in nobody's way.
pub(super) const COMMITS_KEY: &[u8] = b"\0commits";

/// All records of a table, in key order.
pub(super) fn entries_of(db: &sled::Db, table: Table) -> Result<Vec<Entry>, StoreFault> {
    let prefix = table_prefix(table);
    let mut entries: Vec<Entry> = Vec::new();
    for entry in db.scan_prefix(&prefix) {
        let (sled_key, chunk) = entry.map_err(|error| StoreFault::Corrupt(error.to_string()))?;
        let corrupt = || {
            let key = readable(&sled_key[prefix.len()..]);
            StoreFault::Corrupt(format!("table `{table}` has a damaged part at `{key}`"))
        };
        let (key, part) = parse_key(&sled_key[prefix.len()..]).ok_or_else(corrupt)?;
        match (part, entries.last_mut()) {
            (0, _) => entries.push((key, chunk.to_vec())),
            // Parts follow each other without a gap, all but the last of them full.
            (part, Some((last, value)))
                if *last == key && value.len() == usize::from(part) * PART_BYTES =>
            {
                value.extend_from_slice(&chunk);
            }
            _ => return Err(corrupt()),
        }
    }
    Ok(entries)
}

/// A record's parts as they are now, and where they begin: its place can be made so again.
pub(super) fn parts_of(db: &sled::Db, table: Table, key: &[u8]) -> Result<Parts, StoreFault> {
    let mut prefix = table_prefix(table);
    append_key(&mut prefix, key);
    let parts = db.scan_prefix(&prefix).map(|part| {
        let (key, chunk) = part.map_err(|error| StoreFault::Corrupt(error.to_string()))?;
        Ok((key.to_vec(), chunk.to_vec()))
    });
    Ok(Parts { parts: parts.collect::<Result<_, _>>()?, prefix })
}

/// Everything that lies at one record's place.
#[derive(Debug)]
pub(super) struct Parts {
    pub prefix: Vec<u8>,
    pub parts: Vec<(Vec<u8>, Vec<u8>)>,
}

/// Puts a record, or its absence, in the place of whatever parts it had.
pub(super) fn add_parts(
    db: &sled::Db,
    writes: &mut sled::Batch,
    table: Table,
    key: &[u8],
    value: Option<Vec<u8>>,
) -> Result<(), StoreFault> {
    let mut prefix = table_prefix(table);
    append_key(&mut prefix, key);
    for old in db.scan_prefix(&prefix).keys() {
        writes.remove(old.map_err(|error| StoreFault::Corrupt(error.to_string()))?);
    }
    // A later insert replaces the removal of the same part: a sled batch is a map.
    let Some(value) = value else { return Ok(()) };
    let parts = value.len().div_ceil(PART_BYTES).max(1);
    for part in 0..parts {
        let mut part_key = prefix.clone();
        part_key.push(part as u8);
        let chunk = &value[part * PART_BYTES..value.len().min((part + 1) * PART_BYTES)];
        writes.insert(part_key, chunk);
    }
    Ok(())
}

pub(super) fn commits_in(db: &sled::Db) -> Result<u64, StoreFault> {
    match db.get(COMMITS_KEY).map_err(|error| StoreFault::Corrupt(error.to_string()))? {
        None => Ok(0),
        Some(number) => match number.as_ref().try_into() {
            Ok(number) => Ok(u64::from_be_bytes(number)),
            Err(_) => Err(StoreFault::Corrupt("the number of commits is damaged".to_owned())),
        },
    }
}

fn table_prefix(table: Table) -> Vec<u8> {
    debug_assert!(!table.as_bytes().contains(&0), "a table's name holds no zero byte");
    let mut prefix = table.as_bytes().to_vec();
    prefix.push(0);
    prefix
}

/// Escapes zero bytes and ends with one, so that no key is the beginning of another and the order
/// of keys is kept.
fn append_key(to: &mut Vec<u8>, key: &[u8]) {
    for &byte in key {
        to.push(byte);
        if byte == 0 {
            to.push(0xff);
        }
    }
    to.extend([0, 1]);
}

fn parse_key(escaped: &[u8]) -> Option<(Vec<u8>, u8)> {
    let mut key = Vec::with_capacity(escaped.len());
    let mut bytes = escaped.iter().copied();
    loop {
        match bytes.next()? {
            0 => match bytes.next()? {
                0xff => key.push(0),
                1 => break,
                _ => return None,
            },
            byte => key.push(byte),
        }
    }
    let part = bytes.next()?;
    bytes.next().is_none().then_some((key, part))
}
