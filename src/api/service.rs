//! The services spoken at this endpoint: EC2, and the corner of STS that EC2 clients need.

use super::response::STS_VERSION;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    Ec2,
    Sts,
}

impl Service {
    /// Which service a request is for. Every STS client sends STS's one version, and no EC2
    /// version has that date.
    pub fn of_version(version: Option<&str>) -> Self {
        match version {
            Some(STS_VERSION) => Service::Sts,
            Some(_) | None => Service::Ec2,
        }
    }

    /// The name that stands in a signature's scope.
    pub fn scope_name(self) -> &'static str {
        match self {
            Service::Ec2 => "ec2",
            Service::Sts => "sts",
        }
    }
}
