//! What a user is handed to reach the cloud with, through kills and restarts.

use crate::{
    client::Document,
    cloud::{Cloud, TOPOLOGIES},
};
use std::io::Read;

/// The files of an archive, by name.
fn texts(path: &std::path::Path) -> impl Fn(&str) -> String + use<> {
    let mut archive = zip::ZipArchive::new(std::fs::File::open(path).unwrap()).unwrap();
    let mut texts = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        texts.push((file.name().unwrap().into_owned(), text));
    }
    move |name| {
        let found = texts.iter().find(|(known, _)| known == name);
        found.unwrap_or_else(|| panic!("no {name} in {texts:?}")).1.clone()
    }
}

fn value(text: &str, name: &str) -> String {
    let start = format!("{name} = ");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in {text}")).to_owned()
}

#[test]
fn an_archive_is_as_good_after_a_kill_as_before_and_its_keys_are_out_of_use_when_told_so() {
    for topology in TOPOLOGIES {
        let mut cloud = Cloud::start(topology);
        let iam = cloud.client().of_iam();
        cloud.client().ask("CreateAccount", &[("AccountName", "alice")]);
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("alice.zip");
        let zip = path.to_str().unwrap();
        cloud.mallee(0, &["credentials", "--user", "alice", "--zip", zip]);
        let read = texts(&path);
        let keys = read("mallee-alice/aws-credentials");
        let (id, secret) =
            (value(&keys, "aws_access_key_id"), value(&keys, "aws_secret_access_key"));
        let alice = cloud.client().with_key(&id, &secret);
        alice.ask("DescribeRegions", &[]);
        let certificate = read("mallee-alice/euca2-alice-cert.pem");
        let cloud_certificate = read("mallee-alice/cloud-cert.pem");
        let of_alice = [("UserName", "alice")];
        let listed = |list: &Document| list.first("CertificateBody").unwrap().trim().to_owned();
        let list = iam.ask("ListSigningCertificates", &of_alice);
        assert_eq!(listed(&list), certificate.trim(), "{topology}");
        let off = [&of_alice[..], &[("AccessKeyId", &id), ("Status", "Inactive")]].concat();
        iam.ask("UpdateAccessKey", &off);

        cloud.kill();
        cloud.begin();
        let list = iam.ask("ListSigningCertificates", &of_alice);
        assert_eq!(listed(&list), certificate.trim(), "{topology}");
        assert_eq!(alice.refusal("DescribeRegions", &[]).code, "AuthFailure", "{topology}");
        let on = [&of_alice[..], &[("AccessKeyId", &id), ("Status", "Active")]].concat();
        iam.ask("UpdateAccessKey", &on);
        alice.ask("DescribeRegions", &[]);
        let refusal = alice.of_iam().refusal("GetUser", &[("UserName", "root")]);
        assert_eq!((refusal.status, refusal.code.as_str()), (403, "AccessDenied"), "{topology}");

        // Another archive's certificate is another, and the cloud's the same.
        let path = directory.path().join("root.zip");
        cloud.mallee(0, &["credentials", "--zip", path.to_str().unwrap()]);
        let read = texts(&path);
        assert_eq!(read("mallee-root/cloud-cert.pem"), cloud_certificate, "{topology}");
        assert_ne!(read("mallee-root/euca2-root-cert.pem"), certificate, "{topology}");
    }
}
