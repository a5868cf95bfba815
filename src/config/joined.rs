//! The configuration of a host that joined a cloud: what the cloud says of the group goes before the
//! file, which need say nothing.

use super::{Configuration, GroupSection, NodeSection, Role};
use crate::domain::{id::NodeName, settings::GroupCharter};

/// The file and the membership do not go together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinedFault {
    #[error("this host joined a cloud as a {joined}, and `roles` does not have that")]
    Role { joined: Role },
    #[error("this host joined the cloud as a {joined}, so it cannot be the {role} manager too")]
    Above { joined: Role, role: Role },
    #[error("this host joined as `{joined}`, and the configuration calls it `{configured}`")]
    Name { joined: String, configured: String },
    #[error("this host joined as one {joined}, and the configuration has {count}")]
    Several { joined: Role, count: usize },
}

impl Configuration {
    /// What a host runs that joined as the manager of a group.
    pub fn joined_as_group(self, charter: &GroupCharter) -> Result<Configuration, JoinedFault> {
        let mut configuration = self.with_role(Role::Group, &[Role::Cloud])?;
        let section = configuration.joined_group(charter)?;
        for node in &mut configuration.nodes {
            node.group = section.name.clone();
        }
        configuration.groups = vec![section];
        Ok(configuration)
    }

    /// What a host runs that joined as a node. With the cloud manager beside it, the groups are the
    /// file's.
    pub fn joined_as_node(
        self,
        name: &NodeName,
        charter: &GroupCharter,
    ) -> Result<Configuration, JoinedFault> {
        let mut configuration = self.with_role(Role::Node, &[Role::Group])?;
        let count = configuration.nodes.len();
        let [node] = &mut configuration.nodes[..] else {
            return Err(JoinedFault::Several { joined: Role::Node, count });
        };
        if node.name != NodeSection::default().name && node.name != *name {
            let (joined, configured) = (name.to_string(), node.name.to_string());
            return Err(JoinedFault::Name { joined, configured });
        }
        node.name = name.clone();
        node.group = charter.settings.name.clone();
        if !configuration.topology.runs(Role::Cloud) {
            configuration.groups = vec![configuration.joined_group(charter)?];
        }
        Ok(configuration)
    }

    fn with_role(mut self, joined: Role, not: &[Role]) -> Result<Configuration, JoinedFault> {
        let roles = self.topology.roles.get_or_insert_with(|| vec![joined]);
        if !roles.contains(&joined) {
            return Err(JoinedFault::Role { joined });
        }
        match not.iter().find(|role| roles.contains(role)) {
            Some(&role) => Err(JoinedFault::Above { joined, role }),
            None => Ok(self),
        }
    }

    /// The file's section with what the cloud says of the group.
    fn joined_group(&self, charter: &GroupCharter) -> Result<GroupSection, JoinedFault> {
        let [own] = &self.groups[..] else {
            let count = self.groups.len();
            return Err(JoinedFault::Several { joined: Role::Group, count });
        };
        let told = &charter.settings;
        if own.name != GroupSection::default().name && own.name != told.name {
            let (joined, configured) = (told.name.to_string(), own.name.to_string());
            return Err(JoinedFault::Name { joined, configured });
        }
        Ok(GroupSection {
            name: told.name.clone(),
            public_addresses: told.public_addresses,
            gateway: told.gateway,
            placement: told.placement,
            links: own.links.or(charter.links),
            elsewhere: false,
            image_cache_gib: own.image_cache_gib,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{HypervisorChoice, check};
    use super::*;

    fn charter() -> GroupCharter {
        let text = "[[group]]\nname = \"east\"\npublic_addresses = \"10.9.0.0/24\"\n\
                    gateway = \"10.9.0.1\"\nplacement = \"spread\"";
        GroupCharter {
            settings: check(text, "f").unwrap().groups[0].settings(),
            root: "000000000001".parse().unwrap(),
            links: Some("192.0.2.1:8776".parse().unwrap()),
        }
    }

    fn file(text: &str) -> Configuration {
        check(text, "f.toml").unwrap()
    }

    fn sound(configuration: &Configuration) {
        check(&toml::to_string(configuration).unwrap(), "joined").unwrap();
    }

    #[test]
    fn without_a_file_a_host_is_what_it_joined_as() {
        let node = Configuration::default().joined_as_node(&"n1".parse().unwrap(), &charter());
        let node = node.unwrap();
        sound(&node);
        assert_eq!(node.topology.roles, Some(vec![Role::Node]));
        assert_eq!(node.nodes_here()[0].name.as_str(), "n1");
        assert_eq!(node.nodes_here()[0].group.as_str(), "east");
        assert_eq!(node.groups[0].settings(), charter().settings);
        assert_eq!(node.groups_here().count(), 0);

        let group = Configuration::default().joined_as_group(&charter()).unwrap();
        sound(&group);
        assert_eq!(group.topology.roles, Some(vec![Role::Group]));
        assert_eq!(group.groups_here().next().unwrap().links, charter().links);
        assert_eq!(group.nodes_here(), []);
    }

    #[test]
    fn the_file_says_how_guests_run_and_where_a_group_listens() {
        let node = file("[[node]]\nhypervisor = \"simulated\"");
        let node = node.joined_as_node(&"n1".parse().unwrap(), &charter()).unwrap();
        assert_eq!(node.nodes[0].hypervisor, HypervisorChoice::Simulated);
        let group =
            file("[topology]\nroles = [\"group\", \"node\"]\n[[group]]\nlinks = \"[::]:1\"");
        let group = group.joined_as_group(&charter()).unwrap();
        sound(&group);
        assert_eq!(group.groups[0].links, Some("[::]:1".parse().unwrap()));
        assert_eq!(group.nodes_here()[0].group.as_str(), "east");
    }

    #[test]
    fn a_file_that_is_another_hosts_is_refused() {
        let n1: NodeName = "n1".parse().unwrap();
        let refused = |fault: JoinedFault, expected: &str| {
            assert!(fault.to_string().contains(expected), "{fault}");
        };
        let as_node = |text: &str| file(text).joined_as_node(&n1, &charter()).unwrap_err();
        refused(as_node("[[node]]\nname = \"n2\""), "the configuration calls it `n2`");
        refused(as_node("[topology]\nroles = [\"cloud\"]\n[cloud]\nlinks = \"[::]:1\""), "joined");
        refused(as_node("[[node]]\n[[node]]\nname = \"n2\""), "as one node");
        let as_group = |text: &str| file(text).joined_as_group(&charter()).unwrap_err();
        refused(as_group("[topology]\nroles = [\"cloud\", \"group\", \"node\"]"), "cloud manager");
        refused(as_group("[[group]]\nname = \"west\""), "calls it `west`");
    }
}
