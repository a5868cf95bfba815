//! The description of this endpoint that SOAP clients are made from: WSDL 1.1, document/literal,
//! with bindings for SOAP 1.1 and 1.2.
//!
//! It is written from the edition's operations, which are what requests are read by and answers
//! are cut to, and has Amazon's names where clients look for them: those of the service, port and
//! types. It says what a client may send, never how: security is no part of it.

mod schema;

use self::schema::{Definition, Types};
use super::{
    edition::{Edition, Operation},
    error::ApiError,
    response,
};
use quick_xml::{
    Writer,
    escape::escape,
    events::{BytesDecl, Event},
};
use std::{io, sync::LazyLock};

const WSDL: &str = "http://schemas.xmlsoap.org/wsdl/";
const XSD: &str = "http://www.w3.org/2001/XMLSchema";
const HTTP: &str = "http://schemas.xmlsoap.org/soap/http";

/// The two protocols: prefix, namespace, and what their binding and port are named beyond SOAP
/// 1.1's.
const PROTOCOLS: [(&str, &str, &str); 2] = [
    ("soap", "http://schemas.xmlsoap.org/wsdl/soap/", ""),
    ("soap12", "http://schemas.xmlsoap.org/wsdl/soap12/", "12"),
];

type Out = Writer<Vec<u8>>;

/// Stand for what differs from client to client in a description that is otherwise the same.
const NAMESPACE: &str = "urn:the-namespace";
const ADDRESS: &str = "urn:the-address";

/// The WSDL of a version, for a client that reached the endpoint at `address`.
///
/// Anybody may ask, as often as they like, so each edition's is written once.
pub fn render(version: &str, address: &str) -> Result<String, ApiError> {
    static WRITTEN: LazyLock<[Result<String, ApiError>; 3]> =
        LazyLock::new(|| Edition::ALL.map(write));
    let edition = Edition::of_version(version);
    let written = Edition::ALL.iter().zip(&*WRITTEN).find(|(one, _)| **one == edition);
    let (_, written) = written.expect("every edition is one of all");
    let namespace = response::namespace(version);
    Ok(written.clone()?.replace(NAMESPACE, &namespace).replace(ADDRESS, &escape(address)))
}

fn write(edition: Edition) -> Result<String, ApiError> {
    let description = Description {
        namespace: NAMESPACE.to_owned(),
        address: ADDRESS,
        operations: edition.operations(),
    };
    let mut out = Writer::new_with_indent(Vec::new(), b' ', 1);
    let written = description.write(&mut out).map(|()| String::from_utf8(out.into_inner()));
    match written {
        Ok(Ok(text)) => Ok(text),
        _ => {
            log::error!("the WSDL of {edition:?} cannot be written");
            Err(ApiError::internal())
        }
    }
}

struct Description<'a> {
    namespace: String,
    address: &'a str,
    operations: &'a [Operation],
}

impl Description<'_> {
    fn write(&self, out: &mut Out) -> io::Result<()> {
        out.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
        let definitions = out
            .create_element("definitions")
            .with_attribute(("xmlns", WSDL))
            .with_attributes(PROTOCOLS.map(|(prefix, namespace, _)| (xmlns(prefix), namespace)))
            .with_attribute(("xmlns:xs", XSD))
            .with_attribute(("xmlns:tns", self.namespace.as_str()))
            .with_attribute(("targetNamespace", self.namespace.as_str()));
        definitions.write_inner_content(|out| {
            out.create_element("types").write_inner_content(|out| self.schema(out))?;
            for operation in self.operations {
                message(out, operation.name, "Request", operation.name)?;
                let response = format!("{}Response", operation.name);
                message(out, operation.name, "Response", &response)?;
            }
            self.port_type(out)?;
            for (prefix, _, suffix) in PROTOCOLS {
                self.binding(out, prefix, suffix)?;
            }
            self.service(out)
        })?;
        Ok(())
    }

    fn schema(&self, out: &mut Out) -> io::Result<()> {
        let types = Types::of_operations(self.operations);
        let schema = out
            .create_element("xs:schema")
            .with_attribute(("targetNamespace", self.namespace.as_str()))
            .with_attribute(("elementFormDefault", "qualified"));
        schema.write_inner_content(|out| {
            for operation in self.operations {
                for name in [operation.name.to_owned(), format!("{}Response", operation.name)] {
                    let of_type = format!("tns:{name}Type");
                    out.create_element("xs:element")
                        .with_attribute(("name", name.as_str()))
                        .with_attribute(("type", of_type.as_str()))
                        .write_empty()?;
                }
            }
            types.iter().try_for_each(|definition| complex_type(out, definition))
        })?;
        Ok(())
    }

    fn port_type(&self, out: &mut Out) -> io::Result<()> {
        let port_type =
            out.create_element("portType").with_attribute(("name", "AmazonEC2PortType"));
        port_type.write_inner_content(|out| {
            for Operation { name, .. } in self.operations {
                let operation = out.create_element("operation").with_attribute(("name", *name));
                operation.write_inner_content(|out| {
                    for (element, direction) in [("input", "Request"), ("output", "Response")] {
                        let message = format!("tns:{name}{direction}Msg");
                        out.create_element(element)
                            .with_attribute(("message", message.as_str()))
                            .write_empty()?;
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(())
    }

    fn binding(&self, out: &mut Out, prefix: &str, suffix: &str) -> io::Result<()> {
        let name = format!("AmazonEC2Binding{suffix}");
        let binding = out
            .create_element("binding")
            .with_attribute(("name", name.as_str()))
            .with_attribute(("type", "tns:AmazonEC2PortType"));
        binding.write_inner_content(|out| {
            out.create_element(format!("{prefix}:binding"))
                .with_attribute(("style", "document"))
                .with_attribute(("transport", HTTP))
                .write_empty()?;
            self.operations.iter().try_for_each(|operation| bound(out, prefix, operation.name))
        })?;
        Ok(())
    }

    fn service(&self, out: &mut Out) -> io::Result<()> {
        let service = out.create_element("service").with_attribute(("name", "AmazonEC2"));
        service.write_inner_content(|out| {
            for (prefix, _, suffix) in PROTOCOLS {
                let name = format!("AmazonEC2Port{suffix}");
                let binding = format!("tns:AmazonEC2Binding{suffix}");
                let port = out
                    .create_element("port")
                    .with_attribute(("name", name.as_str()))
                    .with_attribute(("binding", binding.as_str()));
                port.write_inner_content(|out| {
                    out.create_element(format!("{prefix}:address"))
                        .with_attribute(("location", self.address))
                        .write_empty()?;
                    Ok(())
                })?;
            }
            Ok(())
        })?;
        Ok(())
    }
}

fn xmlns(prefix: &str) -> &'static str {
    match prefix {
        "soap" => "xmlns:soap",
        _ => "xmlns:soap12",
    }
}

fn message(out: &mut Out, operation: &str, direction: &str, element: &str) -> io::Result<()> {
    let name = format!("{operation}{direction}Msg");
    let element = format!("tns:{element}");
    out.create_element("message").with_attribute(("name", name.as_str())).write_inner_content(
        |out| {
            out.create_element("part")
                .with_attribute(("name", "body"))
                .with_attribute(("element", element.as_str()))
                .write_empty()?;
            Ok(())
        },
    )?;
    Ok(())
}

fn complex_type(out: &mut Out, definition: &Definition) -> io::Result<()> {
    let complex =
        out.create_element("xs:complexType").with_attribute(("name", definition.name.as_str()));
    complex.write_inner_content(|out| {
        let sequence = out.create_element("xs:sequence");
        if definition.elements.is_empty() {
            sequence.write_empty()?;
            return Ok(());
        }
        sequence.write_inner_content(|out| {
            for element in &definition.elements {
                let mut written = out
                    .create_element("xs:element")
                    .with_attribute(("name", element.name.as_str()))
                    .with_attribute(("type", element.of_type.as_str()));
                if !element.required {
                    written = written.with_attribute(("minOccurs", "0"));
                }
                if element.repeated {
                    written = written.with_attribute(("maxOccurs", "unbounded"));
                }
                written.write_empty()?;
            }
            Ok(())
        })?;
        Ok(())
    })?;
    Ok(())
}

fn bound(out: &mut Out, prefix: &str, name: &str) -> io::Result<()> {
    out.create_element("operation").with_attribute(("name", name)).write_inner_content(|out| {
        out.create_element(format!("{prefix}:operation"))
            .with_attribute(("soapAction", name))
            .with_attribute(("style", "document"))
            .write_empty()?;
        for direction in ["input", "output"] {
            out.create_element(direction).write_inner_content(|out| {
                out.create_element(format!("{prefix}:body"))
                    .with_attribute(("use", "literal"))
                    .write_empty()?;
                Ok(())
            })?;
        }
        Ok(())
    })?;
    Ok(())
}

#[cfg(test)]
mod tests;
