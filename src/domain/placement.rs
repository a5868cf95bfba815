//! Which node gets an instance.
//!
//! The paper's rule: the first node, in order, with enough free resources.

use super::{id::NodeName, resources::Resources};

pub fn first_fit<'a>(
    mut free: impl Iterator<Item = (&'a NodeName, Resources)>,
    wanted: Resources,
) -> Option<&'a NodeName> {
    free.find(|(_, free)| wanted.fits_in(*free)).map(|(node, _)| node)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_node_with_room_is_taken_even_if_a_later_one_is_emptier() {
        let names: Vec<NodeName> = ["n1", "n2", "n3"].map(|n| n.parse().unwrap()).into();
        let free = |vcpus| Resources { vcpus, memory_mib: 1024, disk_gib: 10 };
        let nodes = [(&names[0], free(1)), (&names[1], free(2)), (&names[2], free(8))];
        assert_eq!(first_fit(nodes.into_iter(), free(2)), Some(&names[1]));
        assert_eq!(first_fit(nodes.into_iter(), free(9)), None);
    }
}
