//! What every action reads and answers, as plain trees.
//!
//! The trees are taken from the structs that Query requests are read into and answers are written
//! from, so that whatever else is said of an action (its WSDL, how a SOAP body or a JSON document
//! is read) cannot differ from what the action does. Names are EC2's: those of Query parameters in
//! a request, those of elements in an answer; beside each stands the name that the same member has
//! in JSON. How a SOAP body names a request's members is `edition`'s.

mod json_names;
mod schema;
pub mod schemas;

use super::{action::Action, actions, service::Service};
use std::sync::LazyLock;

/// Every action, in the order of the list. Made once: it is the same as long as the program is.
pub fn all() -> &'static [ActionShape] {
    static ALL: LazyLock<Vec<ActionShape>> = LazyLock::new(actions::shapes);
    &ALL
}

/// The action of a service that has this name.
pub fn find(service: Service, name: &str) -> Option<&'static ActionShape> {
    all().iter().find(|action| action.service == service && action.name == name)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionShape {
    pub name: &'static str,
    pub service: Service,
    pub request: Vec<Member>,
    pub answer: Vec<Member>,
}

impl ActionShape {
    pub fn of<A: Action>() -> ActionShape {
        let mut request = schema::request::<A>();
        let mut answer = schema::answer::<A::Response>();
        json_names::name_request(A::NAME, &mut request);
        json_names::name_answer(A::NAME, &mut answer);
        ActionShape { name: A::NAME, service: A::SERVICE, request, answer }
    }
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    pub json: String,
    /// In a request: must be given. In an answer: is always there.
    pub required: bool,
    pub shape: Shape,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Value(Kind),
    Structure(Vec<Member>),
    List(Box<Shape>),
    /// A parameter that EC2 has and this cloud has nothing for: refused by its name.
    NotHonoured,
    /// What lists that are always empty would hold.
    Nothing,
}

/// What a text must look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Integer,
    Long,
    Boolean,
    DateTime,
}

#[cfg(test)]
mod tests;
