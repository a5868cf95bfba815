//! One call of an action, as the Query protocol of EC2 and IAM has it.

use crate::api::{
    response::{DEFAULT_VERSION, IAM_VERSION, STS_VERSION},
    service::Service,
    signature::escape,
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    service: Service,
    action: &'static str,
    parameters: Vec<(String, String)>,
}

impl Request {
    pub fn new(action: &'static str) -> Request {
        Request { service: Service::Ec2, action, parameters: Vec::new() }
    }

    pub fn of_iam(action: &'static str) -> Request {
        Request { service: Service::Iam, ..Request::new(action) }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Request {
        self.parameters.push((name.to_owned(), value.to_string()));
        self
    }

    /// Leaves the parameter away if there is no value.
    pub fn with_some(self, name: &str, value: Option<impl ToString>) -> Request {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// `Name.1`, `Name.2`, ….
    pub fn with_list<T: ToString>(
        self,
        name: &str,
        values: impl IntoIterator<Item = T>,
    ) -> Request {
        let numbered = values.into_iter().zip(1..);
        numbered.fold(self, |request, (value, n)| request.with(&format!("{name}.{n}"), value))
    }

    /// The first and only filter of the request.
    pub fn filtered(self, name: &str, value: impl ToString) -> Request {
        self.with("Filter.1.Name", name).with("Filter.1.Value.1", value)
    }

    pub fn action(&self) -> &'static str {
        self.action
    }

    pub fn service(&self) -> Service {
        self.service
    }

    /// As a form.
    pub fn body(&self) -> String {
        let version = match self.service {
            Service::Ec2 => DEFAULT_VERSION,
            Service::Sts => STS_VERSION,
            Service::Iam => IAM_VERSION,
        };
        let mut body = format!("Action={}&Version={version}", self.action);
        for (name, value) in &self.parameters {
            body.push_str(&format!("&{}={}", escape(name), escape(value)));
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn a_request_is_a_form_with_everything_escaped() {
        let request = Request::new("RunInstances")
            .with("MinCount", 1)
            .with_some("KeyName", Some("a b"))
            .with_some("UserData", None::<&str>)
            .with_list("InstanceId", ["i-1", "i-2"])
            .filtered("tag:Name", "a&b");
        assert_eq!(
            request.body(),
            "Action=RunInstances&Version=2016-11-15&MinCount=1&KeyName=a%20b&InstanceId.1=i-1\
             &InstanceId.2=i-2&Filter.1.Name=tag%3AName&Filter.1.Value.1=a%26b"
        );
        assert_eq!(Request::of_iam("GetUser").body(), "Action=GetUser&Version=2010-05-08");
    }
}
