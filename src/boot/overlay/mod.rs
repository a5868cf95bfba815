//! Who tells this process's switch of the others, and of its keys.
//!
//! ```text
//!   cloud    roster, on the disk ─ its desk ◄──── asks for itself and its nodes   group
//!                                                 its desk ◄──── asks for itself  node
//! ```
//!
//! Every process has one switch, named after the highest of its roles. Whoever has a parent asks it
//! again and again, saying where its switch is and which charter it has, and is told when there is
//! a newer one. So a lost question costs nothing, whoever restarts is told everything, and whoever
//! cannot ask goes on with what it knows.

pub mod desk;
pub mod endpoints;
pub mod inquiry;
pub mod keeper;
pub mod registrar;
pub mod seat;

pub use seat::OverlaySeat;

use crate::transport::identity::{Identity, Role};

/// What a manager's switch is called.
pub fn switch_name(identity: &Identity) -> String {
    let group = identity.group().unwrap_or_default();
    match identity.role() {
        Role::Cloud => "cloud".to_owned(),
        Role::Group => group.to_owned(),
        Role::Node => format!("{group}/{}", identity.name()),
    }
}

/// Whether a child may speak for a switch of this name: for its own, and a group for its nodes'.
fn speaks_for(child: &Identity, name: &str) -> bool {
    let own = switch_name(child);
    let below = name.strip_prefix(&own).and_then(|rest| rest.strip_prefix('/'));
    name == own || (child.role() == Role::Group && below.is_some_and(|node| !node.contains('/')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_speaks_for_its_nodes_and_a_node_for_itself() {
        let east = Identity::group_manager("c", "east", "east").unwrap();
        let node = Identity::node_manager("c", "east", "n1").unwrap();
        assert_eq!((switch_name(&east), switch_name(&node)), ("east".into(), "east/n1".into()));
        for (child, name, may) in [
            (&east, "east", true),
            (&east, "east/n1", true),
            (&east, "eastern/n1", false),
            (&east, "west/n1", false),
            (&east, "cloud", false),
            (&node, "east/n1", true),
            (&node, "east/n10", false),
            (&node, "east/n1/x", false),
            (&node, "east", false),
        ] {
            assert_eq!(speaks_for(child, name), may, "{child} for {name}");
        }
    }
}
