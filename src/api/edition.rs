//! The editions of EC2 that SOAP clients speak: which operations there are, and what stands in
//! each of their elements, in order.
//!
//! A client of 2008 was compiled from the WSDL of its day and refuses an answer with an element
//! that it does not know. So a historic edition is a table of what there was then, of what there
//! is now, and answers are cut down to it. Any other version is taken for today's, as Query does.

#[cfg(test)]
pub mod fits;
pub mod form;
mod history;
mod names;
pub mod reply;

use self::form::Particle;
use super::{service::Service, shape};
use std::sync::LazyLock;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edition {
    February2008,
    December2008,
    Today,
}

/// An action as an edition has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub name: &'static str,
    pub request: Vec<Particle>,
    pub reply: Vec<Particle>,
}

impl Edition {
    pub const ALL: [Edition; 3] = [Edition::February2008, Edition::December2008, Edition::Today];

    pub fn of_version(version: &str) -> Edition {
        match version {
            "2008-02-01" => Edition::February2008,
            "2008-12-01" => Edition::December2008,
            _ => Edition::Today,
        }
    }

    /// Whether answers begin with the id of the request: since 2008-08-08.
    pub fn has_request_id(self) -> bool {
        self != Edition::February2008
    }

    /// In the order of the list of actions.
    pub fn operations(self) -> &'static [Operation] {
        static FEBRUARY: LazyLock<Vec<Operation>> =
            LazyLock::new(|| history::operations(Edition::February2008));
        static DECEMBER: LazyLock<Vec<Operation>> =
            LazyLock::new(|| history::operations(Edition::December2008));
        static TODAY: LazyLock<Vec<Operation>> = LazyLock::new(today);
        match self {
            Edition::February2008 => &FEBRUARY,
            Edition::December2008 => &DECEMBER,
            Edition::Today => &TODAY,
        }
    }

    pub fn operation(self, name: &str) -> Option<&'static Operation> {
        self.operations().iter().find(|operation| operation.name == name)
    }

    /// What an answer begins with.
    fn head(self) -> Vec<Particle> {
        match self.has_request_id() {
            true => vec![Particle::request_id()],
            false => Vec::new(),
        }
    }
}

fn today() -> Vec<Operation> {
    let of_ec2 = shape::all().iter().filter(|action| action.service == Service::Ec2);
    let operations = of_ec2.map(|action| {
        let mut request = form::request(action.name, &action.request);
        // The server's own parameter, which every action takes.
        request.push(Particle::value("dryRun", "DryRun", shape::Kind::Boolean));
        let mut reply = Edition::Today.head();
        reply.extend(form::reply(&action.answer));
        Operation { name: action.name, request, reply }
    });
    operations.collect()
}

#[cfg(test)]
mod tests;
