//! Everything the cloud knows, as one immutable value.
//!
//! Maps are persistent (structure-sharing): a clone costs nothing, so a decision works on a copy
//! that is thrown away if refused (`draft`), and readers hold a snapshot that nobody changes.
//! A `CloudState` changes only by applying `Change`s; the same changes, recorded, rebuild it.

use super::{
    account::{AccessKey, Account, Role},
    capacity::Capacity,
    detached_interface::DetachedInterface,
    elastic_address::{Association, ElasticAddress},
    id::{
        AccountId, AllocationId, GroupName, ImageId, InstanceId, InterfaceId, NodeName, PrefixedId,
        ReservationId, SecurityGroupId, SubnetId, VpcId,
    },
    image::Image,
    instance::{Instance, InstanceState, Interface},
    interface::Wire,
    key_pair::KeyPair,
    overlay::NetworkId,
    scope::Scope,
    security_group::{Peer, SecurityGroup},
    signing_certificate::{CertificateFingerprint, SigningCertificate},
    tag::{TagSet, Tags},
    time::Timestamp,
    vpc::{Subnet, Vpc},
};
use rpds::RedBlackTreeMapSync as Map;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::Ipv4Addr, sync::Arc, time::Duration};

/// What a client token was used for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientToken {
    pub scope: Scope,
    pub token: String,
    /// A digest of the request's parameters: the same token with others is a mistake.
    pub parameters: String,
    pub reservation: ReservationId,
    pub used_at: Timestamp,
}

/// An administrator's word that a node is gone. It ends when the node's group has taken it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Eviction {
    pub group: GroupName,
    pub node: NodeName,
    pub since: Timestamp,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    Account(Arc<Account>),
    AccessKey(Arc<AccessKey>),
    SigningCertificate(Arc<SigningCertificate>),
    Image(Arc<Image>),
    Vpc(Arc<Vpc>),
    Subnet(Arc<Subnet>),
    KeyPair(Arc<KeyPair>),
    SecurityGroup(Arc<SecurityGroup>),
    ElasticAddress(Arc<ElasticAddress>),
    Instance(Arc<Instance>),
    DetachedInterface(Arc<DetachedInterface>),
    Tags(Arc<TagSet>),
    ClientToken(Arc<ClientToken>),
    Eviction(Arc<Eviction>),
}

/// A record is written, or gone. Replaying changes in order gives the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    Put(Entry),
    Remove(Entry),
}

/// One scope's resources, each by its id.
#[derive(Debug, Clone, Default)]
pub struct ScopeState {
    pub vpcs: Map<VpcId, Arc<Vpc>>,
    pub subnets: Map<SubnetId, Arc<Subnet>>,
    /// By name: a key pair's name is its identity to users.
    pub key_pairs: Map<String, Arc<KeyPair>>,
    pub security_groups: Map<SecurityGroupId, Arc<SecurityGroup>>,
    pub instances: Map<InstanceId, Arc<Instance>>,
    pub elastic_addresses: Map<AllocationId, Arc<ElasticAddress>>,
    /// Interfaces that were given an elastic address.
    pub elastic_interfaces: Map<InterfaceId, AllocationId>,
    /// By the resource's id.
    pub tags: Map<String, Arc<TagSet>>,
    pub client_tokens: Map<String, Arc<ClientToken>>,
    /// Addresses in use on the scope's private networks, those of detached interfaces among them.
    pub private_addresses: Map<(VpcId, Ipv4Addr), InterfaceId>,
    /// Whose each attached interface is.
    pub interfaces: Map<InterfaceId, InstanceId>,
    pub detached_interfaces: Map<InterfaceId, Arc<DetachedInterface>>,
}

impl ScopeState {
    pub fn default_vpc(&self) -> Option<&Arc<Vpc>> {
        self.vpcs.values().find(|vpc| vpc.is_default)
    }

    pub fn tags_of(&self, resource: &str) -> Option<&Tags> {
        self.tags.get(resource).map(|set| &set.tags)
    }

    pub fn security_group_named(&self, vpc: &VpcId, name: &str) -> Option<&Arc<SecurityGroup>> {
        self.security_groups.values().find(|group| group.vpc == *vpc && group.name == name)
    }

    /// The addresses of a subnet that somebody has, in order.
    pub fn addresses_taken<'a>(
        &'a self,
        subnet: &'a Subnet,
    ) -> impl Iterator<Item = Ipv4Addr> + 'a {
        let from = (subnet.vpc.clone(), subnet.cidr.address());
        self.private_addresses
            .range(from..)
            .take_while(|((vpc, address), _)| *vpc == subnet.vpc && subnet.cidr.contains(*address))
            .map(|((_, address), _)| *address)
    }

    /// What an elastic address is associated with, as long as that exists.
    pub fn association<'a>(&self, address: &'a ElasticAddress) -> Option<&'a Association> {
        let exists = |association: &&Association| {
            self.instances.get(&association.instance).is_some_and(|i| i.state.exists())
        };
        address.association.as_ref().filter(exists)
    }

    /// The elastic address that an interface has.
    pub fn elastic_address_of(&self, interface: &InterfaceId) -> Option<&Arc<ElasticAddress>> {
        let address = self.elastic_addresses.get(self.elastic_interfaces.get(interface)?)?;
        self.association(address).map(|_| address)
    }

    /// Instances with ports that follow the group's rules, terminated ones excluded.
    pub fn members<'a>(
        &'a self,
        group: &'a SecurityGroupId,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + 'a {
        self.instances.values().filter(move |i| i.state.exists() && i.all_groups().contains(group))
    }

    /// An instance's interface, and the instance.
    pub fn interface(&self, id: &InterfaceId) -> Option<(&Interface, &Arc<Instance>)> {
        let instance = self.instances.get(self.interfaces.get(id)?)?;
        let interface = instance.interfaces.iter().find(|interface| interface.id == *id)?;
        Some((interface, instance))
    }
}

impl ScopeState {
    fn forget_detached(&mut self, id: &InterfaceId) {
        let Some(known) = self.detached_interfaces.get(id).cloned() else { return };
        for address in known.addresses() {
            self.free_private(&known.vpc, address, id);
        }
        self.detached_interfaces.remove_mut(id);
    }

    /// Unless the address is somebody else's by now.
    fn free_private(&mut self, vpc: &VpcId, address: Ipv4Addr, holder: &InterfaceId) {
        let key = (vpc.clone(), address);
        if self.private_addresses.get(&key) == Some(holder) {
            self.private_addresses.remove_mut(&key);
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct CloudState {
    pub accounts: Map<AccountId, Arc<Account>>,
    pub access_keys: Map<String, Arc<AccessKey>>,
    /// Whose each access key is, by its id.
    pub access_keys_held: Map<(AccountId, String), ()>,
    pub signing_certificates: Map<CertificateFingerprint, Arc<SigningCertificate>>,
    /// Whose each signing certificate is, by its id.
    pub signing_certificates_held: Map<(AccountId, String), CertificateFingerprint>,
    pub images: Map<ImageId, Arc<Image>>,
    pub scopes: Map<Scope, ScopeState>,
    /// Where an instance's record is: nodes report ids only.
    pub instance_scopes: Map<InstanceId, Scope>,
    /// Which instances are on record to be on which node of which group.
    pub placements: Map<(GroupName, NodeName, InstanceId), ()>,
    /// Nodes that are gone on an administrator's word, and whose groups have not taken it yet.
    pub evictions: Map<(GroupName, NodeName), Arc<Eviction>>,
    /// Instances whose time is limited, by when it ends.
    pub endings: Map<(Timestamp, InstanceId), ()>,
    /// Terminated instances, by when they ended.
    pub ended: Map<(Timestamp, InstanceId), ()>,
    /// Public addresses in use, over all scopes.
    pub public_addresses: Map<Ipv4Addr, InstanceId>,
    /// Whose each private network's number is, over all scopes.
    pub networks: Map<NetworkId, VpcId>,
    /// Elastic addresses that are somebody's, over all scopes.
    pub elastic_addresses: Map<Ipv4Addr, (Scope, AllocationId)>,
    /// Groups that rules of other groups name: the named one, the naming one, and where that is.
    pub group_references: Map<(SecurityGroupId, SecurityGroupId), Scope>,
    /// Derived from the instances and the nodes' reports; not recorded.
    pub capacity: Capacity,
    /// What their nodes say is wrong with running instances; not recorded.
    pub impairments: Map<InstanceId, Impairment>,
    /// Nodes that their groups say they have no more, and since when; not recorded.
    pub absent_nodes: Map<(GroupName, NodeName), Timestamp>,
}

/// Something is wrong with an instance, which is no change of its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Impairment {
    pub why: String,
    pub since: Timestamp,
}

impl CloudState {
    pub fn scope(&self, scope: &Scope) -> Option<&ScopeState> {
        self.scopes.get(scope)
    }

    /// An instance wherever it is.
    pub fn instance(&self, id: &InstanceId) -> Option<&Arc<Instance>> {
        self.scopes.get(self.instance_scopes.get(id)?)?.instances.get(id)
    }

    pub fn instances(&self) -> impl Iterator<Item = &Arc<Instance>> {
        self.scopes.values().flat_map(|scope| scope.instances.values())
    }

    /// An account's access keys, by id.
    pub fn access_keys_of<'a>(
        &'a self,
        account: &'a AccountId,
    ) -> impl Iterator<Item = &'a Arc<AccessKey>> + 'a {
        self.access_keys_held
            .range((account.clone(), String::new())..)
            .take_while(move |((holder, _), ())| holder == account)
            .filter_map(|((_, id), ())| self.access_keys.get(id))
    }

    /// An account's signing certificates, by id.
    pub fn signing_certificates_of<'a>(
        &'a self,
        account: &'a AccountId,
    ) -> impl Iterator<Item = &'a Arc<SigningCertificate>> + 'a {
        self.signing_certificates_held
            .range((account.clone(), String::new())..)
            .take_while(move |((holder, _), _)| holder == account)
            .filter_map(|(_, fingerprint)| self.signing_certificates.get(fingerprint))
    }

    /// What an account's credentials are good for: its keys have one role all of them, and an
    /// administrator's configured one is always there.
    pub fn role_of(&self, account: &AccountId) -> Role {
        let administers = |key: &Arc<AccessKey>| key.role == Role::Administrator;
        match self.access_keys_of(account).any(administers) {
            true => Role::Administrator,
            false => Role::User,
        }
    }

    pub fn instances_of(&self, account: &AccountId) -> impl Iterator<Item = &Arc<Instance>> {
        let own = self.scopes.iter().filter(move |(scope, _)| scope.account == *account);
        own.flat_map(|(_, state)| state.instances.values())
    }

    /// Instances whose time is over and that nobody has begun to end, the longest due first.
    pub fn overdue(&self, now: Timestamp) -> Vec<Arc<Instance>> {
        let due = self.endings.keys().take_while(|(ends_at, _)| *ends_at <= now);
        let instances = due.filter_map(|(_, id)| self.instance(id));
        instances.filter(|i| i.state != InstanceState::ShuttingDown).cloned().collect()
    }

    /// Instances that have been terminated for so long, the longest first.
    pub fn ended_for(&self, long: Duration, now: Timestamp) -> Vec<Arc<Instance>> {
        let old = self.ended.keys().take_while(|(since, _)| now.since(*since) >= long);
        old.filter_map(|(_, id)| self.instance(id)).cloned().collect()
    }

    /// The instances that are on record to be on a node, terminated ones excluded.
    pub fn placed_on<'a>(
        &'a self,
        group: &'a GroupName,
        node: &'a NodeName,
    ) -> impl Iterator<Item = &'a Arc<Instance>> + 'a {
        let from = (group.clone(), node.clone(), InstanceId::lowest());
        self.placements
            .range(from..)
            .take_while(move |((g, n, _), ())| (g, n) == (group, node))
            .filter_map(|((_, _, id), ())| self.instance(id))
    }

    /// A group's whole word on the nodes it has no more.
    pub fn note_absent_nodes(
        &mut self,
        group: &GroupName,
        absent: &BTreeSet<NodeName>,
        now: Timestamp,
    ) {
        let known: Vec<_> =
            self.absent_nodes.keys().filter(|(of, _)| of == group).cloned().collect();
        for key in known.iter().filter(|(_, node)| !absent.contains(node)) {
            self.absent_nodes.remove_mut(key);
        }
        for node in absent {
            let key = (group.clone(), node.clone());
            if !known.contains(&key) {
                self.absent_nodes.insert_mut(key, now);
            }
        }
    }

    /// Since when nobody can be asked anything about an instance, its node having been taken out of
    /// the configuration.
    pub fn out_of_reach_since(&self, instance: &Instance) -> Option<Timestamp> {
        let node = instance.node.clone()?;
        self.absent_nodes.get(&(instance.group.clone(), node)).copied()
    }

    /// A node's latest word on what is wrong with an instance. The first one tells since when.
    pub fn note_impairment(&mut self, id: &InstanceId, why: Option<&str>, now: Timestamp) {
        match why {
            None if self.impairments.contains_key(id) => _ = self.impairments.remove_mut(id),
            None => {}
            Some(why) => {
                let since = self.impairments.get(id).map_or(now, |known| known.since);
                let impairment = Impairment { why: why.to_owned(), since };
                self.impairments.insert_mut(id.clone(), impairment);
            }
        }
    }

    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Put(entry) => self.put(entry),
            Change::Remove(entry) => self.remove(entry),
        }
    }

    fn put(&mut self, entry: &Entry) {
        match entry {
            Entry::Account(r) => self.accounts.insert_mut(r.id.clone(), r.clone()),
            Entry::AccessKey(r) => {
                self.access_keys_held.insert_mut((r.account.clone(), r.id.clone()), ());
                self.access_keys.insert_mut(r.id.clone(), r.clone());
            }
            Entry::SigningCertificate(r) => {
                let key = (r.account.clone(), r.id.clone());
                self.signing_certificates_held.insert_mut(key, r.fingerprint);
                self.signing_certificates.insert_mut(r.fingerprint, r.clone());
            }
            Entry::Image(r) => self.images.insert_mut(r.id.clone(), r.clone()),
            Entry::Vpc(r) => {
                if let Some(network) = r.network {
                    self.networks.insert_mut(network, r.id.clone());
                }
                self.within(&r.scope, |s| s.vpcs.insert_mut(r.id.clone(), r.clone()));
            }
            Entry::Subnet(r) => {
                self.within(&r.scope, |s| s.subnets.insert_mut(r.id.clone(), r.clone()));
            }
            Entry::KeyPair(r) => {
                self.within(&r.scope, |s| s.key_pairs.insert_mut(r.name.clone(), r.clone()));
            }
            Entry::SecurityGroup(r) => {
                self.forget_references(r);
                for named in named_by(r) {
                    self.group_references.insert_mut((named, r.id.clone()), r.scope.clone());
                }
                self.within(&r.scope, |s| s.security_groups.insert_mut(r.id.clone(), r.clone()));
            }
            Entry::ElasticAddress(r) => self.put_elastic_address(r),
            Entry::Instance(r) => self.put_instance(r),
            Entry::DetachedInterface(r) => self.within(&r.scope, |s| {
                s.forget_detached(&r.id);
                for address in r.addresses() {
                    s.private_addresses.insert_mut((r.vpc.clone(), address), r.id.clone());
                }
                s.detached_interfaces.insert_mut(r.id.clone(), r.clone());
            }),
            Entry::Tags(r) => {
                self.within(&r.scope, |s| s.tags.insert_mut(r.resource.clone(), r.clone()));
            }
            Entry::ClientToken(r) => {
                self.within(&r.scope, |s| s.client_tokens.insert_mut(r.token.clone(), r.clone()));
            }
            Entry::Eviction(r) => {
                self.evictions.insert_mut((r.group.clone(), r.node.clone()), r.clone());
            }
        }
    }

    fn remove(&mut self, entry: &Entry) {
        match entry {
            Entry::Account(r) => _ = self.accounts.remove_mut(&r.id),
            Entry::AccessKey(r) => {
                self.access_keys_held.remove_mut(&(r.account.clone(), r.id.clone()));
                self.access_keys.remove_mut(&r.id);
            }
            Entry::SigningCertificate(r) => {
                self.signing_certificates_held.remove_mut(&(r.account.clone(), r.id.clone()));
                self.signing_certificates.remove_mut(&r.fingerprint);
            }
            Entry::Image(r) => _ = self.images.remove_mut(&r.id),
            Entry::Vpc(r) => {
                if let Some(network) = r.network {
                    self.networks.remove_mut(&network);
                }
                self.within(&r.scope, |s| _ = s.vpcs.remove_mut(&r.id));
            }
            Entry::Subnet(r) => self.within(&r.scope, |s| _ = s.subnets.remove_mut(&r.id)),
            Entry::KeyPair(r) => self.within(&r.scope, |s| _ = s.key_pairs.remove_mut(&r.name)),
            Entry::SecurityGroup(r) => {
                self.forget_references(r);
                self.within(&r.scope, |s| _ = s.security_groups.remove_mut(&r.id));
            }
            Entry::ElasticAddress(r) => {
                self.forget_association(r);
                self.elastic_addresses.remove_mut(&r.address);
                self.within(&r.scope, |s| _ = s.elastic_addresses.remove_mut(&r.id));
            }
            Entry::Instance(r) => {
                self.forget_place(r);
                self.ended.remove_mut(&(r.state_since, r.id.clone()));
                self.capacity.release(&r.id);
                self.impairments.remove_mut(&r.id);
                self.within(&r.scope, |s| _ = s.instances.remove_mut(&r.id));
                self.instance_scopes.remove_mut(&r.id);
            }
            Entry::DetachedInterface(r) => {
                self.within(&r.scope, |s| s.forget_detached(&r.id));
            }
            Entry::Tags(r) => self.within(&r.scope, |s| _ = s.tags.remove_mut(&r.resource)),
            Entry::ClientToken(r) => {
                self.within(&r.scope, |s| _ = s.client_tokens.remove_mut(&r.token));
            }
            Entry::Eviction(r) => {
                self.evictions.remove_mut(&(r.group.clone(), r.node.clone()));
            }
        }
    }

    /// Where groups are whose rules name this one, itself aside.
    pub fn scopes_naming<'a>(
        &'a self,
        group: &'a SecurityGroupId,
    ) -> impl Iterator<Item = &'a Scope> + 'a {
        let from = (group.clone(), SecurityGroupId::lowest());
        self.group_references
            .range(from..)
            .take_while(move |((named, _), _)| named == group)
            .map(|(_, scope)| scope)
    }

    /// What the group named in the state that is about to be replaced.
    fn forget_references(&mut self, group: &SecurityGroup) {
        let previous = self
            .scopes
            .get(&group.scope)
            .and_then(|scope| scope.security_groups.get(&group.id))
            .cloned();
        for named in previous.iter().flat_map(|previous| named_by(previous)) {
            self.group_references.remove_mut(&(named, group.id.clone()));
        }
    }

    fn put_elastic_address(&mut self, address: &Arc<ElasticAddress>) {
        self.forget_association(address);
        self.elastic_addresses
            .insert_mut(address.address, (address.scope.clone(), address.id.clone()));
        self.within(&address.scope, |s| {
            if let Some(association) = &address.association {
                s.elastic_interfaces.insert_mut(association.interface.clone(), address.id.clone());
            }
            s.elastic_addresses.insert_mut(address.id.clone(), address.clone());
        });
    }

    /// Of an elastic address as it was, unless its interface has been given another since.
    fn forget_association(&mut self, address: &ElasticAddress) {
        self.within(&address.scope, |s| {
            let before = s.elastic_addresses.get(&address.id);
            let Some(before) = before.and_then(|before| before.association.clone()) else { return };
            if s.elastic_interfaces.get(&before.interface) == Some(&address.id) {
                s.elastic_interfaces.remove_mut(&before.interface);
            }
        });
    }

    /// The indices and the capacity follow from the record, whatever was there before.
    fn put_instance(&mut self, instance: &Arc<Instance>) {
        let previous = self.instance(&instance.id).cloned();
        if !previous.as_ref().is_some_and(|previous| has_same_place(previous, instance)) {
            if let Some(previous) = previous {
                self.forget_place(&previous);
            }
            match instance.state.exists() {
                true => self.note_place(instance),
                false => self.ended.insert_mut((instance.state_since, instance.id.clone()), ()),
            }
            self.instance_scopes.insert_mut(instance.id.clone(), instance.scope.clone());
        }
        let (id, group) = (&instance.id, &instance.group);
        match (instance.holding(), self.node_of(instance)) {
            // Committed by its node's word that it runs.
            (Some(resources), Some(node)) if instance.state == InstanceState::Pending => {
                self.capacity.reserve_on(id, group, &node, resources);
            }
            (Some(resources), Some(node)) => self.capacity.hold(id, group, &node, resources),
            (Some(resources), None) => {
                self.capacity.reserve(id, group, resources, &[]);
            }
            (None, _) => self.capacity.release(id),
        }
        self.within(&instance.scope, |s| {
            s.instances.insert_mut(instance.id.clone(), instance.clone());
        });
    }

    /// Where it is, or where its reservation is held until its group says.
    fn node_of(&self, instance: &Instance) -> Option<NodeName> {
        instance
            .node
            .clone()
            .or_else(|| self.capacity.holding(&instance.id).map(|holding| holding.node.clone()))
    }

    /// Indexes node, addresses and the end of its time.
    fn note_place(&mut self, instance: &Instance) {
        if let Some(ends_at) = instance.ends_at {
            self.endings.insert_mut((ends_at, instance.id.clone()), ());
        }
        if let Some(node) = &instance.node {
            let key = (instance.group.clone(), node.clone(), instance.id.clone());
            self.placements.insert_mut(key, ());
        }
        for interface in &instance.interfaces {
            self.within(&instance.scope, |s| {
                s.interfaces.insert_mut(interface.id.clone(), instance.id.clone());
            });
            match &interface.wire {
                Wire::Public => {
                    self.public_addresses.insert_mut(interface.address, instance.id.clone());
                }
                Wire::Private(vpc) => self.within(&instance.scope, |s| {
                    for address in interface.addresses() {
                        let holder = interface.id.clone();
                        s.private_addresses.insert_mut((vpc.clone(), address), holder);
                    }
                }),
            }
        }
    }

    fn forget_place(&mut self, instance: &Instance) {
        if let Some(ends_at) = instance.ends_at {
            self.endings.remove_mut(&(ends_at, instance.id.clone()));
        }
        if let Some(node) = &instance.node {
            let key = (instance.group.clone(), node.clone(), instance.id.clone());
            self.placements.remove_mut(&key);
        }
        for interface in &instance.interfaces {
            self.within(&instance.scope, |s| _ = s.interfaces.remove_mut(&interface.id));
            match &interface.wire {
                Wire::Public => {
                    if self.public_addresses.get(&interface.address) == Some(&instance.id) {
                        self.public_addresses.remove_mut(&interface.address);
                    }
                }
                Wire::Private(vpc) => self.within(&instance.scope, |s| {
                    for address in interface.addresses() {
                        s.free_private(vpc, address, &interface.id);
                    }
                }),
            }
        }
    }

    fn within(&mut self, scope: &Scope, change: impl FnOnce(&mut ScopeState)) {
        // In place where nobody else holds this state, as while records are read.
        if let Some(state) = self.scopes.get_mut(scope) {
            return change(state);
        }
        let mut state = ScopeState::default();
        change(&mut state);
        self.scopes.insert_mut(scope.clone(), state);
    }
}

/// Most changes of an instance are of its state only.
fn has_same_place(one: &Instance, other: &Instance) -> bool {
    one.state.exists() == other.state.exists()
        && one.group == other.group
        && one.node == other.node
        && one.ends_at == other.ends_at
        && one.interfaces == other.interfaces
}

/// The other groups that a group's rules name.
fn named_by(group: &SecurityGroup) -> BTreeSet<SecurityGroupId> {
    group
        .rules
        .iter()
        .filter_map(|rule| match &rule.peer {
            Peer::Group { group: named, .. } if *named != group.id => Some(named.clone()),
            Peer::Group { .. } | Peer::Range(_) | Peer::Ipv6Range(_) => None,
        })
        .collect()
}

/// The scope's resource with this id exists, of whatever kind can carry tags.
pub fn resource_exists(state: &CloudState, scope: &Scope, id: &str) -> bool {
    let Some(resources) = state.scope(scope) else { return false };
    let owned = |image: &Arc<Image>| image.owner == scope.account;
    if let Ok(id) = id.parse::<InstanceId>() {
        resources.instances.contains_key(&id)
    } else if let Ok(id) = id.parse::<SecurityGroupId>() {
        resources.security_groups.contains_key(&id)
    } else if let Ok(id) = id.parse::<VpcId>() {
        resources.vpcs.contains_key(&id)
    } else if let Ok(id) = id.parse::<SubnetId>() {
        resources.subnets.contains_key(&id)
    } else if let Ok(id) = id.parse::<AllocationId>() {
        resources.elastic_addresses.contains_key(&id)
    } else if let Ok(id) = id.parse::<InterfaceId>() {
        resources.interfaces.contains_key(&id) || resources.detached_interfaces.contains_key(&id)
    } else if let Ok(id) = id.parse::<ImageId>() {
        state.images.get(&id).is_some_and(owned)
    } else {
        resources.key_pairs.values().any(|pair| pair.id.as_str() == id)
            || resources
                .security_groups
                .values()
                .flat_map(|g| &g.rules)
                .any(|r| r.id.as_str() == id)
            || resources.instances.values().any(|i| i.root_volume.as_str() == id)
    }
}
