//! A cloud taken off this host: its guests, and what it made in the kernel.
//!
//! Goes on past what cannot be removed and says what that is; asked again, it tries again. Where
//! no guest can be, libvirt is not needed: it may be what is missing here. Files are the caller's:
//! those of guests that could not be ended are still in use.

use super::{BootFault, node_host};
use crate::{
    config::{Configuration, HypervisorChoice, NodeSection, state_directory::StateDirectory},
    domain::id::NodeName,
    enclosure,
    hypervisor::{HypervisorFault, Ownership},
    network::Datapath,
};
use std::{fs, io, sync::Arc};

/// What is still on the host.
#[derive(Debug, thiserror::Error)]
pub enum Remains {
    #[error("of node `{node}`, the guests of `{}`", .instances.join("`, `"))]
    Guests {
        node: NodeName,
        instances: Vec<String>,
        #[source]
        why: BootFault,
    },
    #[error("of node `{node}`, bridges, taps and rules")]
    Network {
        node: NodeName,
        #[source]
        why: BootFault,
    },
}

/// Removes every guest and every object of ours from the host, while no cloud runs.
pub fn purge(configuration: &Configuration, state: &StateDirectory) -> Vec<Remains> {
    let mut remains = Vec::new();
    for section in configuration.nodes_here() {
        if section.hypervisor == HypervisorChoice::Simulated {
            continue;
        }
        remains.extend(end_guests(configuration, section, state).err());
        // A guest that goes on is better cut off than left on wires that nobody watches.
        remains.extend(remove_network(configuration, section, state).err());
    }
    remains
}

/// The instances that have files on a node. A domain of ours never exists without: they are made
/// before it is defined, and removed after it.
pub fn instances(state: &StateDirectory, node: &NodeName) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(state.node(node).instances()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

fn end_guests(
    configuration: &Configuration,
    section: &NodeSection,
    state: &StateDirectory,
) -> Result<(), Remains> {
    let left = |instances, why| Remains::Guests { node: section.name.clone(), instances, why };
    let place = state.node(&section.name);
    let instances = instances(state, &section.name).map_err(|error| {
        let doing = format!("`{}` cannot be read", place.instances().display());
        left(Vec::new(), BootFault::io(doing)(error))
    })?;
    if instances.is_empty() {
        return Ok(());
    }
    // Ending guests takes no accelerator.
    let guests = NodeSection { hypervisor: HypervisorChoice::Tcg, ..section.clone() };
    let hypervisor =
        node_host::libvirt(configuration, &guests, &place.hypervisor(), Arc::new(|_| {}))
            .map_err(|why| left(instances.clone(), why))?;
    let fault = |source| BootFault::Hypervisor { node: section.name.to_string(), source };
    let domains = hypervisor.domains().map_err(|source| left(instances.clone(), fault(source)))?;
    let mut stuck: Option<(Vec<String>, HypervisorFault)> = None;
    for domain in domains {
        // With our name and without files here, it is another state directory's.
        if let Ownership::Ours(instance) = domain.ownership
            && instances.contains(&instance.to_string())
            && let Err(refused) = hypervisor.remove(&instance)
        {
            // The first reason stands for all: it is most often the same.
            let (instances, _) = stuck.get_or_insert((Vec::new(), refused));
            instances.push(instance.to_string());
        }
    }
    match stuck {
        None => Ok(()),
        Some((instances, source)) => Err(left(instances, fault(source))),
    }
}

fn remove_network(
    configuration: &Configuration,
    section: &NodeSection,
    state: &StateDirectory,
) -> Result<(), Remains> {
    if enclosure::lacks_net_admin() {
        // What was made was made in an enclosure, which is gone with its last guest.
        return Ok(());
    }
    let left = |why| Remains::Network { node: section.name.clone(), why };
    let place = state.node(&section.name).hypervisor();
    let datapath = match node_host::found_datapath(configuration, section, &place).map_err(left)? {
        Some(found) => found,
        // Another cloud's prefix, so this one never had anything in the kernel.
        None => return Ok(()),
    };
    datapath.purge().map_err(|source| left(node_host::network_fault(section, source)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A node whose libvirt cannot be reached.
    fn configuration() -> Configuration {
        let mut configuration = Configuration::default();
        let nowhere = "qemu+unix:///system?socket=/nowhere";
        configuration.nodes[0].libvirt_uri = Some(nowhere.to_owned());
        configuration
    }

    #[test]
    fn without_instances_there_is_no_guest_to_end_and_libvirt_is_not_asked() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        let configuration = configuration();
        let node = &configuration.nodes[0];
        end_guests(&configuration, node, &state).unwrap();
        fs::create_dir_all(state.node(&node.name).instances()).unwrap();
        end_guests(&configuration, node, &state).unwrap();
    }

    #[test]
    fn guests_that_cannot_be_ended_are_named_with_the_reason() {
        let directory = tempfile::tempdir().unwrap();
        let state = StateDirectory::at(directory.path().into());
        let configuration = configuration();
        let node = &configuration.nodes[0];
        for instance in ["i-2", "i-1"] {
            fs::create_dir_all(state.node(&node.name).instances().join(instance)).unwrap();
        }
        let remains = end_guests(&configuration, node, &state).unwrap_err();
        assert!(remains.to_string().ends_with("the guests of `i-1`, `i-2`"), "{remains}");
        let Remains::Guests { why: BootFault::Hypervisor { .. }, .. } = remains else {
            panic!("{remains:?}")
        };
    }
}
