//! Who is in the security groups that filters name, as this node was told.
//!
//! On record, so that a node that restarts while nobody above answers admits whom it admitted.

use super::{Core, record::not_recorded};
use crate::{
    domain::{id::SecurityGroupId, port_filter::GroupMembers},
    messages::node::NodeFault,
    store::{Batch, record::Record},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, rc::Rc};

/// A group's members, and the generation of the message that told of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersRecord {
    pub generation: u64,
    pub members: GroupMembers,
}

impl Record for MembersRecord {
    const TABLE: &'static str = "node-members";
    const VERSION: u16 = 1;
    fn key(&self) -> Vec<u8> {
        self.members.group.to_string().into()
    }
}

/// What is in force, by group.
pub type KnownMembers = BTreeMap<SecurityGroupId, MembersRecord>;

impl Core {
    /// One message after the other, so that of two the later one is in force afterwards.
    pub(super) async fn take_members(
        self: &Rc<Self>,
        generation: u64,
        told: Vec<GroupMembers>,
    ) -> Result<(), NodeFault> {
        let mut known = self.members.lock().await;
        let mut batch = Batch::default();
        let mut news = Vec::new();
        for members in told {
            match known.get_mut(&members.group) {
                Some(before) if before.generation > generation => {
                    log::debug!("members of generation {generation} come too late");
                    continue;
                }
                Some(before) if before.members == members => {
                    before.generation = generation;
                    continue;
                }
                _ => {}
            }
            let record = MembersRecord { generation, members };
            match record.members.addresses.is_empty() {
                true => batch.remove_record(&record),
                false => batch.put_record(&record),
            }
            news.push(record);
        }
        if news.is_empty() {
            return Ok(());
        }
        self.host.commit(batch).await.map_err(not_recorded)?;
        let host = self.host.clone();
        let set = self.host.threads.run(move || {
            for record in &news {
                host.datapath.set_members(&record.members).map_err(|fault| fault.to_string())?;
            }
            Ok(news)
        });
        let failed = "setting members ended without a word".to_owned();
        let news = set.await.unwrap_or(Err(failed)).map_err(NodeFault::Failed)?;
        for record in news {
            // One without members is kept too: an older message may be under way.
            known.insert(record.members.group.clone(), record);
        }
        Ok(())
    }

    /// Puts into force what is on record. Blocks.
    pub(super) fn restore_members(&self, records: Vec<MembersRecord>) {
        let mut known = self.members.try_lock().expect("nobody is answered yet");
        for record in records {
            match self.host.datapath.set_members(&record.members) {
                Ok(()) => _ = known.insert(record.members.group.clone(), record),
                // Unknown, they are set when the cloud tells of them, which it does at its start.
                Err(fault) => {
                    let group = &record.members.group;
                    log::error!("the members of `{group}` are not admitted: {fault}");
                }
            }
        }
    }
}
