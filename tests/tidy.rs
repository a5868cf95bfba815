//! The house rules that a compiler does not check: which room may name which, how long a file may
//! grow unremarked, and which words a room keeps to itself.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// Each room and the rooms it may name. A room may always name itself. `boot` and `cli` name
/// everything.
const MAY_NAME: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("ambient", &["domain"]),
    ("messages", &["domain"]),
    ("store", &["domain"]),
    ("blobs", &["domain"]),
    ("imaging", &["blobs", "domain"]),
    ("enclosure", &["domain"]),
    ("ledger", &[]),
    ("hypervisor", &["domain", "ledger"]),
    ("metadata", &["domain"]),
    ("soap", &["domain"]),
    ("network", &["domain", "ledger"]),
    ("config", &["domain"]),
    ("transport", &["messages"]),
    ("events", &["domain", "ambient"]),
    ("metrics", &["domain"]),
    (
        "actors",
        &[
            "messages",
            "domain",
            "ambient",
            "events",
            "metrics",
            "store",
            "blobs",
            "hypervisor",
            "network",
            "metadata",
        ],
    ),
    (
        "simulation",
        &[
            "actors",
            "messages",
            "domain",
            "ambient",
            "store",
            "blobs",
            "hypervisor",
            "network",
            "metadata",
        ],
    ),
    ("api", &["actors", "messages", "domain", "ambient", "events", "metrics", "blobs", "soap"]),
];

/// A vocabulary that is not ours, and the only place that may speak it.
const FOREIGN: &[(&[&str], &str)] = &[
    (&["use virt", "virt::domain", "virt::connect"], "src/hypervisor/libvirt"),
    (&["use prometheus_client"], "src/metrics"),
    (&["use sled", "sled::Db", "sled::Config", "sled::Tree"], "src/store/sled"),
    (&["use tun_tap", "tun_tap::Iface"], "src/network/host/tap.rs"),
    (&["use rustls", "use tokio_rustls"], "src/transport"),
    // Of links between processes, of messages, and of users and the cloud as they see it.
    (&["use rcgen"], "src/transport src/api/cloud_certificate.rs"),
    (&["use x509_parser"], "src/transport src/soap src/api/cloud_certificate.rs"),
    (
        &["use quick_xml", "quick_xml::se", "quick_xml::de"],
        "src/api src/hypervisor/domain_xml src/cli src/soap/fault.rs",
    ),
];

#[test]
fn rooms_name_only_the_rooms_below_them() {
    let rules: BTreeMap<_, _> = MAY_NAME.iter().copied().collect();
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some(allowed) = rules.get(room_of(&path).as_str()) else { continue };
        for (number, line) in code_lines(&text) {
            for (at, _) in line.match_indices("crate::") {
                let named: String = word(&line[at + "crate::".len()..]);
                let own = named == room_of(&path);
                if !named.is_empty() && !own && !allowed.contains(&named.as_str()) {
                    broken.push(format!("{}:{number}: may not name `{named}`", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn imports_of_several_rooms_are_checked_too() {
    // `use crate::{a::…, b::…}`: the names at the first level of the braces.
    let rules: BTreeMap<_, _> = MAY_NAME.iter().copied().collect();
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some(allowed) = rules.get(room_of(&path).as_str()) else { continue };
        let code: String = code_lines(&text).map(|(_, line)| format!("{line}\n")).collect();
        for group in code.split("use crate::{").skip(1) {
            for named in first_level_names(group) {
                if named != room_of(&path) && !allowed.contains(&named.as_str()) {
                    broken.push(format!("{}: may not name `{named}`", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn each_foreign_vocabulary_has_one_room() {
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let place = path.display().to_string();
        for (vocabulary, rooms) in FOREIGN {
            if rooms.split(' ').any(|room| place.starts_with(room)) {
                continue;
            }
            for (number, line) in code_lines(&text) {
                if let Some(word) = vocabulary.iter().find(|word| line.contains(*word)) {
                    broken.push(format!("{place}:{number}: speaks `{word}`"));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}", broken.join("\n"));
}

#[test]
fn the_only_cryptography_of_links_is_ring() {
    let lock = fs::read_to_string("Cargo.lock").unwrap();
    assert!(lock.contains("name = \"ring\""));
    assert!(!lock.contains("name = \"aws-lc"));
}

#[test]
fn every_file_says_what_it_is() {
    let silent: Vec<_> = sources()
        .into_iter()
        .filter(|(_, text)| !text.starts_with("//!"))
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(silent.is_empty(), "\n{}", silent.join("\n"));
}

#[test]
fn there_is_no_room_for_homeless_functions() {
    const NAMES: [&str; 6] = ["util", "utils", "helpers", "common", "misc", "types"];
    let homeless: Vec<_> = sources()
        .into_iter()
        .filter(|(path, _)| {
            path.iter().any(|part| {
                NAMES
                    .iter()
                    .any(|name| part.to_str().is_some_and(|p| p.trim_end_matches(".rs") == *name))
            })
        })
        .map(|(path, _)| path.display().to_string())
        .collect();
    assert!(homeless.is_empty(), "\n{}", homeless.join("\n"));
}

/// Files that exist in tests only, and may name anything.
const OF_TESTS: [&str; 5] =
    ["tests.rs", "testing.rs", "conformance.rs", "recorded.rs", "effort.rs"];

fn sources() -> Vec<(PathBuf, String)> {
    let mut paths = Vec::new();
    rust_files(Path::new("src"), &mut paths);
    paths.retain(|path| !OF_TESTS.iter().any(|name| path.ends_with(name)));
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path, text)
        })
        .collect()
}

fn rust_files(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

fn room_of(path: &Path) -> String {
    let room = path.iter().nth(1).unwrap().to_str().unwrap();
    room.trim_end_matches(".rs").to_owned()
}

/// Lines outside comments and before a file's tests, which may name anything.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(index, line)| (index + 1, line))
}

fn word(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

fn first_level_names(group: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut depth = 0;
    let mut at_start = true;
    for (index, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_start = true,
            c if at_start && (c.is_alphanumeric() || c == '_') => {
                names.push(word(&group[index..]));
                at_start = false;
            }
            _ => {}
        }
    }
    names
}

/// The list of actions in the docs is what the endpoint answers, with each file's own first words.
/// `MALLEE_WRITE=1 cargo test --test tidy` writes it anew.
#[test]
fn the_documented_actions_are_those_there_are() {
    let mut described: BTreeMap<String, String> = BTreeMap::new();
    let mut files = Vec::new();
    rust_files(Path::new("src/api/actions"), &mut files);
    for path in files {
        let text = fs::read_to_string(path).unwrap();
        let Some((_, after)) = text.split_once("const NAME: &'static str = \"") else { continue };
        let name = after.split('"').next().unwrap().to_owned();
        let header: Vec<&str> =
            text.lines().map_while(|line| line.strip_prefix("//!")).map(str::trim).collect();
        let first = header.split(|line| line.is_empty()).next().unwrap().join(" ");
        let words = first.split_once(": ").map_or(first.as_str(), |(_, words)| words).to_owned();
        described.insert(name, words);
    }
    let mut names = mallee::api::actions::NAMES.to_vec();
    names.sort_unstable();
    let mut text = format!("# Actions\n\nThe {} actions this cloud answers.\n\n", names.len());
    for name in names {
        text.push_str(&format!("- `{name}`: {}\n", described[name]));
    }
    if std::env::var_os("MALLEE_WRITE").is_some() {
        fs::write("docs/api.md", &text).unwrap();
    }
    let documented = fs::read_to_string("docs/api.md").unwrap_or_default();
    assert_eq!(documented, text, "docs/api.md is not what the list of actions says");
}
