//! How often the owner of a store has started: what it counts goes on from there, so that a number
//! given out by an earlier process is never given out again.

use super::{Batch, Store, StoreFault, Table, record};
use serde::{Deserialize, Serialize};
use std::marker::PhantomData;

/// Who starts.
pub trait Starter {
    const STARTS: Table;
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
struct Starts<T> {
    count: u64,
    #[serde(skip)]
    starter: PhantomData<T>,
}

impl<T: Starter> record::Record for Starts<T> {
    const TABLE: Table = T::STARTS;
    const VERSION: u16 = 1;
    fn key(&self) -> Vec<u8> {
        b"starts".into()
    }
}

/// Counts this start, durably.
fn count_start<T: Starter>(store: &dyn Store) -> Result<u64, StoreFault> {
    let earlier = record::load_all::<Starts<T>>(store)?;
    let count = earlier.first().map_or(0, |starts| starts.count) + 1;
    let mut batch = Batch::default();
    batch.put_record(&Starts::<T> { count, starter: PhantomData });
    store.commit(batch)?;
    Ok(count)
}

/// The first number of this start: there is room for four thousand million in each.
pub fn generation_of_start<T: Starter>(store: &dyn Store) -> Result<u64, StoreFault> {
    Ok(count_start::<T>(store)? << 32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    struct Tester;

    impl Starter for Tester {
        const STARTS: Table = "tester-starts";
    }

    #[test]
    fn every_start_counts_from_where_no_earlier_one_came() {
        let store = MemoryStore::default();
        for start in 1..=3 {
            assert_eq!(generation_of_start::<Tester>(&store), Ok(start << 32));
        }
    }
}
