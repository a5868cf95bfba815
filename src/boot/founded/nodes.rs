//! The nodes of this process.

use super::{Founding, Ground};
use crate::{
    actors::node::{NodeManager, NodeParts},
    boot::{
        BootFault,
        node_host::{self, Surroundings},
        topology::Seat,
    },
    config::NodeSection,
    transport::identity::Identity,
};

impl Founding<'_> {
    pub(super) fn nodes(&mut self) -> Result<Vec<(NodeSection, Seat<NodeManager>)>, BootFault> {
        let Ground { configuration, state, enclosure, .. } = self.ground;
        let mut nodes = Vec::new();
        for section in configuration.nodes_here() {
            let on = self.arbiter();
            let (group, node) = (section.group.as_str(), section.name.as_str());
            let seat = Seat::new(Identity::node_manager(&self.name, group, node)?, on)
                .counting(self.mailbox("node", node, NodeManager::QUESTIONS));
            let images = self.images();
            let surroundings = Surroundings {
                state,
                ambient: &self.ambient,
                enclosure,
                images,
                meters: self.ground.meters.map(|meters| &**meters),
                overlay: self.overlay.overlay.as_ref(),
            };
            let built = node_host::build(configuration, section, surroundings, &seat.on)?;
            let parts = NodeParts {
                name: section.name.clone(),
                root: self.root.clone(),
                host: built.host,
                total: built.total,
                store: built.store,
                hypervisor: built.hypervisor,
            };
            let restored = NodeManager::restore(parts)
                .map_err(|source| BootFault::Node { node: section.name.to_string(), source })?
                .telling(self.ground.events.teller("node", node));
            built.events.connect(seat.begin(restored.start(&seat.on)));
            nodes.push((section.clone(), seat));
        }
        Ok(nodes)
    }
}
