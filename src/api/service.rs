//! The services spoken at this endpoint: EC2, the corner of STS that EC2 clients need, and the part of
//! IAM in which users see to their credentials.

use super::response::{IAM_VERSION, STS_VERSION};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Ec2,
    Sts,
    Iam,
}

impl Service {
    /// Which service a request is for. Every STS client sends STS's one version, every IAM
    /// client IAM's, and no EC2 version has either date.
    pub fn of_version(version: Option<&str>) -> Self {
        match version {
            Some(STS_VERSION) => Service::Sts,
            Some(IAM_VERSION) => Service::Iam,
            Some(_) | None => Service::Ec2,
        }
    }

    /// The name that stands in a signature's scope.
    pub fn scope_name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Sts => "sts",
            Service::Iam => "iam",
        }
    }
}
