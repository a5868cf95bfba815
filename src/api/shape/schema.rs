//! From a type to its shape, by way of the JSON schema that schemars derives beside serde.
//!
//! Answers are structures of values and lists, so little of JSON Schema occurs: what does not is a
//! mistake in an action's types and stops the first test that looks at the shapes.

use super::{Kind, Member, Shape, schemas::NOT_HONOURED};
use schemars::{JsonSchema, generate::SchemaSettings};
use serde_json::{Map, Value};

pub fn request<T: JsonSchema>() -> Vec<Member> {
    root::<T>(SchemaSettings::draft2020_12().for_deserialize())
}

pub fn answer<T: JsonSchema>() -> Vec<Member> {
    root::<T>(SchemaSettings::draft2020_12().for_serialize())
}

fn root<T: JsonSchema>(settings: SchemaSettings) -> Vec<Member> {
    // Inlined, a type that contains itself would be referred to, and stop at `shape`.
    let settings = settings.with(|settings| settings.inline_subschemas = true);
    let schema = settings.into_generator().into_root_schema_for::<T>();
    match schema.as_object() {
        Some(schema) => members(schema),
        None => panic!("`{}` is no structure", T::schema_name()),
    }
}

fn shape(schema: &Value) -> Shape {
    let Some(schema) = schema.as_object() else { panic!("not a shape: `{schema}`") };
    if schema.contains_key(NOT_HONOURED) {
        return Shape::NotHonoured;
    }
    match type_name(schema) {
        Some("string") => Shape::Value(match schema.get("format").and_then(Value::as_str) {
            Some("date-time") => Kind::DateTime,
            _ => Kind::Text,
        }),
        Some("integer") => Shape::Value(match schema.get("format").and_then(Value::as_str) {
            Some("int64" | "uint64") => Kind::Long,
            _ => Kind::Integer,
        }),
        Some("boolean") => Shape::Value(Kind::Boolean),
        Some("null") => Shape::Nothing,
        Some("array") => Shape::List(Box::new(shape(&schema["items"]))),
        Some("object") => structure(members(schema)),
        Some(other) => panic!("`{other}` is not a shape"),
        None => one_of(schema),
    }
}

/// The type, where an option is as good as what it may hold.
fn type_name(schema: &Map<String, Value>) -> Option<&str> {
    match schema.get("type")? {
        Value::Array(types) => types.iter().filter_map(Value::as_str).find(|name| *name != "null"),
        name => name.as_str(),
    }
}

/// `Set`s are structures in Rust only.
fn structure(mut members: Vec<Member>) -> Shape {
    match &members[..] {
        [Member { name, shape: Shape::List(_), .. }] if name == "item" => members.remove(0).shape,
        _ => Shape::Structure(members),
    }
}

/// An option, an enum whose variants are documented, or a structure of several kinds.
fn one_of(schema: &Map<String, Value>) -> Shape {
    let mut shapes: Vec<Shape> = branches(schema).map(shape).collect();
    shapes.retain(|shape| *shape != Shape::Nothing);
    match &shapes[..] {
        [] => panic!("not a shape: `{schema:?}`"),
        [first, rest @ ..] if rest.iter().all(|shape| shape == first) => shapes.swap_remove(0),
        _ => Shape::Structure(members(schema)),
    }
}

fn branches(schema: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    ["anyOf", "oneOf", "allOf"]
        .into_iter()
        .filter_map(|key| schema.get(key)?.as_array())
        .flatten()
        .filter(|branch| branch.get("type") != Some(&Value::from("null")))
}

/// A structure's own fields, then those that only some kinds of it have.
fn members(schema: &Map<String, Value>) -> Vec<Member> {
    let required = |name: &str| {
        let listed = schema.get("required").and_then(Value::as_array);
        listed.is_some_and(|listed| listed.iter().any(|other| other == name))
    };
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut found: Vec<Member> = properties
        .into_iter()
        .flatten()
        .map(|(name, property)| member(name, required(name), shape(property)))
        .collect();
    let kinds: Vec<Vec<Member>> =
        branches(schema).filter_map(Value::as_object).map(members).collect();
    for kind in &kinds {
        for other in kind {
            let in_all = kinds.iter().all(|kind| kind.contains(other));
            if !found.iter().any(|known| known.name == other.name) {
                found.push(member(&other.name, other.required && in_all, other.shape.clone()));
            }
        }
    }
    found
}

fn member(name: &str, required: bool, shape: Shape) -> Member {
    Member { name: name.to_owned(), json: String::new(), required, shape }
}
