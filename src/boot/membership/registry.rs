//! The cloud's authority and its ledger, on the disk of the cloud manager's host.
//!
//! What was decided is on the disk before anybody hears of it. A change that cannot be written is
//! taken back.

use crate::{
    config::{
        Configuration,
        state_directory::{StateDirectory, create_private_directory, write_private},
    },
    domain::{
        id::{GroupName, NodeName},
        membership::{Invitation, JoiningRole, Membership, MembershipFault},
    },
    transport::{
        Clock,
        authority::{Authority, AuthorityFault},
        credentials::{CredentialFault, Credentials},
        identity::{Identity, Peer, Role},
        ledger::{Ledger, Refused, Term},
        registrar::{Application, Certified, Registrar, VALID_FOR},
        token::{JoinToken, Secret},
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs, io,
    net::SocketAddr,
    path::PathBuf,
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

#[derive(Debug, thiserror::Error)]
pub enum RegistryFault {
    #[error("`{}`: {source}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("`{}`: {source}", .path.display())]
    Authority { path: PathBuf, source: AuthorityFault },
    #[error("`{}` cannot be read: {source}", .path.display())]
    Ledger { path: PathBuf, source: serde_json::Error },
    #[error(
        "the certificates of this cloud call it `{certified}`, and the configuration `{configured}`"
    )]
    Renamed { certified: String, configured: String },
}

pub struct Registry {
    registrar: Mutex<Registrar>,
    ledger: PathBuf,
    clock: Clock,
    addresses: Addresses,
    /// Nodes of this very process.
    here: BTreeSet<(GroupName, NodeName)>,
    /// Groups of other processes, and whom each has heard to be revoked.
    told: Mutex<BTreeMap<GroupName, Option<Vec<Term>>>>,
    /// Changes when somebody is revoked.
    revoked: watch::Sender<()>,
}

/// Where the configuration says that each parent is reached.
#[derive(Debug)]
struct Addresses {
    cloud: Option<SocketAddr>,
    groups: BTreeMap<GroupName, Option<SocketAddr>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Registry({})", self.ledger.display())
    }
}

impl Registry {
    /// Finds the authority of this cloud, or makes it.
    pub fn open(
        configuration: &Configuration,
        state: &StateDirectory,
        clock: Clock,
    ) -> Result<Registry, RegistryFault> {
        let (place, ledger_place) = (state.authority(), state.ledger());
        let io = |path: &PathBuf| {
            let path = path.clone();
            move |source| RegistryFault::Io { path, source }
        };
        let authority_fault = |source| RegistryFault::Authority { path: place.clone(), source };
        if !place.try_exists().map_err(io(&place))? {
            let directory = place.parent().expect("it is a file in the state directory");
            create_private_directory(directory).map_err(io(&place))?;
            let name = &configuration.cloud.name;
            let authority = Authority::create(name, clock()).map_err(authority_fault)?;
            // The authority last: it is never without its ledger.
            write_private(&ledger_place, &text(&Ledger::new(name))).map_err(io(&ledger_place))?;
            write_private(&place, authority.to_pem().as_bytes()).map_err(io(&place))?;
        }
        let pem = fs::read_to_string(&place).map_err(io(&place))?;
        let authority = Authority::from_pem(&pem).map_err(authority_fault)?;
        let json = fs::read(&ledger_place).map_err(io(&ledger_place))?;
        let ledger: Ledger = serde_json::from_slice(&json)
            .map_err(|source| RegistryFault::Ledger { path: ledger_place.clone(), source })?;
        let configured = &configuration.cloud.name;
        if ledger.cloud() != configured {
            let certified = ledger.cloud().to_owned();
            return Err(RegistryFault::Renamed { certified, configured: configured.clone() });
        }
        let groups = configuration.groups.iter().map(|group| (group.name.clone(), group.links));
        let is_here = |name: &GroupName| configuration.groups_here().any(|own| own.name == *name);
        let away = configuration.groups.iter().filter(|group| !is_here(&group.name));
        let away = away.map(|group| (group.name.clone(), None)).collect();
        let addresses = Addresses { cloud: configuration.cloud.links, groups: groups.collect() };
        Ok(Registry {
            registrar: Mutex::new(Registrar { authority, ledger, valid_for: VALID_FOR }),
            ledger: ledger_place,
            clock,
            addresses,
            here: nodes_of(configuration),
            told: Mutex::new(away),
            revoked: watch::Sender::new(()),
        })
    }

    /// For managers that run beside the authority, and ask nobody.
    pub fn issue(&self, identity: &Identity) -> Result<Credentials, CredentialFault> {
        let registrar = self.registrar();
        Credentials::issued_by(&registrar.authority, identity, (self.clock)(), VALID_FOR)
    }

    /// The decision, once it is on the disk. Blocks.
    pub fn decide(&self, application: &Application) -> Result<Certified, Refused> {
        let now = (self.clock)();
        self.change(|registrar| registrar.decide(application, now))
            .map_err(|why| Refused::Undecided(why.to_string()))?
    }

    pub fn is_revoked(&self, peer: &Peer) -> bool {
        self.registrar().ledger.is_revoked(peer)
    }

    /// Every key that is not believed any more.
    pub fn revoked(&self) -> Vec<Term> {
        self.registrar().ledger.revoked().collect()
    }

    /// Whoever has a certificate that is believed.
    pub fn members(&self) -> Vec<Identity> {
        self.registrar().ledger.members().cloned().collect()
    }

    /// Sees each revocation from now on.
    pub fn watch(&self) -> watch::Receiver<()> {
        self.revoked.subscribe()
    }

    /// A group of another process has heard of these.
    pub fn told(&self, group: &GroupName, revoked: Vec<Term>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.insert(group.clone(), Some(revoked));
    }

    /// Changes the ledger, here and on the disk or nowhere.
    fn change<T>(&self, change: impl FnOnce(&mut Registrar) -> T) -> io::Result<T> {
        let mut registrar = self.registrar();
        let before = registrar.ledger.clone();
        let outcome = change(&mut registrar);
        if registrar.ledger != before {
            registrar.ledger.tidy((self.clock)());
            if let Err(fault) = write_private(&self.ledger, &text(&registrar.ledger)) {
                registrar.ledger = before;
                return Err(fault);
            }
        }
        Ok(outcome)
    }

    fn registrar(&self) -> MutexGuard<'_, Registrar> {
        self.registrar.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parent_of(&self, invited: &Invitation) -> Result<Vec<String>, MembershipFault> {
        let Invitation { role, group, addresses, .. } = invited;
        let links =
            self.addresses.groups.get(group).ok_or(MembershipFault::UnknownGroup(group.clone()))?;
        let links = match role {
            JoiningRole::Group => self.addresses.cloud,
            JoiningRole::Node => *links,
        };
        if !addresses.is_empty() {
            return Ok(addresses.clone());
        }
        match links {
            None => Err(MembershipFault::NoLinks(*role)),
            Some(any) if any.ip().is_unspecified() => Err(MembershipFault::AnyAddress(*role)),
            Some(address) => Ok(vec![address.to_string()]),
        }
    }
}

impl Membership for Registry {
    fn invite(&self, invited: &Invitation) -> Result<String, MembershipFault> {
        let addresses = self.parent_of(invited)?;
        let role = match invited.role {
            JoiningRole::Group => Role::Group,
            JoiningRole::Node => Role::Node,
        };
        let (secret, expires) = (Secret::generate(), (self.clock)() + invited.valid_for);
        let group = invited.group.as_str();
        self.change(|registrar| registrar.ledger.invite(&secret, role, group, expires))
            .map_err(|fault| MembershipFault::NotRecorded(fault.to_string()))?;
        let registrar = self.registrar();
        let token = JoinToken {
            cloud: registrar.ledger.cloud().to_owned(),
            authority: registrar.authority.fingerprint(),
            addresses,
            role,
            group: group.to_owned(),
            secret,
            expires,
        };
        Ok(token.to_string())
    }

    fn expel(&self, group: &GroupName, node: &NodeName) -> Result<bool, MembershipFault> {
        if self.here.contains(&(group.clone(), node.clone())) {
            return Err(MembershipFault::RunsHere(node.clone()));
        }
        let not_recorded = |why: String| MembershipFault::NotRecorded(why);
        let cloud = self.registrar().ledger.cloud().to_owned();
        let identity = Identity::node_manager(&cloud, group.as_str(), node.as_str())
            .map_err(|fault| not_recorded(fault.to_string()))?;
        let revoked = self
            .change(|registrar| registrar.ledger.revoke(&identity))
            .map_err(|fault| not_recorded(fault.to_string()))?;
        self.revoked.send_replace(());
        Ok(!revoked.is_empty())
    }

    fn has_heard(&self, group: &GroupName) -> bool {
        let revoked = self.revoked();
        let told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.get(group).is_none_or(|heard| heard.as_ref() == Some(&revoked))
    }
}

/// The nodes that run in this process.
pub fn nodes_of(configuration: &Configuration) -> BTreeSet<(GroupName, NodeName)> {
    let nodes = configuration.nodes_here().iter();
    nodes.map(|node| (node.group.clone(), node.name.clone())).collect()
}

fn text(ledger: &Ledger) -> Vec<u8> {
    serde_json::to_vec_pretty(ledger).expect("a ledger's keys are text and its values plain")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        config::check,
        transport::{credentials::ProcessKey, registrar::Proof},
    };
    use std::time::{Duration, SystemTime};

    const SPLIT: &str = "[topology]\nroles = [\"cloud\"]\n[cloud]\nlinks = \"192.0.2.1:8774\"\n\
                         [[group]]\nname = \"east\"\nlinks = \"0.0.0.0:8776\"";

    struct Place {
        directory: tempfile::TempDir,
        configuration: Configuration,
    }

    impl Place {
        fn new() -> Place {
            let configuration = check(SPLIT, "f.toml").unwrap();
            Place { directory: tempfile::tempdir().unwrap(), configuration }
        }

        fn state(&self) -> StateDirectory {
            StateDirectory::at(self.directory.path().to_owned())
        }

        fn open(&self) -> Result<Registry, RegistryFault> {
            Registry::open(&self.configuration, &self.state(), super::super::system_clock())
        }
    }

    fn node(addresses: &[&str]) -> Invitation {
        Invitation {
            role: JoiningRole::Node,
            group: "east".parse().unwrap(),
            addresses: addresses.iter().map(|&address| address.to_owned()).collect(),
            valid_for: Duration::from_secs(60),
        }
    }

    fn application(token: &JoinToken, key: &ProcessKey) -> Application {
        let proof = Proof::Invitation { secret: token.secret.clone(), name: "n1".to_owned() };
        Application { request: key.request().unwrap(), proof }
    }

    fn peer(certified: &Certified) -> Peer {
        Peer::of(&certified.certificate.clone().into()).unwrap()
    }

    #[test]
    fn who_was_invited_is_certified_and_believed_until_it_is_expelled_over_restarts_too() {
        let place = Place::new();
        let token = place.open().unwrap().invite(&node(&["10.0.0.9:1"])).unwrap();
        let token: JoinToken = token.parse().unwrap();
        assert_eq!(token.addresses, ["10.0.0.9:1"]);
        assert_eq!(token.authority, place.open().unwrap().registrar().authority.fingerprint());

        let key = ProcessKey::generate();
        let certified = place.open().unwrap().decide(&application(&token, &key)).unwrap();
        let (east, n1) = ("east".parse().unwrap(), "n1".parse().unwrap());
        let registry = place.open().unwrap();
        assert!(!registry.is_revoked(&peer(&certified)));
        // The answer may have been lost: the same key is certified again.
        registry.decide(&application(&token, &key)).unwrap();

        let changes = registry.watch();
        assert_eq!(registry.expel(&east, &n1), Ok(true));
        assert!(changes.has_changed().unwrap());
        let registry = place.open().unwrap();
        assert!(registry.is_revoked(&peer(&certified)));
        assert_eq!(registry.decide(&application(&token, &key)), Err(Refused::Revoked));
        assert_eq!(registry.expel(&east, &n1), Ok(false));
    }

    #[test]
    fn a_group_has_heard_once_it_was_told_of_everybody_who_is_revoked() {
        let place = Place::new();
        let registry = place.open().unwrap();
        let token: JoinToken = registry.invite(&node(&["h:1"])).unwrap().parse().unwrap();
        registry.decide(&application(&token, &ProcessKey::generate())).unwrap();
        let (east, n1) = ("east".parse().unwrap(), "n1".parse().unwrap());
        assert!(!registry.has_heard(&east));
        registry.told(&east, registry.revoked());
        assert!(registry.has_heard(&east));
        registry.expel(&east, &n1).unwrap();
        assert!(!registry.has_heard(&east));
        registry.told(&east, registry.revoked());
        assert!(registry.has_heard(&east));
    }

    #[test]
    fn what_cannot_be_written_down_was_not_decided() {
        let place = Place::new();
        let registry = place.open().unwrap();
        let token: JoinToken = registry.invite(&node(&["h:1"])).unwrap().parse().unwrap();
        let cloud = place.state().ledger();
        let cloud = cloud.parent().unwrap();
        fs::rename(cloud, place.directory.path().join("away")).unwrap();
        let key = ProcessKey::generate();
        let refused = registry.decide(&application(&token, &key)).unwrap_err();
        assert!(matches!(refused, Refused::Undecided(_)), "{refused}");
        assert!(matches!(
            registry.invite(&node(&["h:1"])).unwrap_err(),
            MembershipFault::NotRecorded(_)
        ));
        fs::rename(place.directory.path().join("away"), cloud).unwrap();
        // Nothing was used up.
        registry.decide(&application(&token, &key)).unwrap();
    }

    #[test]
    fn a_token_says_where_to_go_or_is_not_made() {
        let place = Place::new();
        let registry = place.open().unwrap();
        let any = MembershipFault::AnyAddress(JoiningRole::Node);
        assert_eq!(registry.invite(&node(&[])), Err(any));
        let group = Invitation { role: JoiningRole::Group, ..node(&[]) };
        let token: JoinToken = registry.invite(&group).unwrap().parse().unwrap();
        assert_eq!(token.addresses, ["192.0.2.1:8774"]);
        assert!(token.expires <= SystemTime::now() + Duration::from_secs(60));
        let west: GroupName = "west".parse().unwrap();
        let unknown = Invitation { group: west.clone(), ..node(&["h:1"]) };
        assert_eq!(registry.invite(&unknown), Err(MembershipFault::UnknownGroup(west)));
    }

    #[test]
    fn another_name_or_a_lost_ledger_is_refused() {
        let mut place = Place::new();
        place.open().unwrap();
        place.configuration.cloud.name = "other".to_owned();
        assert!(matches!(place.open(), Err(RegistryFault::Renamed { .. })));
        place.configuration.cloud.name = "mallee".to_owned();
        fs::remove_file(place.state().ledger()).unwrap();
        assert!(matches!(place.open(), Err(RegistryFault::Io { .. })));
    }
}
