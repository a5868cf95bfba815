//! The cloud's records in its store: one table a kind, and their way back into a state.

use crate::{
    domain::{
        account::{AccessKey, Account},
        cloud_state::{Change, ClientToken, CloudState, Entry, Eviction},
        detached_interface::DetachedInterface,
        elastic_address::ElasticAddress,
        id::PrefixedId,
        image::Image,
        instance::Instance,
        key_pair::KeyPair,
        scope::Scope,
        security_group::SecurityGroup,
        signing_certificate::SigningCertificate,
        tag::TagSet,
        vpc::{Subnet, Vpc},
    },
    store::{
        Batch, Store, StoreFault,
        record::{Record, load_all},
    },
};
use std::sync::Arc;

macro_rules! records {
    ($($record:ty, $table:literal, |$r:ident| $key:expr;)+) => {$(
        impl Record for $record {
            const TABLE: &'static str = $table;
            const VERSION: u16 = 1;
            fn key(&self) -> Vec<u8> {
                let $r = self;
                $key
            }
        }
    )+};
}

records! {
    Account, "account", |r| r.id.as_str().into();
    AccessKey, "access-key", |r| r.id.as_str().into();
    SigningCertificate, "signing-certificate", |r| r.fingerprint.to_string().into();
    Image, "image", |r| r.id.as_str().into();
    Vpc, "vpc", |r| r.id.as_str().into();
    Subnet, "subnet", |r| r.id.as_str().into();
    KeyPair, "key-pair", |r| r.id.as_str().into();
    SecurityGroup, "security-group", |r| r.id.as_str().into();
    ElasticAddress, "elastic-address", |r| r.id.as_str().into();
    Instance, "instance", |r| r.id.as_str().into();
    DetachedInterface, "detached-interface", |r| r.id.as_str().into();
    TagSet, "tags", |r| r.resource.as_str().into();
    ClientToken, "client-token", |r| within(&r.scope, &r.token);
    Eviction, "eviction", |r| format!("{} {}", r.group, r.node).into_bytes();
}

/// For names that users choose, which only their scope makes unique. A scope holds no space.
fn within(scope: &Scope, name: &str) -> Vec<u8> {
    format!("{scope} {name}").into_bytes()
}

/// The state as last recorded. Instances come last, since their holdings refer to nodes only.
pub fn load(store: &dyn Store) -> Result<CloudState, StoreFault> {
    let mut state = CloudState::default();
    fn put<T: Record>(
        store: &dyn Store,
        state: &mut CloudState,
        entry: impl Fn(Arc<T>) -> Entry,
    ) -> Result<(), StoreFault> {
        for record in load_all::<T>(store)? {
            state.apply(&Change::Put(entry(Arc::new(record))));
        }
        Ok(())
    }
    put(store, &mut state, Entry::Account)?;
    put(store, &mut state, Entry::AccessKey)?;
    put(store, &mut state, Entry::SigningCertificate)?;
    put(store, &mut state, Entry::Image)?;
    put(store, &mut state, Entry::Vpc)?;
    put(store, &mut state, Entry::Subnet)?;
    put(store, &mut state, Entry::KeyPair)?;
    put(store, &mut state, Entry::SecurityGroup)?;
    put(store, &mut state, Entry::ElasticAddress)?;
    put(store, &mut state, Entry::DetachedInterface)?;
    put(store, &mut state, Entry::Tags)?;
    put(store, &mut state, Entry::ClientToken)?;
    put(store, &mut state, Entry::Eviction)?;
    put(store, &mut state, Entry::Instance)?;
    Ok(state)
}

/// The changes as one atomic batch.
pub fn batch(changes: &[Change]) -> Batch {
    let mut batch = Batch::default();
    for change in changes {
        match change {
            Change::Put(entry) => put(&mut batch, entry),
            Change::Remove(entry) => remove(&mut batch, entry),
        }
    }
    batch
}

fn put(batch: &mut Batch, entry: &Entry) {
    match entry {
        Entry::Account(r) => batch.put_record(&**r),
        Entry::AccessKey(r) => batch.put_record(&**r),
        Entry::SigningCertificate(r) => batch.put_record(&**r),
        Entry::Image(r) => batch.put_record(&**r),
        Entry::Vpc(r) => batch.put_record(&**r),
        Entry::Subnet(r) => batch.put_record(&**r),
        Entry::KeyPair(r) => batch.put_record(&**r),
        Entry::SecurityGroup(r) => batch.put_record(&**r),
        Entry::ElasticAddress(r) => batch.put_record(&**r),
        Entry::Instance(r) => batch.put_record(&**r),
        Entry::DetachedInterface(r) => batch.put_record(&**r),
        Entry::Tags(r) => batch.put_record(&**r),
        Entry::ClientToken(r) => batch.put_record(&**r),
        Entry::Eviction(r) => batch.put_record(&**r),
    }
}

fn remove(batch: &mut Batch, entry: &Entry) {
    match entry {
        Entry::Account(r) => batch.remove_record(&**r),
        Entry::AccessKey(r) => batch.remove_record(&**r),
        Entry::SigningCertificate(r) => batch.remove_record(&**r),
        Entry::Image(r) => batch.remove_record(&**r),
        Entry::Vpc(r) => batch.remove_record(&**r),
        Entry::Subnet(r) => batch.remove_record(&**r),
        Entry::KeyPair(r) => batch.remove_record(&**r),
        Entry::SecurityGroup(r) => batch.remove_record(&**r),
        Entry::ElasticAddress(r) => batch.remove_record(&**r),
        Entry::Instance(r) => batch.remove_record(&**r),
        Entry::DetachedInterface(r) => batch.remove_record(&**r),
        Entry::Tags(r) => batch.remove_record(&**r),
        Entry::ClientToken(r) => batch.remove_record(&**r),
        Entry::Eviction(r) => batch.remove_record(&**r),
    }
}
