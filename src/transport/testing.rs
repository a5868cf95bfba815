//! What tests of links have in common: questions that mean nothing.

use crate::{
    domain::account::{Caller, Role},
    messages::{CallContext, envelope::Envelope},
};

pub fn envelope(name: &str, time_left_ms: u64, body: &[u8]) -> Envelope {
    let context = CallContext {
        request_id: "r-1".into(),
        trace_id: None,
        time_left_ms,
        on_behalf_of: Caller {
            account: "111122223333".parse().expect("this is a well-formed account"),
            role: Role::User,
        },
    };
    Envelope { name: name.into(), context, body: body.into() }
}
