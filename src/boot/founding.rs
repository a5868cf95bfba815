//! What a cloud's records hold before its first request: the root account and its key, and, where
//! all nodes are simulated, an image to launch.

use crate::{
    ambient::Ambient,
    config::{Configuration, HypervisorChoice, credentials::RootCredentials},
    domain::{
        account::{AccessKey, Account, Role},
        blob::BlobId,
        credential::CredentialStatus,
        id::ImageId,
        image::{DiskFormat, Image, ImageKind},
    },
    store::{Batch, Store, StoreFault, record::load_all},
};
use std::collections::BTreeSet;

/// Makes the records agree with the credentials given at this start. The administrator's key of an
/// earlier start with others is no longer good.
pub fn ensure(
    store: &dyn Store,
    configuration: &Configuration,
    credentials: &RootCredentials,
    ambient: &Ambient,
) -> Result<(), StoreFault> {
    let mut batch = Batch::default();
    let now = ambient.now();
    let accounts = load_all::<Account>(store)?;
    if !accounts.iter().any(|account| account.id == credentials.account) {
        batch.put_record(&Account {
            id: credentials.account.clone(),
            name: "root".to_owned(),
            created_at: now,
        });
    }
    let key = AccessKey {
        id: credentials.access_key_id.clone(),
        secret: credentials.secret_access_key.clone(),
        account: credentials.account.clone(),
        role: Role::Administrator,
        created_at: now,
        status: CredentialStatus::Active,
        issued: false,
    };
    // Who was root of an account before is nobody's administrator, whatever keys they had made.
    let administers_another = |earlier: &AccessKey| {
        earlier.role == Role::Administrator && earlier.account != credentials.account
    };
    let mut known = false;
    for earlier in load_all::<AccessKey>(store)? {
        if (AccessKey { created_at: now, ..earlier.clone() }) == key {
            known = true;
        } else if earlier.is_configured() || administers_another(&earlier) {
            batch.remove_record(&earlier);
        }
    }
    if !known {
        batch.put_record(&key);
    }
    let simulated = configuration.nodes.iter().all(|n| n.hypervisor == HypervisorChoice::Simulated);
    if simulated && load_all::<Image>(store)?.is_empty() {
        batch.put_record(&simulated_image(credentials, ambient));
    }
    if batch.writes.is_empty() { Ok(()) } else { store.commit(batch) }
}

/// An image without bytes, for guests without machines.
fn simulated_image(credentials: &RootCredentials, ambient: &Ambient) -> Image {
    let mut chance = ambient.chance("founding");
    Image {
        id: ImageId::random("ami-", &mut *chance),
        kind: ImageKind::Machine,
        owner: credentials.account.clone(),
        name: "mallee-demo".to_owned(),
        description: Some("for simulated guests: has no bytes".to_owned()),
        architecture: "x86_64".to_owned(),
        blob: BlobId::of_digest([0; 32]),
        format: DiskFormat::Raw,
        size_gib: 1,
        kernel: None,
        ramdisk: None,
        root_device_name: "/dev/sda1".to_owned(),
        public: true,
        launch_permissions: BTreeSet::new(),
        created_at: ambient.now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        domain::{account::SecretKey, time::Timestamp},
        store::memory::MemoryStore,
    };
    use std::collections::BTreeMap;

    fn root(key: &str) -> RootCredentials {
        RootCredentials {
            access_key_id: key.to_owned(),
            secret_access_key: SecretKey("a secret".to_owned()),
            account: "123456789012".parse().unwrap(),
        }
    }

    fn start(store: &MemoryStore, key: &str) {
        let ambient = Ambient::seeded(1, Timestamp(1000)).0;
        ensure(store, &Configuration::default(), &root(key), &ambient).unwrap();
    }

    fn keys(store: &MemoryStore) -> BTreeMap<String, AccessKey> {
        let keys = load_all::<AccessKey>(store).unwrap();
        keys.into_iter().map(|key| (key.id.clone(), key)).collect()
    }

    fn put(store: &MemoryStore, key: AccessKey) {
        let mut batch = Batch::default();
        batch.put_record(&key);
        store.commit(batch).unwrap();
    }

    #[test]
    fn another_configured_key_replaces_the_one_before_and_leaves_what_users_had_made() {
        let store = MemoryStore::default();
        start(&store, "AKIAFIRST");
        let first = keys(&store)["AKIAFIRST"].clone();
        let issued = AccessKey { id: "AKIAISSUED".to_owned(), issued: true, ..first.clone() };
        put(&store, issued.clone());
        start(&store, "AKIASECOND");
        let kept = keys(&store);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["AKIAISSUED", "AKIASECOND"]);
        assert_eq!(kept["AKIAISSUED"], issued);
        assert!(kept["AKIASECOND"].is_configured());
    }

    #[test]
    fn a_start_with_the_same_key_changes_nothing() {
        let store = MemoryStore::default();
        start(&store, "AKIAFIRST");
        let before = AccessKey { created_at: Timestamp(1), ..keys(&store)["AKIAFIRST"].clone() };
        put(&store, before.clone());
        start(&store, "AKIAFIRST");
        assert_eq!(keys(&store)["AKIAFIRST"], before);
    }

    #[test]
    fn an_issued_key_that_becomes_the_configurations_is_in_use_whatever_it_was() {
        let store = MemoryStore::default();
        start(&store, "AKIAFIRST");
        let first = keys(&store)["AKIAFIRST"].clone();
        let status = CredentialStatus::Inactive;
        put(&store, AccessKey { id: "AKIAISSUED".to_owned(), issued: true, status, ..first });
        start(&store, "AKIAISSUED");
        let kept = keys(&store);
        assert_eq!(kept.len(), 1);
        assert!(kept["AKIAISSUED"].is_active() && kept["AKIAISSUED"].is_configured());
    }
}
