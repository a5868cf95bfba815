//! The tree of metadata: paths to texts.
//!
//! Built whole for every question, because it is small, and a tree that is a value is easier to
//! trust than a hundred match arms. A directory lists its children one per line without a newline
//! after the last, those with children of their own ending in `/`.

use crate::domain::{
    id::PrefixedId,
    metadata::{Availability, InstanceMetadata, InterfaceMetadata},
};
use std::collections::BTreeMap;

/// The dates EC2 gave its versions, oldest first. They differ in what was added when; like EC2's
/// own service we answer what we have under each of them.
const VERSIONS: [&str; 19] = [
    "1.0",
    "2007-01-19",
    "2007-03-01",
    "2007-08-29",
    "2007-10-10",
    "2007-12-15",
    "2008-02-01",
    "2008-09-01",
    "2009-04-04",
    "2011-01-01",
    "2011-05-01",
    "2012-01-12",
    "2014-02-25",
    "2014-11-05",
    "2015-10-20",
    "2016-04-19",
    "2016-06-30",
    "2016-09-02",
    "2018-03-28",
];
const RECENT_VERSIONS: [&str; 10] = [
    "2018-08-17",
    "2018-09-24",
    "2019-10-01",
    "2020-10-27",
    "2021-01-03",
    "2021-03-23",
    "2021-07-15",
    "2022-09-24",
    "2024-04-11",
    "latest",
];

fn versions() -> impl Iterator<Item = &'static str> {
    VERSIONS.into_iter().chain(RECENT_VERSIONS)
}

/// What a path holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Leaf {
    Text(String),
    Bytes(Vec<u8>),
}

/// The answer for a path such as `/latest/meta-data/`. `None` is 404.
pub(super) fn read(metadata: &InstanceMetadata, path: &str) -> Option<Leaf> {
    let path = path.strip_prefix('/')?;
    let (version, rest) = path.split_once('/').unwrap_or((path, ""));
    if version.is_empty() {
        return Some(Leaf::Text(versions().collect::<Vec<_>>().join("\n")));
    }
    if !versions().any(|known| known == version) {
        return None;
    }
    let (kind, rest) = rest.split_once('/').unwrap_or((rest, ""));
    match kind {
        "" => Some(Leaf::Text(kinds(metadata).join("\n"))),
        "user-data" if rest.is_empty() => {
            metadata.user_data.as_ref().map(|data| Leaf::Bytes(data.0.clone()))
        }
        "meta-data" => meta_data(metadata).get(rest).map(Leaf::Text),
        "dynamic" => dynamic(metadata).get(rest).map(Leaf::Text),
        _ => None,
    }
}

fn kinds(metadata: &InstanceMetadata) -> Vec<&'static str> {
    let mut kinds = vec!["dynamic", "meta-data"];
    kinds.extend(metadata.user_data.is_some().then_some("user-data"));
    kinds
}

/// Leaves by their full paths; directories exist by having something below them.
#[derive(Debug, Default)]
struct Tree {
    leaves: BTreeMap<String, String>,
    /// What a directory's listing says of a child instead of its name.
    labels: BTreeMap<String, String>,
}

impl Tree {
    fn put(&mut self, path: impl Into<String>, value: impl ToString) {
        self.leaves.insert(path.into(), value.to_string());
    }

    fn put_some(&mut self, path: &str, value: Option<impl ToString>) {
        if let Some(value) = value {
            self.put(path, value);
        }
    }

    /// A leaf, or the listing of a directory with or without its last `/`.
    fn get(&self, path: &str) -> Option<String> {
        if let Some(leaf) = self.leaves.get(path) {
            return Some(leaf.clone());
        }
        let directory = path.strip_suffix('/').unwrap_or(path);
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let mut children: Vec<String> = Vec::new();
        for leaf in self.leaves.keys().filter_map(|leaf| leaf.strip_prefix(&prefix)) {
            let child = match leaf.split_once('/') {
                Some((name, _)) => {
                    let label = self.labels.get(&format!("{prefix}{name}"));
                    label.cloned().unwrap_or_else(|| format!("{name}/"))
                }
                None => leaf.to_owned(),
            };
            if children.last() != Some(&child) {
                children.push(child);
            }
        }
        (!children.is_empty()).then(|| children.join("\n"))
    }
}

fn lines<T: ToString>(values: impl IntoIterator<Item = T>) -> String {
    values.into_iter().map(|value| value.to_string()).collect::<Vec<_>>().join("\n")
}

fn meta_data(metadata: &InstanceMetadata) -> Tree {
    let mut tree = Tree::default();
    tree.put("ami-id", &metadata.image);
    tree.put("ami-launch-index", metadata.launch_index);
    tree.put("ami-manifest-path", "(unknown)");
    for (name, device) in &metadata.block_devices {
        tree.put(format!("block-device-mapping/{name}"), device);
    }
    tree.put("hostname", &metadata.local_hostname);
    tree.put("instance-action", "none");
    tree.put("instance-id", &metadata.instance);
    tree.put("instance-life-cycle", "on-demand");
    tree.put("instance-type", &metadata.instance_type);
    tree.put_some("kernel-id", metadata.kernel.as_ref());
    tree.put("local-hostname", &metadata.local_hostname);
    tree.put("local-ipv4", metadata.local_address);
    tree.put_some("mac", metadata.interfaces.first().map(|interface| interface.mac));
    for interface in &metadata.interfaces {
        put_interface(&mut tree, interface);
    }
    tree.put("placement/availability-zone", &metadata.zone);
    tree.put("placement/region", &metadata.region);
    tree.put_some("public-hostname", metadata.public_hostname.as_ref());
    tree.put_some("public-ipv4", metadata.public_address);
    if let Some(key) = &metadata.key {
        // The one directory that does not list its children's names: `0=my-key`, and no slash.
        tree.put("public-keys/0/openssh-key", &key.openssh);
        tree.labels.insert("public-keys/0".to_owned(), format!("0={}", key.name));
    }
    tree.put_some("ramdisk-id", metadata.ramdisk.as_ref());
    tree.put("reservation-id", &metadata.reservation);
    tree.put("security-groups", lines(&metadata.security_groups));
    tree.put("services/domain", &metadata.services_domain);
    tree.put("services/partition", "aws");
    if metadata.options.instance_metadata_tags == Availability::Enabled {
        for (key, value) in &metadata.tags {
            tree.put(format!("tags/instance/{key}"), value);
        }
    }
    tree
}

fn put_interface(tree: &mut Tree, interface: &InterfaceMetadata) {
    let mut put = |name: &str, value: String| {
        tree.put(format!("network/interfaces/macs/{}/{name}", interface.mac), value);
    };
    put("device-number", interface.device_number.to_string());
    put("interface-id", interface.id.to_string());
    put("local-hostname", interface.local_hostname.clone());
    put("local-ipv4s", lines(&interface.local_addresses));
    put("mac", interface.mac.to_string());
    put("network-card", "0".to_owned());
    put("owner-id", interface.owner.to_string());
    if !interface.public_addresses.is_empty() {
        put("public-ipv4s", lines(&interface.public_addresses));
    }
    put("security-group-ids", lines(interface.security_groups.iter().map(|(id, _)| id)));
    put("security-groups", lines(interface.security_groups.iter().map(|(_, name)| name)));
    put("subnet-id", interface.subnet.to_string());
    put("subnet-ipv4-cidr-block", interface.subnet_cidr.to_string());
    put("vpc-id", interface.vpc.to_string());
    put("vpc-ipv4-cidr-block", interface.vpc_cidr.to_string());
    put("vpc-ipv4-cidr-blocks", interface.vpc_cidr.to_string());
}

fn dynamic(metadata: &InstanceMetadata) -> Tree {
    let pending_time = jiff::Timestamp::from_millisecond(metadata.launched_at.as_millis())
        .map(|time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
        .ok();
    let document = serde_json::json!({
        "accountId": metadata.account.as_str(),
        "architecture": metadata.architecture,
        "availabilityZone": metadata.zone.as_str(),
        "billingProducts": null,
        "devpayProductCodes": null,
        "marketplaceProductCodes": null,
        "imageId": metadata.image.as_str(),
        "instanceId": metadata.instance.as_str(),
        "instanceType": metadata.instance_type,
        "kernelId": metadata.kernel.as_ref().map(|id| id.as_str()),
        "pendingTime": pending_time,
        "privateIp": metadata.local_address.to_string(),
        "ramdiskId": metadata.ramdisk.as_ref().map(|id| id.as_str()),
        "region": metadata.region.as_str(),
        "version": "2017-09-30",
    });
    let mut tree = Tree::default();
    tree.put("instance-identity/document", format!("{document:#}"));
    tree
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::domain::{
        metadata::{MetadataOptions, PublicKey, UserData},
        time::Timestamp,
    };

    /// An instance with everything an instance can have.
    pub(in crate::metadata) fn instance() -> InstanceMetadata {
        InstanceMetadata {
            instance: "i-0123456789abcdef0".parse().unwrap(),
            instance_type: "m1.small".to_owned(),
            image: "emi-12345678".parse().unwrap(),
            kernel: Some("eki-12345678".parse().unwrap()),
            ramdisk: None,
            local_hostname: "ip-10-213-0-4.internal".to_owned(),
            public_hostname: None,
            local_address: Ipv4Addr::new(10, 213, 0, 4),
            public_address: Some(Ipv4Addr::new(10, 213, 0, 4)),
            interfaces: vec![InterfaceMetadata {
                id: "eni-12345678".parse().unwrap(),
                device_number: 0,
                mac: "02:00:00:00:00:01".parse().unwrap(),
                local_hostname: "ip-10-213-0-4.internal".to_owned(),
                local_addresses: vec![Ipv4Addr::new(10, 213, 0, 4)],
                public_addresses: Vec::new(),
                subnet: "subnet-12345678".parse().unwrap(),
                subnet_cidr: "10.213.0.0/16".parse().unwrap(),
                vpc: "vpc-12345678".parse().unwrap(),
                vpc_cidr: "10.213.0.0/16".parse().unwrap(),
                security_groups: vec![
                    ("sg-11111111".parse().unwrap(), "default".to_owned()),
                    ("sg-22222222".parse().unwrap(), "web".to_owned()),
                ],
                owner: "000000000001".parse().unwrap(),
            }],
            key: Some(PublicKey {
                name: "my key".to_owned(),
                openssh: "ssh-ed25519 AAAA my key".to_owned(),
            }),
            security_groups: vec!["default".to_owned(), "web".to_owned()],
            reservation: "r-12345678".parse().unwrap(),
            launch_index: 3,
            launched_at: Timestamp(1_700_000_000_123),
            zone: "local-1a".parse().unwrap(),
            region: "local-1".parse().unwrap(),
            account: "000000000001".parse().unwrap(),
            architecture: "x86_64".to_owned(),
            block_devices: [("ami", "/dev/vda"), ("root", "/dev/vda1")]
                .map(|(name, device)| (name.to_owned(), device.to_owned()))
                .into(),
            tags: [("Name".to_owned(), "one".to_owned())].into(),
            user_data: Some(UserData(vec![0, 159, 146, 150, b'\n'])),
            services_domain: "mallee.internal".to_owned(),
            options: MetadataOptions::default(),
        }
    }
    use std::net::Ipv4Addr;

    fn check(path: &str, expected: Option<&str>) {
        let answer = read(&instance(), path);
        assert_eq!(answer, expected.map(|text| Leaf::Text(text.to_owned())), "{path}");
    }

    #[test]
    fn leaves_are_texts_without_a_newline() {
        check("/latest/meta-data/instance-id", Some("i-0123456789abcdef0"));
        check("/1.0/meta-data/ami-launch-index", Some("3"));
        check("/2009-04-04/meta-data/placement/availability-zone", Some("local-1a"));
        check("/latest/meta-data/security-groups", Some("default\nweb"));
        check("/latest/meta-data/block-device-mapping/root", Some("/dev/vda1"));
        check("/latest/meta-data/services/domain", Some("mallee.internal"));
    }

    #[test]
    fn every_version_cloud_init_probes_is_there() {
        for version in ["2021-03-23", "2018-09-24", "2016-09-02", "2009-04-04"] {
            check(&format!("/{version}/meta-data/instance-id"), Some("i-0123456789abcdef0"));
        }
        check("/2099-01-01/meta-data/instance-id", None);
        let Some(Leaf::Text(list)) = read(&instance(), "/") else { panic!("no list") };
        assert!(list.starts_with("1.0\n2007-01-19\n") && list.ends_with("\nlatest"));
        assert!(list.lines().skip(1).is_sorted());
    }

    #[test]
    fn directories_list_their_children_with_or_without_the_slash() {
        check("/latest", Some("dynamic\nmeta-data\nuser-data"));
        check("/latest/", Some("dynamic\nmeta-data\nuser-data"));
        check("/latest/meta-data/placement", Some("availability-zone\nregion"));
        check("/latest/meta-data/placement/", Some("availability-zone\nregion"));
        check("/latest/meta-data/block-device-mapping/", Some("ami\nroot"));
        check("/latest/meta-data/network/interfaces/macs/", Some("02:00:00:00:00:01/"));
        check("/latest/meta-data/place", None);
        check("/latest/meta-data/instance-id/", None);
    }

    #[test]
    fn the_key_directory_pairs_number_and_name() {
        check("/latest/meta-data/public-keys/", Some("0=my key"));
        check("/latest/meta-data/public-keys/0/", Some("openssh-key"));
        check("/latest/meta-data/public-keys/0/openssh-key", Some("ssh-ed25519 AAAA my key"));
    }

    #[test]
    fn an_interface_is_found_by_its_mac() {
        let mac = "/latest/meta-data/network/interfaces/macs/02:00:00:00:00:01";
        check(&format!("{mac}/device-number"), Some("0"));
        check(&format!("{mac}/security-group-ids"), Some("sg-11111111\nsg-22222222"));
        check(&format!("{mac}/subnet-ipv4-cidr-block"), Some("10.213.0.0/16"));
        check("/latest/meta-data/network/interfaces/macs/02:00:00:00:00:02/device-number", None);
    }

    #[test]
    fn user_data_is_bytes_and_absent_when_there_is_none() {
        let mut instance = instance();
        let bytes = Leaf::Bytes(vec![0, 159, 146, 150, b'\n']);
        assert_eq!(read(&instance, "/latest/user-data"), Some(bytes.clone()));
        assert_eq!(read(&instance, "/latest/user-data/"), Some(bytes));
        assert_eq!(read(&instance, "/latest/user-data/x"), None);
        instance.user_data = None;
        assert_eq!(read(&instance, "/latest/user-data"), None);
    }

    #[test]
    fn tags_are_shown_only_when_they_are_enabled() {
        check("/latest/meta-data/tags/instance/Name", None);
        let mut instance = instance();
        instance.options.instance_metadata_tags = Availability::Enabled;
        let answer = read(&instance, "/latest/meta-data/tags/instance/Name");
        assert_eq!(answer, Some(Leaf::Text("one".to_owned())));
    }

    #[test]
    fn the_identity_document_is_json() {
        let answer = read(&instance(), "/latest/dynamic/instance-identity/document");
        let Some(Leaf::Text(text)) = answer else { panic!("no document") };
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(document["instanceId"], "i-0123456789abcdef0");
        assert_eq!(document["pendingTime"], "2023-11-14T22:13:20Z");
        check("/latest/dynamic/", Some("instance-identity/"));
        check("/latest/dynamic/instance-identity/pkcs7", None);
    }

    #[test]
    fn cloud_inits_crawl_reaches_every_leaf() {
        // Follows listings as cloud-init does: `/` at the end is a directory, `n=name` becomes `n/`.
        fn crawl(path: &str, leaves: &mut Vec<String>) {
            let Some(Leaf::Text(list)) = read(&instance(), path) else { panic!("{path}") };
            for line in list.lines() {
                match line.split_once('=') {
                    Some((number, _)) => crawl(&format!("{path}{number}/"), leaves),
                    None if line.ends_with('/') => crawl(&format!("{path}{line}"), leaves),
                    None => {
                        assert!(read(&instance(), &format!("{path}{line}")).is_some());
                        leaves.push(line.to_owned());
                    }
                }
            }
        }
        let mut leaves = Vec::new();
        crawl("/2009-04-04/meta-data/", &mut leaves);
        assert!(leaves.len() > 35, "{leaves:?}");
        assert!(leaves.iter().any(|leaf| leaf == "openssh-key"));
    }
}
