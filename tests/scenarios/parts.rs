//! The processes that a cloud is made of: one configuration taken apart, each with what is its own.

use crate::{
    cloud::{free_address, section},
    hosts::Hosts,
};
use std::{collections::BTreeMap, net::SocketAddr};
use toml::{Table, Value};

/// One process.
pub struct Part {
    /// Of its state directory, too.
    pub name: String,
    pub configuration: String,
    pub joins: Option<Joins>,
    /// The nodes it runs.
    pub nodes: Vec<String>,
    /// Where its figures are read, if it has any.
    pub metrics: Option<SocketAddr>,
}

impl Part {
    /// It joined as this node too.
    pub fn run_node(&mut self, name: &str) {
        let mut file: Table = self.configuration.parse().unwrap();
        let roles = file["topology"]["roles"].as_array_mut().unwrap();
        roles.push(Value::String("node".to_owned()));
        let section = section(name, "").parse::<Table>().unwrap();
        file.insert("node".to_owned(), list(&of_the_group_joined(&tables(&section, "node"))));
        self.configuration = toml::to_string(&file).unwrap();
        self.nodes.push(name.to_owned());
    }
}

/// What a process other than the cloud's joins as.
#[derive(Clone)]
pub struct Joins {
    pub role: &'static str,
    pub group: String,
    pub name: String,
}

/// Where managers are met, the same over restarts.
#[derive(Default)]
pub struct Ports(BTreeMap<String, SocketAddr>);

impl Ports {
    pub fn on(hosts: &Hosts) -> Ports {
        let managers = ["the cloud", "laptop"];
        Ports(managers.map(|name| (name.to_owned(), hosts.links(name))).into())
    }

    fn of(&mut self, manager: &str) -> Value {
        let port = self.0.entry(manager.to_owned()).or_insert_with(free_address);
        Value::String(port.to_string())
    }
}

pub fn is_one_process(topology: &str) -> bool {
    ["local", "loopback", "linked"].contains(&topology)
}

/// The cloud's part first, and every other behind the one that it joins.
pub fn of(topology: &str, configuration: &str, ports: &mut Ports) -> Vec<Part> {
    let mut whole: Table = configuration.parse().unwrap();
    // Each process shows its own.
    let has_metrics = whole.remove("metrics").is_some();
    let mut parts = roles_of(topology, whole, ports);
    for part in parts.iter_mut().filter(|_| has_metrics) {
        let listen = ports.of(&format!("metrics of {}", part.name));
        part.configuration.push_str(&format!("\n[metrics]\nlisten = {listen}\n"));
        part.metrics = listen.as_str().unwrap().parse().ok();
    }
    for part in parts.iter_mut().filter(|_| !is_one_process(topology)) {
        // Several processes share a host here, and each has a switch.
        part.configuration.push_str("\n[overlay]\nlisten = \"0.0.0.0:0\"\n");
    }
    parts
}

fn roles_of(topology: &str, whole: Table, ports: &mut Ports) -> Vec<Part> {
    let nodes = tables(&whole, "node");
    if is_one_process(topology) {
        let (configuration, nodes) = (toml::to_string(&whole).unwrap(), names(&nodes));
        let name = "state".to_owned();
        return vec![Part { name, configuration, joins: None, nodes, metrics: None }];
    }
    let process_of = |role: &str| topology.split('|').find(|roles| roles.contains(role)).unwrap();
    let group_is_away = process_of("group") != process_of("cloud");
    let node_is_away = process_of("node") != process_of("group");

    let mut groups = tables(&whole, "group");
    if groups.is_empty() {
        groups.push(Table::from_iter([("name".to_owned(), Value::String("laptop".into()))]));
    }
    let mut cloud = whole.clone();
    if node_is_away {
        for group in &mut groups {
            group.insert("links".to_owned(), ports.of(&name(group)));
        }
    }
    if group_is_away {
        let section = cloud.entry("cloud").or_insert(Value::Table(Table::new()));
        section.as_table_mut().unwrap().insert("links".to_owned(), ports.of("the cloud"));
    }
    cloud.insert("group".to_owned(), list(&groups));
    let mut parts = Vec::new();
    // The nodes of a group that run in the process that a role is in.
    let beside = |role: &str, group: &Table| {
        let there = process_of("node") == process_of(role);
        let own = |node: &&Table| there && node["group"].as_str() == Some(&name(group));
        nodes.iter().filter(own).cloned().collect::<Vec<Table>>()
    };
    parts.push(Part {
        name: "state".to_owned(),
        configuration: with_roles(cloud, process_of("cloud")),
        joins: None,
        nodes: groups.iter().flat_map(|group| names(&beside("cloud", group))).collect(),
        metrics: None,
    });
    for group in &groups {
        let own = beside("group", group);
        if group_is_away {
            let file = Table::from_iter([("node".to_owned(), list(&of_the_group_joined(&own)))]);
            parts.push(Part {
                name: format!("group-{}", name(group)),
                configuration: with_roles(file, process_of("group")),
                joins: Some(Joins { role: "group", group: name(group), name: name(group) }),
                nodes: names(&own),
                metrics: None,
            });
        }
    }
    for node in nodes.iter().filter(|_| node_is_away) {
        let joins = Joins {
            role: "node",
            group: node["group"].as_str().unwrap().to_owned(),
            name: name(node),
        };
        let own = of_the_group_joined(std::slice::from_ref(node));
        let file = Table::from_iter([("node".to_owned(), list(&own))]);
        parts.push(Part {
            name: format!("node-{}", name(node)),
            configuration: with_roles(file, "node"),
            nodes: vec![joins.name.clone()],
            joins: Some(joins),
            metrics: None,
        });
    }
    parts
}

/// A host that joined is told its group, and its file has no other.
fn of_the_group_joined(nodes: &[Table]) -> Vec<Table> {
    let without = |node: &Table| {
        let mut node = node.clone();
        node.remove("group");
        node
    };
    nodes.iter().map(without).collect()
}

fn with_roles(mut file: Table, roles: &str) -> String {
    let roles = roles.split_whitespace().map(|role| Value::String(role.to_owned())).collect();
    let topology = Table::from_iter([("roles".to_owned(), Value::Array(roles))]);
    file.insert("topology".to_owned(), Value::Table(topology));
    toml::to_string(&file).unwrap()
}

fn tables(file: &Table, key: &str) -> Vec<Table> {
    let list = file.get(key).and_then(Value::as_array).cloned().unwrap_or_default();
    list.into_iter().map(|value| value.as_table().unwrap().clone()).collect()
}

fn list(tables: &[Table]) -> Value {
    Value::Array(tables.iter().cloned().map(Value::Table).collect())
}

fn names(tables: &[Table]) -> Vec<String> {
    tables.iter().map(name).collect()
}

fn name(table: &Table) -> String {
    table["name"].as_str().unwrap().to_owned()
}
