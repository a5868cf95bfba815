//! What lets a user in: a key pair of their own, and a security group that admits ssh and ping.
//!
//! Both are made on first use and found again afterwards.

use super::super::{
    Context,
    client::{Client, ClientFault, Done, Items, Request},
    fault::Fault,
    ssh,
};
use crate::config::state_directory::{create_private_directory, write_private};
use base64::{Engine, engine::general_purpose::STANDARD};
use serde::Deserialize;
use std::{fs, path::Path};

const SECURITY_GROUP: &str = "mallee-ssh";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KeyPair {
    key_material: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityGroups {
    #[serde(default)]
    security_group_info: Items<SecurityGroup>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SecurityGroup {
    group_id: String,
}

/// The name of this user's pair. Its private half is in the state directory; a region or a cloud
/// that has never seen the pair is given the public half of the same.
pub fn own_key_pair(client: &Client, context: &Context<'_>) -> Result<String, Fault> {
    let name = key_name(context.surroundings.user.as_deref());
    let file = ssh::key_file(&context.state, &name);
    let is_known = is_known_key_pair(client, &name)?;
    match (is_known, file.exists()) {
        (true, true) => {}
        (true, false) => {
            let shown = file.display();
            return Err(Fault::failed(format!(
                "the key pair `{name}` exists, and its private half is not in `{shown}`"
            ))
            .remedy("name another pair with `--key`, or delete this one and run again"));
        }
        (false, true) => import_key_pair(client, &name, &file)?,
        (false, false) => create_key_pair(client, context, &name, &file)?,
    }
    Ok(name)
}

fn key_name(user: Option<&str>) -> String {
    let user: String =
        user.unwrap_or("user").chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    format!("mallee-{user}")
}

fn is_known_key_pair(client: &Client, name: &str) -> Result<bool, Fault> {
    let request = Request::new("DescribeKeyPairs").with("KeyName.1", name);
    match client.call::<Done>(&request) {
        Ok(_) => Ok(true),
        Err(fault) if fault.is("InvalidKeyPair.NotFound") => Ok(false),
        Err(fault) => Err(fault.into()),
    }
}

fn create_key_pair(
    client: &Client,
    context: &Context<'_>,
    name: &str,
    file: &Path,
) -> Result<(), Fault> {
    let keys = context.state.keys();
    create_private_directory(&keys).map_err(Fault::io("make", &keys))?;
    let request = Request::new("CreateKeyPair").with("KeyName", name).with("KeyType", "ed25519");
    let pair: KeyPair = client.call(&request)?;
    let material = format!("{}\n", pair.key_material.trim_end());
    write_private(file, material.as_bytes()).map_err(Fault::io("write", file))
}

fn import_key_pair(client: &Client, name: &str, file: &Path) -> Result<(), Fault> {
    let public = public_half(&fs::read_to_string(file).map_err(Fault::io("read", file))?)
        .map_err(|error| Fault::failed(format!("`{}`: {error}", file.display())))?;
    let request = Request::new("ImportKeyPair")
        .with("KeyName", name)
        .with("PublicKeyMaterial", STANDARD.encode(public));
    client.call::<Done>(&request)?;
    Ok(())
}

fn public_half(private: &str) -> Result<String, ssh_key::Error> {
    ssh_key::PrivateKey::from_openssh(private)?.public_key().to_openssh()
}

/// The id of the group that admits ssh and ping from anywhere.
pub fn security_group(client: &Client) -> Result<String, Fault> {
    let request = Request::new("DescribeSecurityGroups").filtered("group-name", SECURITY_GROUP);
    let found: SecurityGroups = client.call(&request)?;
    let id = match found.security_group_info.item.into_iter().next() {
        Some(group) => group.group_id,
        None => {
            let request = Request::new("CreateSecurityGroup")
                .with("GroupName", SECURITY_GROUP)
                .with("GroupDescription", "ssh and ping from anywhere");
            client.call::<SecurityGroup>(&request)?.group_id
        }
    };
    // Asked every time: a launch that was interrupted may have left the group empty.
    for permission in [Permission { protocol: "tcp", from: 22, to: 22 }, Permission::PING] {
        permission.authorize(client, &id)?;
    }
    Ok(id)
}

struct Permission {
    protocol: &'static str,
    from: i32,
    to: i32,
}

impl Permission {
    const PING: Permission = Permission { protocol: "icmp", from: -1, to: -1 };

    fn authorize(&self, client: &Client, group: &str) -> Result<(), ClientFault> {
        let request = Request::new("AuthorizeSecurityGroupIngress")
            .with("GroupId", group)
            .with("IpPermissions.1.IpProtocol", self.protocol)
            .with("IpPermissions.1.FromPort", self.from)
            .with("IpPermissions.1.ToPort", self.to)
            .with("IpPermissions.1.IpRanges.1.CidrIp", "0.0.0.0/0");
        match client.call::<Done>(&request) {
            Err(fault) if !fault.is("InvalidPermission.Duplicate") => Err(fault),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ssh_key::{Algorithm, LineEnding, PrivateKey};

    #[test]
    fn a_user_s_pair_has_a_name_that_is_safe_anywhere() {
        assert_eq!(key_name(Some("ann")), "mallee-ann");
        assert_eq!(key_name(Some("../a b")), "mallee-ab");
        assert_eq!(key_name(None), "mallee-user");
    }

    #[test]
    fn the_public_half_is_that_of_the_private_one() {
        let mut chance = ssh_key::rand_core::OsRng;
        let key = PrivateKey::random(&mut chance, Algorithm::Ed25519).unwrap();
        let private = key.to_openssh(LineEnding::LF).unwrap();
        assert_eq!(public_half(&private).unwrap(), key.public_key().to_openssh().unwrap());
        assert!(public_half("-----BEGIN RSA PRIVATE KEY-----").is_err());
    }
}
