//! What a host was given when it joined: where its parent is, what group it is in, its certificate.

use crate::{
    config::{
        Configuration, JoinedFault,
        state_directory::{StateDirectory, write_private},
    },
    domain::{id::NodeName, settings::GroupCharter},
    transport::{
        credentials::{CredentialFault, Credentials},
        identity::{Identity, Role},
    },
};
use serde::{Deserialize, Serialize};
use std::{fs, io, path::PathBuf, sync::Arc};

#[derive(Debug, thiserror::Error)]
pub enum CardFault {
    #[error("`{}`: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}` is damaged: {why}", .path.display())]
    Damaged { path: PathBuf, why: String },
}

#[derive(Debug, Clone)]
pub struct Card {
    /// `host:port` of the parent, in the order to be tried.
    pub addresses: Vec<String>,
    pub charter: GroupCharter,
    pub credentials: Arc<Credentials>,
}

/// As it is on the disk.
#[derive(Serialize, Deserialize)]
struct Written {
    addresses: Vec<String>,
    charter: GroupCharter,
    /// Key and certificates, PEM.
    credentials: String,
}

impl Card {
    /// `None`: this host joined nothing.
    pub fn find(state: &StateDirectory) -> Result<Option<Card>, CardFault> {
        let path = state.membership();
        let damaged = |why: String| CardFault::Damaged { path: path.clone(), why };
        let json = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(CardFault::Io { path, source }),
            Ok(json) => json,
        };
        let written: Written =
            serde_json::from_slice(&json).map_err(|fault| damaged(fault.to_string()))?;
        let credentials = Credentials::from_pem(&written.credentials)
            .map_err(|fault: CredentialFault| damaged(fault.to_string()))?;
        let Written { addresses, charter, .. } = written;
        Ok(Some(Card { addresses, charter, credentials: Arc::new(credentials) }))
    }

    pub fn keep(&self, state: &StateDirectory) -> Result<(), CardFault> {
        let path = state.membership();
        let written = Written {
            addresses: self.addresses.clone(),
            charter: self.charter.clone(),
            credentials: self.credentials.to_pem(),
        };
        let json = serde_json::to_vec_pretty(&written)
            .map_err(|fault| CardFault::Damaged { path: path.clone(), why: fault.to_string() })?;
        write_private(&path, &json).map_err(|source| CardFault::Io { path, source })
    }

    /// Takes up what the parent says of the group.
    pub fn learn(charter: GroupCharter, state: &StateDirectory) -> Result<(), CardFault> {
        match Card::find(state)? {
            Some(card) => Card { charter, ..card }.keep(state),
            None => Ok(()),
        }
    }

    pub fn identity(&self) -> &Identity {
        &self.credentials.own().identity
    }

    /// The configuration of a host with this card.
    pub fn configure(&self, file: Configuration) -> Result<Configuration, JoinedFault> {
        let identity = self.identity();
        match identity.role() {
            Role::Node => file.joined_as_node(&node_name(identity), &self.charter),
            Role::Group | Role::Cloud => file.joined_as_group(&self.charter),
        }
    }
}

/// A card is given only to hosts whose names are nodes' names.
fn node_name(identity: &Identity) -> NodeName {
    identity.name().parse().expect("a host whose name is none of a node's is not certified")
}
