//! Nodes on other hosts: they come by themselves, and are remembered, so that after a restart one
//! that has not come yet is told from one that never was here.

use super::{Core, GroupManager};
use crate::{
    actors::{address::Address, node::NodeManager},
    domain::id::NodeName,
    store::{Batch, record::Record},
};
use actix::{Context, Handler, ResponseFuture};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Arrived {
    pub node: NodeName,
}

impl Record for Arrived {
    const TABLE: &'static str = "arrived";
    const VERSION: u16 = 1;
    fn key(&self) -> Vec<u8> {
        self.node.to_string().into()
    }
}

/// From `boot`, whenever a node's link is made: it is here, and is reached so.
#[derive(actix::Message)]
#[rtype(result = "()")]
pub struct NodeArrived(pub NodeName, pub Address<NodeManager>);

impl Handler<NodeArrived> for GroupManager {
    type Result = ResponseFuture<()>;

    fn handle(
        &mut self,
        NodeArrived(name, node): NodeArrived,
        _: &mut Context<Self>,
    ) -> Self::Result {
        let core = self.core.clone();
        let met = core.book.borrow_mut().nodes.insert(name.clone(), node).is_some();
        Box::pin(async move {
            if !met {
                core.remember(name).await;
            }
        })
    }
}

impl Core {
    /// A node whose arrival cannot be recorded is a node all the same, and comes again.
    async fn remember(&self, node: NodeName) {
        log::info!("node `{node}` has come to group `{}`", self.name);
        let mut batch = Batch::default();
        batch.put_record(&Arrived { node });
        if let Err(fault) = self.journal.commit(batch).await {
            self.journal.resume();
            log::error!("a node's arrival is not recorded: {fault}");
        }
    }
}
