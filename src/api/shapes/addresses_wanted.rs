//! The addresses that a request wants for an interface it makes: `PrivateIpAddress`, a list of
//! `PrivateIpAddresses`, a number of further ones.

use crate::{
    api::error::{ApiError, Code, echo},
    messages::cloud::interface::AddressesWanted,
};
use schemars::JsonSchema;
use serde::Deserialize;
use std::net::Ipv4Addr;

/// An element of `PrivateIpAddresses`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct PrivateAddressParameter {
    private_ip_address: String,
    primary: Option<bool>,
}

pub fn read(
    primary: Option<&str>,
    listed: &[PrivateAddressParameter],
    secondary_count: Option<u32>,
) -> Result<AddressesWanted, ApiError> {
    let mut wanted = AddressesWanted {
        primary: primary.map(address).transpose()?,
        secondary: Vec::new(),
        secondary_count: secondary_count.unwrap_or(0),
    };
    for each in listed {
        let address = address(&each.private_ip_address)?;
        let is_primary = each.primary.unwrap_or(false);
        match wanted.primary {
            None if is_primary => wanted.primary = Some(address),
            // Clients say it twice.
            Some(known) if is_primary && known == address => {}
            Some(_) if is_primary => {
                return Err(ApiError::invalid_combination(
                    "Only one primary private IP address can be specified.",
                ));
            }
            _ => wanted.secondary.push(address),
        }
    }
    if !wanted.secondary.is_empty() && wanted.secondary_count > 0 {
        return Err(ApiError::invalid_combination(
            "The number of secondary private IP addresses cannot be specified together with the \
             addresses.",
        ));
    }
    Ok(wanted)
}

pub fn address(text: &str) -> Result<Ipv4Addr, ApiError> {
    text.parse().map_err(|_| {
        let message = format!("Invalid IPv4 address: '{}'", echo(text));
        ApiError::new(Code::InvalidParameterValue, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(address: &str, primary: Option<bool>) -> PrivateAddressParameter {
        PrivateAddressParameter { private_ip_address: address.to_owned(), primary }
    }

    #[test]
    fn one_address_is_primary_wherever_it_is_said() {
        let list = [listed("10.0.0.5", None), listed("10.0.0.4", Some(true))];
        for primary in [None, Some("10.0.0.4")] {
            let wanted = read(primary, &list, None).unwrap();
            assert_eq!(wanted.primary, Some([10, 0, 0, 4].into()));
            assert_eq!(wanted.secondary, [Ipv4Addr::new(10, 0, 0, 5)]);
        }
        let code = |outcome: Result<AddressesWanted, ApiError>| outcome.unwrap_err().code;
        let two = read(Some("10.0.0.6"), &list, None);
        assert_eq!(code(two), Code::InvalidParameterCombination);
        let both = read(None, &list, Some(1));
        assert_eq!(code(both), Code::InvalidParameterCombination);
        assert_eq!(code(read(Some("ten"), &[], None)), Code::InvalidParameterValue);
        assert_eq!(read(None, &[], Some(2)).unwrap().secondary_count, 2);
    }
}
