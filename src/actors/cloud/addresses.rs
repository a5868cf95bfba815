//! Which addresses an interface gets: those asked for, if they are to be had, and free ones.

use crate::domain::{
    chance::Chance,
    cloud_state::ScopeState,
    draft::Draft,
    fault::CloudFault,
    interface::ADDRESSES_MAX,
    port_filter::Cidr,
    vpc::{self, Subnet},
};
use crate::messages::cloud::interface::AddressesWanted;
use std::{collections::BTreeSet, net::Ipv4Addr};

/// The addresses of a new interface, the first of them first. Those in `promised` are another's
/// already, though no record says so yet.
pub fn of_new(
    wanted: &AddressesWanted,
    subnet: &Subnet,
    promised: &BTreeSet<Ipv4Addr>,
    draft: &mut Draft<'_>,
) -> Result<Vec<Ipv4Addr>, CloudFault> {
    let count = wanted.secondary_count as usize;
    if 1 + wanted.secondary.len() + count > ADDRESSES_MAX {
        return Err(CloudFault::InterfaceAddressesExceeded);
    }
    let mut choice = Choice { subnet, own: draft.own(), promised: promised.clone() };
    for address in wanted.primary.iter().chain(&wanted.secondary) {
        choice.take(*address)?;
    }
    let mut addresses = vec![match wanted.primary {
        Some(address) => address,
        None => choice.free(draft.chance)?,
    }];
    addresses.extend(&wanted.secondary);
    for _ in 0..count {
        addresses.push(choice.free(draft.chance)?);
    }
    Ok(addresses)
}

/// Addresses of one subnet that are being given out.
#[derive(Debug)]
pub struct Choice<'a> {
    pub subnet: &'a Subnet,
    pub own: ScopeState,
    pub promised: BTreeSet<Ipv4Addr>,
}

impl Choice<'_> {
    /// One that was asked for.
    pub fn take(&mut self, address: Ipv4Addr) -> Result<(), CloudFault> {
        check_place(address, self.subnet)?;
        match self.is_taken(address) {
            true => Err(CloudFault::AddressInUse(address)),
            false => {
                self.promised.insert(address);
                Ok(())
            }
        }
    }

    pub fn free(&mut self, chance: &mut dyn Chance) -> Result<Ipv4Addr, CloudFault> {
        let free = free_address(self.subnet.cidr, chance, |address| self.is_taken(address));
        let address =
            free.ok_or_else(|| CloudFault::AddressesExhausted(self.subnet.id.to_string()))?;
        self.promised.insert(address);
        Ok(address)
    }

    fn is_taken(&self, address: Ipv4Addr) -> bool {
        let key = (self.subnet.vpc.clone(), address);
        self.promised.contains(&address) || self.own.private_addresses.contains_key(&key)
    }
}

/// Whether somebody in the subnet may have the address.
pub fn check_place(address: Ipv4Addr, subnet: &Subnet) -> Result<(), CloudFault> {
    if !subnet.cidr.contains(address) {
        return Err(CloudFault::InvalidParameter(format!(
            "Address {address} does not fall within the subnet's address range"
        )));
    }
    if !subnet.is_usable(address) {
        return Err(CloudFault::InvalidParameter(format!(
            "Address {address} is in subnet's reserved address range"
        )));
    }
    Ok(())
}

/// A free address from a random place on, so that one given back is not the next one given out:
/// a stranger's caches may still hold it.
pub fn free_address(
    range: Cidr,
    chance: &mut dyn Chance,
    taken: impl Fn(Ipv4Addr) -> bool,
) -> Option<Ipv4Addr> {
    let usable = range.size().checked_sub(vpc::RESERVED_FIRST + vpc::RESERVED_LAST)?;
    if usable == 0 {
        return None;
    }
    let mut bytes = [0; 8];
    chance.fill(&mut bytes);
    let start = u64::from_be_bytes(bytes) % usable;
    (0..usable)
        .filter_map(|step| range.nth(vpc::RESERVED_FIRST + (start + step) % usable))
        .find(|address| !taken(*address))
}
