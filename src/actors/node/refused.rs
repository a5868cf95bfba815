//! Boots that this node has refused. Their group has gone on to another node, so the same question,
//! should it arrive once more when there is room, is refused once more.
//!
//! Not on record: a process that begins anew hears nothing that was asked of an earlier one.

use crate::domain::id::InstanceId;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};
use tokio::time::Instant;

/// Twice as long as anybody waits for an answer, and so as a link carries a question.
const KEPT: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
pub struct Refused {
    /// The generation of the newest boot refused: the cloud counts its requests.
    boots: BTreeMap<InstanceId, u64>,
    since: VecDeque<(Instant, InstanceId, u64)>,
}

impl Refused {
    pub fn add(&mut self, instance: InstanceId, generation: u64) {
        while let Some((since, _, _)) = self.since.front()
            && since.elapsed() >= KEPT
            && let Some((_, instance, generation)) = self.since.pop_front()
        {
            if self.boots.get(&instance) == Some(&generation) {
                self.boots.remove(&instance);
            }
        }
        let newest = self.boots.entry(instance.clone()).or_insert(generation);
        *newest = generation.max(*newest);
        self.since.push_back((Instant::now(), instance, generation));
    }

    /// Whether this boot, or a later one, was refused.
    pub fn contains(&self, instance: &InstanceId, generation: u64) -> bool {
        self.boots.get(instance).is_some_and(|refused| *refused >= generation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u8) -> InstanceId {
        format!("i-{number:017x}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_boot_refused_stays_so_for_a_while_and_a_newer_one_is_another() {
        let mut refused = Refused::default();
        refused.add(id(1), 7);
        refused.add(id(1), 5);
        assert!(refused.contains(&id(1), 7) && refused.contains(&id(1), 6));
        assert!(!refused.contains(&id(1), 8) && !refused.contains(&id(2), 7));
        tokio::time::advance(KEPT).await;
        refused.add(id(2), 1);
        assert!(!refused.contains(&id(1), 5));
        assert_eq!(refused.since.len(), 1);
    }
}
