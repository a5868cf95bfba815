//! A range of addresses as requests write it: `10.0.0.0/16`. Host bits are cleared, as EC2 does.

use crate::{
    api::error::{ApiError, Code, echo},
    domain::port_filter::Cidr,
};

/// `name` is the parameter's.
pub fn read(name: &str, text: &str) -> Result<Cidr, ApiError> {
    text.parse().map_err(|_| {
        let text = echo(text);
        ApiError::new(
            Code::InvalidParameterValue,
            format!(
                "Value ({text}) for parameter {name} is invalid. This is not a valid CIDR block."
            ),
        )
    })
}
