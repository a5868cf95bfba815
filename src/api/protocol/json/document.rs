//! A document as parameters, and an answer as a document, along an action's shape.

use super::unambiguous::Unambiguous;
use crate::api::{
    error::ApiError,
    parameters::Parameters,
    shape::{Kind, Member, Shape},
};
use quick_xml::{Reader, events::Event};
use serde_json::{Map, Number, Value};

/// Whether the member is the request's own, and no action's.
const DRY_RUN: &str = "DryRun";

/// The parameters, and whether the client asks only whether it might.
pub fn read(body: &[u8], members: &[Member]) -> Result<(Parameters, bool), ApiError> {
    let Unambiguous(document) = match body {
        // An empty body is an empty document.
        b"" => Unambiguous(Value::Object(Map::new())),
        body => serde_json::from_slice(body).map_err(|error| {
            ApiError::malformed_query(format!("The request body is not valid JSON: {error}."))
        })?,
    };
    let Value::Object(mut document) = document else {
        return Err(ApiError::malformed_query("The request body is not a JSON object."));
    };
    let dry_run = match document.remove(DRY_RUN) {
        None | Some(Value::Null) => false,
        Some(Value::Bool(dry_run)) => dry_run,
        Some(other) => return Err(mistyped(DRY_RUN, &other, "It must be true or false.")),
    };
    let mut reading = Reading { parameters: Parameters::default() };
    reading.structure(&document, members, Place { query: "", json: "" })?;
    Ok((reading.parameters, dry_run))
}

struct Reading {
    parameters: Parameters,
}

/// Where in the request something stands: as Query names it, and as the client does.
#[derive(Clone, Copy)]
struct Place<'a> {
    query: &'a str,
    json: &'a str,
}

impl Reading {
    fn structure(
        &mut self,
        given: &Map<String, Value>,
        members: &[Member],
        at: Place<'_>,
    ) -> Result<(), ApiError> {
        for (name, value) in given.iter().filter(|(_, value)| !value.is_null()) {
            let json = below(at.json, name);
            let member = members.iter().find(|member| member.json == *name);
            let member = member.ok_or_else(|| ApiError::unknown_parameter(&json))?;
            let query = below(at.query, &member.name);
            self.value(value, &member.shape, Place { query: &query, json: &json })?;
        }
        Ok(())
    }

    fn value(&mut self, given: &Value, shape: &Shape, at: Place<'_>) -> Result<(), ApiError> {
        match (shape, given) {
            (Shape::Value(Kind::Boolean), Value::Bool(value)) => self.give(at, value.to_string()),
            (Shape::Value(Kind::Integer | Kind::Long), Value::Number(value)) => {
                self.give(at, value.to_string())
            }
            (Shape::Value(Kind::Text | Kind::DateTime), Value::String(text)) => {
                self.give(at, text.clone())
            }
            (Shape::Structure(members), Value::Object(given)) => self.structure(given, members, at),
            (Shape::List(of), Value::Array(given)) => {
                for (position, element) in (1..).zip(given) {
                    let query = below(at.query, &position.to_string());
                    let json = format!("{}[{}]", at.json, position - 1);
                    let given = self.parameters.len();
                    if !element.is_null() {
                        self.value(element, of, Place { query: &query, json: &json })?;
                    }
                    // Passed over, it would turn "this one" into "all of them".
                    if self.parameters.len() == given {
                        return Err(ApiError::missing_parameter(&json));
                    }
                }
                Ok(())
            }
            // The action refuses it, by its name.
            (Shape::NotHonoured, given) => self.give(at, given.to_string()),
            (Shape::Nothing, _) => Err(ApiError::unknown_parameter(at.json)),
            (Shape::Value(kind), other) => Err(mistyped(at.json, other, wanted(*kind))),
            (Shape::Structure(_), other) => Err(mistyped(at.json, other, "It must be an object.")),
            (Shape::List(_), other) => Err(mistyped(at.json, other, "It must be an array.")),
        }
    }

    fn give(&mut self, at: Place<'_>, value: String) -> Result<(), ApiError> {
        self.parameters.add(at.query.to_owned(), value)
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn wanted(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "It must be true or false.",
        Kind::Integer | Kind::Long => "It must be a number.",
        Kind::Text | Kind::DateTime => "It must be a string.",
    }
}

fn mistyped(name: &str, value: &Value, reason: &str) -> ApiError {
    ApiError::invalid_value(name, &value.to_string(), reason)
}

/// Why an answer is no document: a mistake in an action's shape, found by the tests that read every
/// answer along it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoDocument {
    #[error("not XML: {0}")]
    NotXml(String),
    #[error("the shape has no `{0}`")]
    NotInShape(String),
    #[error("`{0}` is not the value that the shape says")]
    Mistyped(String),
}

/// The answer's fields, without the request's id, which stands in a header.
pub fn write(xml: &str, members: &[Member]) -> Result<Value, NoDocument> {
    let mut writing = Writing { reader: Reader::from_str(xml) };
    writing.reader.config_mut().expand_empty_elements = true;
    loop {
        match writing.next()? {
            Event::Start(_) => return writing.structure(members),
            Event::Eof => return Err(NoDocument::NotXml("no root element".into())),
            _ => {}
        }
    }
}

struct Writing<'x> {
    reader: Reader<&'x [u8]>,
}

impl<'x> Writing<'x> {
    fn next(&mut self) -> Result<Event<'x>, NoDocument> {
        self.reader.read_event().map_err(|error| NoDocument::NotXml(error.to_string()))
    }

    /// The children of the element just begun, up to its end.
    fn structure(&mut self, members: &[Member]) -> Result<Value, NoDocument> {
        let mut fields = Map::new();
        while let Some(name) = self.child()? {
            if name == "requestId" {
                self.text()?;
                continue;
            }
            let member = members.iter().find(|member| member.name == name);
            let member = member.ok_or(NoDocument::NotInShape(name))?;
            let value = self.value(&member.shape, &member.name)?;
            fields.insert(member.json.clone(), value);
        }
        Ok(Value::Object(fields))
    }

    fn value(&mut self, shape: &Shape, name: &str) -> Result<Value, NoDocument> {
        match shape {
            Shape::Structure(members) => self.structure(members),
            Shape::List(of) => {
                let mut items = Vec::new();
                while let Some(item) = self.child()? {
                    items.push(self.value(of, &item)?);
                }
                Ok(Value::Array(items))
            }
            Shape::Nothing | Shape::NotHonoured => match self.child()? {
                None => Ok(Value::Array(Vec::new())),
                Some(stray) => Err(NoDocument::NotInShape(stray)),
            },
            Shape::Value(kind) => {
                let text = self.text()?;
                typed(*kind, text).ok_or_else(|| NoDocument::Mistyped(name.to_owned()))
            }
        }
    }

    /// The next element below, or `None` at the end of this one.
    fn child(&mut self) -> Result<Option<String>, NoDocument> {
        loop {
            match self.next()? {
                Event::Start(tag) => {
                    return Ok(Some(tag.local_name().as_ref().to_owned()));
                }
                Event::End(_) => return Ok(None),
                Event::Eof => return Err(NoDocument::NotXml("it ends too early".into())),
                _ => {}
            }
        }
    }

    /// The text of the element just begun, which has no children.
    fn text(&mut self) -> Result<String, NoDocument> {
        let mut text = String::new();
        loop {
            match self.next()? {
                Event::Text(part) => text.push_str(&part.xml10_content()),
                Event::GeneralRef(entity) => text.push(character(&entity)?),
                Event::End(_) => return Ok(text),
                Event::Start(tag) => {
                    return Err(NoDocument::NotInShape(tag.local_name().as_ref().to_owned()));
                }
                Event::Eof => return Err(NoDocument::NotXml("it ends too early".into())),
                _ => {}
            }
        }
    }
}

/// What `&lt;` and its like stand for; answers have no others than XML's own.
fn character(entity: &quick_xml::events::BytesRef<'_>) -> Result<char, NoDocument> {
    let unreadable = |error: quick_xml::Error| NoDocument::NotXml(error.to_string());
    if let Some(character) = entity.resolve_char_ref().map_err(unreadable)? {
        return Ok(character);
    }
    let resolved = quick_xml::escape::resolve_predefined_entity(entity);
    resolved
        .and_then(|text| text.chars().next())
        .ok_or_else(|| NoDocument::NotXml(format!("the entity `{}`", &**entity)))
}

fn typed(kind: Kind, text: String) -> Option<Value> {
    match kind {
        Kind::Text | Kind::DateTime => Some(Value::String(text)),
        Kind::Boolean => text.parse().ok().map(Value::Bool),
        Kind::Integer | Kind::Long => text.parse::<Number>().ok().map(Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{error::Code, service::Service, shape};
    use serde_json::json;

    fn read_as(action: &str, document: Value) -> Result<Vec<(String, String)>, ApiError> {
        let shape = shape::find(Service::Ec2, action).unwrap();
        let (parameters, _) = read(document.to_string().as_bytes(), &shape.request)?;
        Ok(parameters.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect())
    }

    #[test]
    fn a_document_becomes_the_parameters_of_a_query_request() {
        let document = json!({
            "InstanceIds": ["i-1", "i-2"],
            "Filters": [{"Name": "tag:a", "Values": ["b"]}],
            "MaxResults": 5,
            "NextToken": null,
        });
        let mut read = read_as("DescribeInstances", document).unwrap();
        read.sort();
        let expected = [
            ("Filter.1.Name", "tag:a"),
            ("Filter.1.Value.1", "b"),
            ("InstanceId.1", "i-1"),
            ("InstanceId.2", "i-2"),
            ("MaxResults", "5"),
        ];
        assert_eq!(read, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
    }

    #[test]
    fn what_is_not_in_the_shape_or_not_of_its_type_is_refused_by_the_client_s_name_for_it() {
        for (document, code, name) in [
            (json!({"Instances": []}), Code::UnknownParameter, "Instances"),
            (json!({"Filters": [{"Nam": "x"}]}), Code::UnknownParameter, "Filters[0].Nam"),
            (json!({"InstanceIds": "i-1"}), Code::InvalidParameterValue, "InstanceIds"),
            (json!({"InstanceIds": [1]}), Code::InvalidParameterValue, "InstanceIds[0]"),
            (json!({"MaxResults": "5"}), Code::InvalidParameterValue, "MaxResults"),
            (json!({"DryRun": 1}), Code::InvalidParameterValue, "DryRun"),
        ] {
            let error = read_as("DescribeInstances", document).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.message.contains(name), "{error}");
        }
        assert_eq!(
            read_as("DescribeInstances", json!([])).unwrap_err().code,
            Code::MalformedQueryString
        );
    }

    #[test]
    fn an_answer_becomes_a_document_with_lists_numbers_and_truths() {
        let shape = shape::find(Service::Ec2, "DescribeInstances").unwrap();
        let xml = "<DescribeInstancesResponse xmlns=\"x\"><requestId>r</requestId><reservationSet>\
            <item><reservationId>r-1</reservationId><groupSet/><instancesSet><item>\
            <instanceState><code>16</code><name>running</name></instanceState>\
            <ebsOptimized>false</ebsOptimized><tagSet><item><key>&lt;k&gt;</key><value> a &amp; b\
            &#13;</value></item></tagSet></item></instancesSet></item></reservationSet>\
            </DescribeInstancesResponse>";
        assert_eq!(
            write(xml, &shape.answer).unwrap(),
            json!({"Reservations": [{
                "ReservationId": "r-1",
                "Groups": [],
                "Instances": [{
                    "State": {"Code": 16, "Name": "running"},
                    "EbsOptimized": false,
                    "Tags": [{"Key": "<k>", "Value": " a & b\r"}],
                }],
            }]})
        );
    }

    #[test]
    fn an_answer_that_is_not_of_its_shape_is_no_document() {
        let shape = shape::find(Service::Ec2, "DescribeInstances").unwrap();
        let refused = |xml: &str| write(xml, &shape.answer).unwrap_err();
        assert_eq!(refused("<R><what/></R>"), NoDocument::NotInShape("what".into()));
        assert!(matches!(refused("<R><reservationSet>"), NoDocument::NotXml(_)));
        assert!(matches!(refused(""), NoDocument::NotXml(_)));
    }
}
