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
    let mut known = false;
    for earlier in load_all::<AccessKey>(store)? {
        if (AccessKey { created_at: now, ..earlier.clone() }) == key {
            known = true;
        } else if earlier.is_configured() {
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
