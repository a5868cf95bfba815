//! Parameters that EC2 has and this cloud has nothing for: known by name, to be refused by name.
//!
//! A parameter left out of a request struct is refused as unrecognized, which is right for a
//! misspelling. One that EC2 documents deserves to be told apart from that.

use crate::api::error::{ApiError, Code};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use std::fmt;

/// Stands for a parameter of any shape: it was given, and what it says is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotHonoured;

impl<'de> Deserialize<'de> for NotHonoured {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<NotHonoured, D::Error> {
        struct Whatever;
        impl<'de> Visitor<'de> for Whatever {
            type Value = NotHonoured;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("anything")
            }
            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<NotHonoured, A::Error> {
                Ok(NotHonoured)
            }
        }
        // A plain value reads as a structure without fields.
        deserializer.deserialize_map(Whatever)
    }
}

/// Refuses the first that was given, by its EC2 name.
pub fn refuse_given(parameters: &[(&str, Option<NotHonoured>)]) -> Result<(), ApiError> {
    match parameters.iter().find(|(_, given)| given.is_some()) {
        Some((name, _)) => Err(unsupported(format!("{name} is not supported by this cloud."))),
        None => Ok(()),
    }
}

pub fn unsupported(message: impl Into<String>) -> ApiError {
    ApiError::new(Code::UnsupportedOperation, message)
}

/// Refuses a value other than those that ask for what is the case anyway.
pub fn require_one_of(name: &str, given: Option<&str>, honoured: &[&str]) -> Result<(), ApiError> {
    match given {
        Some(value) if !honoured.contains(&value) => {
            Err(unsupported(format!("{name} '{value}' is not supported by this cloud.")))
        }
        _ => Ok(()),
    }
}

/// Refuses `true` for something that cannot be had, or `false` for something that cannot be left
/// out.
pub fn require(name: &str, given: Option<bool>, honoured: bool) -> Result<(), ApiError> {
    match given {
        Some(value) if value != honoured => {
            Err(unsupported(format!("{name} '{value}' is not supported by this cloud.")))
        }
        _ => Ok(()),
    }
}

/// Refuses to make any of something that cannot be had.
pub fn refuse_count(name: &str, count: Option<u32>) -> Result<(), ApiError> {
    match count {
        None | Some(0) => Ok(()),
        Some(_) => Err(unsupported(format!("{name} is not supported by this cloud."))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{parameters::Parameters, query};

    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Request {
        #[serde(default)]
        spare: Option<NotHonoured>,
    }

    #[test]
    fn whatever_its_shape_it_is_refused_by_its_name() {
        for text in ["Spare=1", "Spare.Deep.1.Er=1", "Spare.1=a&Spare.2=b"] {
            let request: Request = query::read(&Parameters::parse(text, b"").unwrap()).unwrap();
            let error = refuse_given(&[("Spare", request.spare)]).unwrap_err();
            assert_eq!(error.code, Code::UnsupportedOperation);
            assert_eq!(error.message, "Spare is not supported by this cloud.");
        }
        let request: Request = query::read(&Parameters::parse("", b"").unwrap()).unwrap();
        assert_eq!(refuse_given(&[("Spare", request.spare)]), Ok(()));
    }

    #[test]
    fn asking_for_what_is_the_case_is_granted() {
        assert_eq!(require("Configured", Some(false), false), Ok(()));
        assert_eq!(require("Configured", None, false), Ok(()));
        assert!(require("Configured", Some(true), false).is_err());
        assert_eq!(require_one_of("Tenancy", Some("default"), &["default"]), Ok(()));
        assert!(require_one_of("Tenancy", Some("host"), &["default"]).is_err());
    }
}
