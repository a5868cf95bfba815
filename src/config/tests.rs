use super::{Configuration, check, nameservers};
use crate::domain::{
    elastic_address::Egress, id::RegionName, placement::PolicyName, settings::Regions,
};
use std::net::Ipv4Addr;

const LAPTOP: &str = include_str!("../../config/laptop.toml");

/// Checks `text`, and that its faults, one a line, are those expected.
fn refused(text: &str, expected: &str) {
    let faults = check(text, "f.toml").unwrap_err();
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults.join("\n"), expected);
}

fn accepted(text: &str) -> Configuration {
    check(text, "f.toml").unwrap()
}

#[test]
fn no_file_an_empty_file_and_the_sample_all_say_the_same() {
    assert_eq!(accepted(""), Configuration::default());
    assert_eq!(check(LAPTOP, "laptop.toml").unwrap(), Configuration::default());
}

#[test]
fn the_sample_states_every_key_with_its_default() {
    let stated: toml::Table = toml::from_str(LAPTOP).unwrap();
    let defaults = toml::Table::try_from(Configuration::default()).unwrap();
    assert_eq!(stated, defaults);
}

#[test]
fn keys_without_a_fixed_default_stand_in_the_sample_as_comments_that_can_be_uncommented() {
    let uncommented: Vec<&str> = LAPTOP
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(key) if key.contains(" = ") || key.starts_with('[') => key,
            _ => line,
        })
        .collect();
    let configuration = accepted(&uncommented.join("\n"));
    let node = &configuration.nodes[0];
    assert!(node.vcpus.is_some() && node.memory_mib.is_some() && node.disk_gib.is_some());
    assert!(node.libvirt_uri.is_some() && node.dns.is_some());
    assert!(configuration.cloud.default_region.is_some() && configuration.cloud.links.is_some());
    assert!(configuration.groups[0].links.is_some() && configuration.topology.roles.is_some());
    assert!(configuration.metrics.listen.is_some());
    assert_eq!(configuration.overlay.addresses.len(), 1);
    assert_eq!(configuration.policies.len(), 5);
    assert!(configuration.meta_zones[0].groups.is_some());
    assert_eq!(configuration.instance_types().get("m1.small").unwrap().memory_mib, 256);
    assert_eq!(configuration.instance_types().get("huge").unwrap().disk_gib, 200);
}

#[test]
fn the_files_for_hosts_of_a_cluster_are_sound_and_say_the_defaults() {
    let cloud = accepted(include_str!("../../config/cloud.toml"));
    assert_eq!((cloud.groups_here().count(), cloud.nodes_here()), (0, &[][..]));
    let group = accepted(include_str!("../../config/group.toml"));
    let node = accepted(include_str!("../../config/node.toml"));
    assert_eq!(group.groups, Configuration::default().groups);
    assert_eq!((node.nodes, node.network), {
        let default = Configuration::default();
        (default.nodes, default.network)
    });
    let docker = accepted(include_str!("../../docker/cloud.toml"));
    assert_eq!(docker.groups_here().count(), 0);
}

#[test]
fn elastic_addresses_are_from_a_range_in_a_group_s_or_outside_of_all() {
    let with = |range: &str| format!("[cloud]\nelastic_addresses = \"{range}\"");
    let pool = |range: &str| accepted(&with(range)).cloud_settings().elastic;
    assert_eq!(pool("203.0.113.0/28").egress, Egress::Elastic);
    assert_eq!(pool("10.213.16.0/24").egress, Egress::Masqueraded);
    assert_eq!(pool("203.0.113.0/28").range.unwrap().to_string(), "203.0.113.0/28");
    let settings = Configuration::default().cloud_settings().elastic;
    assert_eq!(settings.range.unwrap().to_string(), "10.213.255.0/24");
    assert_eq!((settings.egress, settings.per_account), (Egress::Masqueraded, 5));
    refused(&with("10.220.0.0/15"), "f.toml:2: `10.220.0.0/15` must have a length from /16 to /32");
    refused(
        &with("10.213.0.0/16"),
        "f.toml:2: `10.213.0.0/16` leaves the instances of the group \
         `laptop` no addresses of their own",
    );
    refused(
        &with("172.31.16.0/20"),
        "f.toml:2: `172.31.16.0/20` overlaps `172.31.0.0/16`, the \
         private addresses of the default VPC",
    );
    refused(
        &format!(
            "{}\n[[group]]\npublic_addresses = \"10.213.0.0/24\"\ngateway = \"10.213.0.1\"",
            with("10.213.0.0/20")
        ),
        "f.toml:2: `10.213.0.0/20` is partly in `10.213.0.0/24` of the \
         group `laptop`: it must be in that range or outside of it",
    );
}

#[test]
fn an_unknown_key_is_refused_with_its_line_and_the_nearest_one() {
    refused(
        "\n[cloud]\nlisen = \"127.0.0.1:1\"",
        "f.toml:3: unknown field `lisen`, expected one of `name`, `listen`, `links`, `region`, \
         `default_region`, `image_id_family`, `meta_zones_listed`, `terminated_shown_seconds`, \
         `elastic_addresses`, `elastic_addresses_per_account`, `soap_replies_signed`; did you mean \
         `listen`?",
    );
    refused(
        "[[node]]\n[[node]]\nhipervisor = \"auto\"",
        "f.toml:3: unknown field `hipervisor`, expected one of `name`, `group`, `hypervisor`, \
         `libvirt_uri`, `vcpus_per_core`, `vcpus`, `memory_mib`, `disk_gib`, `image_cache_gib`, \
         `dns`, `simulated`; did you mean `hypervisor`?",
    );
    refused(
        "# a comment\n[netwrok]",
        "f.toml:2: unknown field `netwrok`, expected one of `cloud`, `group`, `meta_zone`, `node`, \
         `network`, `overlay`, `topology`, `limits`, `events`, `metrics`, `sla`, `instance_types`; did \
         you mean `network`?",
    );
    refused(
        "[topology]\ncolour = 1",
        "f.toml:2: unknown field `colour`, expected `kind` or `roles`",
    );
}

#[test]
fn a_switch_nobody_can_find_and_an_mtu_no_host_has_are_refused() {
    refused(
        "[overlay]\nguest_mtu = 500\naddresses = [\"0.0.0.0:1\"]",
        "f.toml:2: an MTU of 500 is not from 576 to 9000\n\
         f.toml:3: nobody can find a switch at `0.0.0.0:1`",
    );
}

#[test]
fn an_ill_typed_value_is_refused_with_its_key_and_line() {
    refused(
        "[network]\n\nmetadata_port = \"x\"",
        "f.toml:3: `network.metadata_port`: invalid type: string \"x\", expected u16",
    );
    refused(
        "[[node]]\nvcpus = 1\nsimulated = { seed = true }",
        "f.toml:3: `node.simulated.seed`: invalid type: boolean `true`, expected u64",
    );
    refused(
        "[cloud]\nlisten = \"localhost\"",
        "f.toml:2: `cloud.listen`: invalid socket address syntax",
    );
    refused(
        "[[node]]\nhypervisor = \"tgc\"",
        "f.toml:2: unknown variant `tgc`, expected one of `auto`, `kvm`, `tcg`, `simulated`; did \
         you mean `tcg`?",
    );
    refused(
        "[[group]]\nplacement = \"spraed\"",
        "f.toml:2: unknown variant `spraed`, expected one of `first-fit`, `round-robin`, `spread`, \
         `pack`; did you mean `spread`?",
    );
    refused(
        "[[group]]\npublic_addresses = \"10.0.0.0\"",
        "f.toml:2: `group.public_addresses`: `10.0.0.0` is not an IPv4 CIDR range",
    );
    refused(
        "[[group]]\nname = \"No Good\"",
        "f.toml:2: `group.name`: `No Good` is not a valid group id",
    );
    refused(
        "[cloud]\nregion = 5",
        "f.toml:2: `cloud.region`: invalid type: integer `5`, expected `\"any\"` or a list of \
         region names",
    );
}

#[test]
fn each_group_has_a_placement_of_its_own_and_the_cloud_knows_it() {
    let text = "[[group]]\nname = \"a\"\nplacement = \"round-robin\"\n[[group]]\nname = \"b\"\n\
                public_addresses = \"10.214.0.0/16\"\ngateway = \"10.214.0.1\"\n\
                placement = \"pack\"\n[[node]]\ngroup = \"a\"";
    let settings = accepted(text).cloud_settings();
    let placements: Vec<PolicyName> = settings.groups.iter().map(|group| group.placement).collect();
    assert_eq!(placements, [PolicyName::RoundRobin, PolicyName::Pack]);
    assert_eq!(accepted("").groups[0].placement, PolicyName::FirstFit);
    for name in ["first-fit", "round-robin", "spread", "pack"] {
        accepted(&format!("[[group]]\nplacement = \"{name}\""));
    }
}

#[test]
fn any_is_there_beside_further_meta_zones_unless_one_has_its_name() {
    let known = |text: &str| {
        let settings = accepted(text).cloud_settings();
        let shown = settings.meta_zones.into_iter().map(|meta| {
            let groups: Vec<String> = meta.groups.iter().map(ToString::to_string).collect();
            format!("{} {} {}", meta.name, meta.policy.as_str(), groups.join("+"))
        });
        shown.collect::<Vec<_>>()
    };
    let groups = "[[group]]\nname = \"a\"\n[[group]]\nname = \"b\"\n\
                  public_addresses = \"10.214.0.0/16\"\ngateway = \"10.214.0.1\"\n";
    let meta = |lines: &str| known(&format!("{groups}[[meta_zone]]\n{lines}"));
    assert_eq!(known(groups), ["any emptiest-first a+b"]);
    assert_eq!(
        meta("name = \"even\"\npolicy = \"balanced\"\ngroups = [\"b\", \"a\"]"),
        ["even balanced b+a", "any emptiest-first a+b"]
    );
    assert_eq!(meta("name = \"any\"\npolicy = \"one-zone\""), ["any one-zone a+b"]);
    assert_eq!(meta("name = \"x\"")[0], "x emptiest-first a+b");
    for policy in ["emptiest-first", "first-listed", "balanced", "one-zone"] {
        meta(&format!("name = \"m\"\npolicy = \"{policy}\""));
    }
}

#[test]
fn a_meta_zone_has_a_name_of_its_own_and_groups_that_are_there() {
    let refused = |lines: &str, expected: &str| {
        refused(&format!("[[group]]\nname = \"rack\"\n[[meta_zone]]\n{lines}"), expected);
    };
    refused("name = \"rack\"", "f.toml:4: a group is named `rack` as well");
    refused(
        "name = \"m\"\ngroups = [\"rock\", \"rack\", \"rack\"]",
        "f.toml:5: the group `rack` is named twice\nf.toml:5: there is no group `rock`",
    );
    refused("name = \"m\"\ngroups = []", "f.toml:5: the meta-zone `m` has no groups");
    refused(
        "name = \"m\"\n[[meta_zone]]\nname = \"m\"",
        "f.toml:6: there are two meta-zones named `m`",
    );
    refused("policy = \"balanced\"", "f.toml:3: `meta_zone`: missing field `name`");
    refused(
        "name = \"m\"\npolicy = \"onezone\"",
        "f.toml:5: unknown variant `onezone`, expected one of `emptiest-first`, `first-listed`, \
         `balanced`, `one-zone`; did you mean `one-zone`?",
    );
    refused(
        "name = \"spaina\"\n[cloud]\nregion = [\"spain\"]",
        "f.toml:4: `spaina` is a zone of the region `spain`",
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let faults = check("[cloud]\nlisten = ", "f.toml").unwrap_err();
    assert_eq!((faults.len(), faults[0].line), (1, Some(2)));
}

#[test]
fn a_node_belongs_to_a_group_that_is_there() {
    refused(
        "[[group]]\nname = \"rack\"\n[[node]]\nname = \"n1\"\ngroup = \"rock\"",
        "f.toml:5: there is no group `rock`, only `rack`",
    );
    assert_eq!(accepted("[[group]]\nname = \"rack\"").nodes[0].group.as_str(), "rack");
}

#[test]
fn ranges_and_gateways_go_together() {
    refused(
        "[[group]]\npublic_addresses = \"10.1.0.0/16\"",
        "f.toml:1: the gateway `10.213.0.1` is not in `10.1.0.0/16`",
    );
    refused(
        "[[group]]\ngateway = \"10.213.0.0\"",
        "f.toml:2: the gateway `10.213.0.0` is the first or last address of `10.213.0.0/16`",
    );
    refused(
        "[[group]]\npublic_addresses = \"172.16.0.0/12\"\ngateway = \"172.16.0.1\"",
        "f.toml:2: `172.16.0.0/12` overlaps `172.31.0.0/16`, the private addresses of the default \
         VPC",
    );
    refused(
        "[[group]]\npublic_addresses = \"10.213.0.0/31\"",
        "f.toml:2: `10.213.0.0/31` must have a length from /8 to /29",
    );
}

#[test]
fn groups_share_neither_names_nor_addresses_and_all_faults_are_told_at_once() {
    refused(
        "[[group]]\nname = \"a\"\n\n[[group]]\nname = \"a\"\npublic_addresses = \"10.213.8.0/24\"\n\
         gateway = \"10.213.8.1\"",
        "f.toml:5: there are two groups named `a`\n\
         f.toml:6: `10.213.8.0/24` overlaps `10.213.0.0/16` of the group `a`",
    );
}

#[test]
fn there_are_at_most_sixteen_groups() {
    let group = |n: usize| {
        format!(
            "[[group]]\nname = \"g{n}\"\npublic_addresses = \"10.{n}.0.0/16\"\n\
             gateway = \"10.{n}.0.1\"\n"
        )
    };
    let groups = |count| (0..count).map(group).collect::<String>();
    assert_eq!(accepted(&groups(16)).cloud_settings().groups.len(), 16);
    refused(&groups(17), "f.toml:1: there are 17 groups; at most 16 may be");
}

#[test]
fn amounts_are_possible() {
    refused("[[node]]\nvcpus = 0", "f.toml:2: `vcpus` must be at least 1");
    refused(
        "[[node]]\nsimulated = { start_delay_ms = [2, 1], failure_rate = 1.5 }",
        "f.toml:2: the shortest delay, 2, is over the longest, 1\n\
         f.toml:2: the rate 1.5 is not from 0 to 1",
    );
    refused(
        "[limits]\nmax_in_flight = 0",
        "f.toml:2: `max_in_flight` must be at least 1, or no request is ever answered",
    );
}

#[test]
fn a_new_instance_type_says_how_large_it_is_and_a_stocked_one_only_what_changes() {
    refused(
        "[instance_types.\"my.type\"]\nvcpus = 2",
        "f.toml:1: the type `my.type` is new, so it needs `memory_mib`",
    );
    refused(
        "[instance_types.\"t3.nano\"]\nmemory_mib = 0",
        "f.toml:1: no amount of the type `t3.nano` may be 0",
    );
    let types = accepted("[instance_types.\"t3.nano\"]\nmemory_mib = 96").instance_types();
    let nano = types.get("t3.nano").unwrap();
    assert_eq!((nano.vcpus, nano.memory_mib, nano.disk_gib), (2, 96, 8));
}

#[test]
fn a_prefix_leaves_room_in_an_interfaces_name() {
    for prefix in ["", "mallee-long", "Mallee", "1st", "a b"] {
        let text = format!("[network]\nprefix = \"{prefix}\"");
        let faults = check(&text, "f.toml").unwrap_err();
        assert_eq!((faults.len(), faults[0].line), (1, Some(2)), "{prefix}");
    }
}

#[test]
fn the_default_region_leads_the_list() {
    let regions = |text: &str| accepted(text).cloud_settings().regions;
    let name = |text: &str| text.parse::<RegionName>().unwrap();
    assert_eq!(regions(""), Regions::Any { default: name("us-east-1") });
    assert_eq!(
        regions("[cloud]\nregion = [\"a\", \"b\"]\ndefault_region = \"b\""),
        Regions::Named(vec![name("b"), name("a")])
    );
    refused(
        "[cloud]\nregion = [\"a\"]\ndefault_region = \"b\"",
        "f.toml:3: the default region `b` is none of those in `region`",
    );
    refused(
        "[cloud]\nregion = []",
        "f.toml:2: the list of regions is empty: name one, or write `region = \"any\"`",
    );
    refused("[cloud]\nregion = [\"a\", \"a\"]", "f.toml:2: the region `a` is named twice");
}

#[test]
fn guests_are_told_only_of_name_servers_they_can_reach() {
    let host = "# made by a tool\nnameserver 127.0.0.53\nnameserver 192.0.2.1 # one\n\
                options edns0\nnameserver 2001:db8::1\n nameserver\t192.0.2.2\n";
    let reachable = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];
    assert_eq!(nameservers(host), reachable);
    assert_eq!(nameservers("nameserver 127.0.0.1"), [] as [Ipv4Addr; 0]);
    let configured = accepted("[[node]]\ndns = [\"192.0.2.9\"]");
    assert_eq!(configured.nodes[0].dns(host), [Ipv4Addr::new(192, 0, 2, 9)]);
}

#[test]
fn who_is_elsewhere_is_told_where_to_come() {
    refused(
        "[topology]\nroles = [\"cloud\"]",
        "f.toml: groups run elsewhere, so `links` must say where they reach the cloud",
    );
    refused(
        "[topology]\nroles = [\"cloud\", \"group\"]\n[[group]]\nname = \"a\"",
        "f.toml:3: nodes run elsewhere, so `links` must say where they reach the group",
    );
    refused("[topology]\nroles = []", "f.toml:2: name at least one role, or leave `roles` out");
    refused(
        "[cloud]\nname = \"my cloud\"",
        "f.toml:2: `my cloud` must be 1 to 63 letters, digits, dots, hyphens and underscores",
    );
    let split = "[topology]\nroles = [\"cloud\", \"group\"]\n[cloud]\nlinks = \"[::]:8774\"\n\
                 [[group]]\nname = \"a\"\nlinks = \"[::]:8776\"\n[[group]]\nname = \"b\"\n\
                 elsewhere = true\npublic_addresses = \"10.214.0.0/16\"\ngateway = \"10.214.0.1\"";
    let split = accepted(split);
    let here: Vec<&str> = split.groups_here().map(|group| group.name.as_str()).collect();
    assert_eq!((here, split.nodes_here()), (vec!["a"], &[][..]));
}

#[test]
fn a_policy_says_which_keys_it_needs_and_which_it_does_not_have() {
    refused(
        "[[sla]]\npolicy = \"lifetime\"\nvcpus = 4",
        "f.toml:2: the policy `lifetime` needs `seconds`\n\
         f.toml:3: the policy `lifetime` has no `vcpus`",
    );
    refused(
        "[[sla]]\npolicy = \"quota\"\naccounts = []",
        "f.toml:2: the policy `quota` needs `instances`, `vcpus` or `memory_mib`",
    );
    refused(
        "[[sla]]\npolicy = \"zone-rewrite\"\nto = \"elsewhere\"",
        "f.toml:3: there is no group or meta-zone `elsewhere`",
    );
    refused(
        "[[sla]]\npolicy = \"stale-capacity\"\nseconds = 0",
        "f.toml:3: `seconds` must be at least 1",
    );
    refused(
        "[[sla]]\npolicy = \"quotas\"",
        "f.toml:2: unknown variant `quotas`, expected one of `lifetime`, `quota`, \
         `stale-capacity`, `error-rate`, `zone-rewrite`; did you mean `quota`?",
    );
    refused(
        "[[sla]]\npolicy = \"error-rate\"",
        "f.toml:2: the policy `error-rate` needs `percent`",
    );
    refused(
        "[[sla]]\npolicy = \"error-rate\"\npercent = 100",
        "f.toml:3: `percent` must be from 0 to 99",
    );
    accepted("[[sla]]\npolicy = \"zone-rewrite\"\nto = \"any\"\nfrom = \"laptop\"");
}
