//! What a SOAP client asks, as the parameters of a Query request.
//!
//! The payload's name is the action's and its namespace the version. Its elements may come in any
//! order; one that the edition does not have, or one given twice, is refused rather than passed
//! over: it may change what was meant. From here on a SOAP request is a Query request.

use super::{
    edition::{
        Edition,
        form::{Form, Particle},
    },
    error::{ApiError, Code, echo},
    parameters::{Parameters, given_twice},
    response,
    shape::Kind,
};
use crate::soap::element::Element;

/// An action as it was called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoapCall {
    pub action: String,
    /// The version whose namespace the client speaks: the answer is given in the same.
    pub version: String,
    pub edition: Edition,
    pub parameters: Parameters,
}

/// Reads the one element in a message's body.
pub fn read(payload: &Element) -> Result<SoapCall, ApiError> {
    let version = version(&payload.namespace)?;
    let edition = Edition::of_version(version);
    let operation =
        edition.operation(&payload.name).ok_or_else(|| ApiError::invalid_action(&payload.name))?;
    let mut body = Body {
        namespace: &payload.namespace,
        path: Vec::new(),
        places: Vec::new(),
        parameters: Parameters::default(),
    };
    body.fields(payload, &operation.request)?;
    Ok(SoapCall {
        action: payload.name.clone(),
        version: version.to_owned(),
        edition,
        parameters: body.parameters,
    })
}

fn version(namespace: &str) -> Result<&str, ApiError> {
    let version = namespace.strip_prefix(response::NAMESPACE).and_then(|v| v.strip_suffix('/'));
    version.filter(|version| response::namespace_version(version) == *version).ok_or_else(|| {
        let namespace = echo(namespace);
        ApiError::new(
            Code::UnsupportedProtocol,
            format!("The namespace '{namespace}' is none of this web service's."),
        )
    })
}

/// A payload being read.
struct Body<'e> {
    namespace: &'e str,
    /// The names of the elements around the one being read, for those who got it wrong.
    path: Vec<&'e str>,
    /// Where in each list around it that one stands, from 1.
    places: Vec<usize>,
    parameters: Parameters,
}

impl<'e> Body<'e> {
    fn fields(&mut self, parent: &'e Element, particles: &[Particle]) -> Result<(), ApiError> {
        if !parent.text.trim().is_empty() {
            let reason = "It is a structure, not a value.";
            return Err(ApiError::invalid_value(&self.name_of(None), &parent.text, reason));
        }
        for (at, child) in parent.children.iter().enumerate() {
            let particle = particles.iter().find(|particle| particle.name == child.name);
            let particle = particle.ok_or_else(|| self.unknown(child))?;
            if parent.children[..at].iter().any(|earlier| earlier.name == child.name) {
                return Err(given_twice(&self.name_of(Some(child))));
            }
            if !child.nil {
                self.element(child, &particle.form, &particle.origin)?;
            }
        }
        Ok(())
    }

    fn element(&mut self, element: &'e Element, form: &Form, origin: &str) -> Result<(), ApiError> {
        if element.namespace != self.namespace {
            return Err(self.unknown(element));
        }
        self.path.push(&element.name);
        match form {
            Form::Value(kind) => self.value(element, *kind, origin)?,
            Form::Sign => {
                self.fields(element, &[])?;
                self.give(origin, &element.name)?;
            }
            Form::Fields(particles) => self.fields(element, particles)?,
            Form::Items(of) => self.items(element, of)?,
            // The action refuses it, by its name.
            Form::NotHonoured => self.give(origin, &element.text)?,
            Form::PassedOver | Form::Nothing => {}
        }
        self.path.pop();
        Ok(())
    }

    fn items(&mut self, set: &'e Element, of: &Form) -> Result<(), ApiError> {
        if !set.text.trim().is_empty() {
            let reason = "It is a list, not a value.";
            return Err(ApiError::invalid_value(&self.name_of(None), &set.text, reason));
        }
        for (at, item) in set.children.iter().enumerate() {
            if item.name != "item" {
                return Err(self.unknown(item));
            }
            let given = self.parameters.len();
            self.places.push(at + 1);
            if !item.nil {
                self.element(item, of, "")?;
            }
            self.places.pop();
            // Passed over, it would turn "this one" into "all of them".
            if self.parameters.len() == given {
                return Err(ApiError::missing_parameter(&self.name_of(Some(item))));
            }
        }
        Ok(())
    }

    fn value(&mut self, element: &'e Element, kind: Kind, origin: &str) -> Result<(), ApiError> {
        if let Some(child) = element.children.first() {
            return Err(self.unknown(child));
        }
        // XML schema's values, but for texts, may have white space around them.
        let text = match kind {
            Kind::Text => return self.give(origin, &element.text),
            _ => element.text.trim(),
        };
        match (kind, text) {
            (Kind::Boolean, "1") => self.give(origin, "true"),
            (Kind::Boolean, "0") => self.give(origin, "false"),
            _ => self.give(origin, text),
        }
    }

    fn give(&mut self, origin: &str, value: &str) -> Result<(), ApiError> {
        let mut places = self.places.iter();
        let mut name = String::with_capacity(origin.len() + 4);
        for part in origin.split('#') {
            name.push_str(part);
            // One `#` less than parts, and as many as lists around the value.
            if let Some(place) = places.next() {
                name.push_str(&place.to_string());
            }
        }
        self.parameters.add(name, value.to_owned())
    }

    fn unknown(&self, element: &Element) -> ApiError {
        ApiError::unknown_parameter(&self.name_of(Some(element)))
    }

    fn name_of(&self, element: Option<&Element>) -> String {
        let mut path = self.path.clone();
        path.extend(element.map(|element| element.name.as_str()));
        path.join(".")
    }
}

#[cfg(test)]
mod tests;
