//! What the files named here name of `actix` and `actix-web`. These would take longer to build than
//! everything else; of requests only headers and codes are parsers' business.

use std::iter;

pub trait Message {
    type Result;
}

pub mod http {
    pub use ::http::StatusCode;

    pub mod header {
        pub use super::super::HeaderMap;
        pub use ::http::header::AUTHORIZATION;
    }
}

/// With actix-web's methods, which are a little different.
#[derive(Debug, Default)]
pub struct HeaderMap(::http::HeaderMap);

impl HeaderMap {
    /// Nothing if these are no header.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Option<()> {
        let name = ::http::HeaderName::from_bytes(name).ok()?;
        self.0.append(name, ::http::HeaderValue::from_bytes(value).ok()?);
        Some(())
    }

    pub fn contains_key(&self, name: ::http::HeaderName) -> bool {
        self.0.contains_key(name)
    }

    pub fn get_all(&self, name: &str) -> impl Iterator<Item = &::http::HeaderValue> {
        let mut values = self.0.get_all(name).iter();
        iter::from_fn(move || values.next())
    }
}
