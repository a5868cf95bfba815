//! An action's request, read from the parameters by serde.
//!
//! EC2's Query protocol flattens nested structures into dotted names, with list positions as
//! numbers: `IpPermissions.1.IpRanges.2.CidrIp`. The parameters are first put into a tree (names
//! parted at the dots), and the request's struct is then read from the tree. Both take time in
//! proportion to the number of parameters, up to a logarithm.
//!
//! Lists may be written as EC2 does (`InstanceId.1`), as other AWS services do
//! (`InstanceId.member.1`), from 0, with gaps, or, by tools older than lists, with no number at
//! all. Elements come in the order of their numbers, unnumbered ones first.
//!
//! A parameter that the struct has no place for is refused rather than ignored: it may change what
//! was meant. `#[serde(flatten)]` is not supported, since serde then hides which fields exist.

mod error;
mod tree;

use self::error::{Problem, ReadError};
use self::tree::{Element, Key, Node};
use super::error::ApiError;
use super::parameters::Parameters;
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Visitor,
};
use std::collections::BTreeMap;

/// Reads the request of an action.
pub fn read<T: DeserializeOwned>(parameters: &Parameters) -> Result<T, ApiError> {
    let mut root = Node::default();
    for (name, value) in parameters.iter().filter(|(name, _)| !is_protocol(name)) {
        root.insert(name, value);
    }
    T::deserialize(&root).map_err(ReadError::into_api_error)
}

/// Whether the server itself reads the parameter, before any action does.
fn is_protocol(name: &str) -> bool {
    matches!(
        name,
        "Action"
            | "Operation"
            | "Version"
            | "DryRun"
            | "AWSAccessKeyId"
            | "Signature"
            | "SignatureMethod"
            | "SignatureVersion"
            | "Timestamp"
            | "Expires"
            | "SecurityToken"
    ) || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("X-Amz-"))
}

impl<'a> Element<'_, 'a> {
    fn read<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, ReadError> {
        match self {
            Element::Unnumbered(value) => {
                let node = Node { values: vec![value], children: BTreeMap::new() };
                seed.deserialize(&node).map_err(|error| error.about(&node))
            }
            Element::Fields(node) => seed.deserialize(Fields(node)),
            Element::Numbered { member: true, key: Key::Name(name), node } => {
                let below = node.any_name();
                Err(ReadError::new(Problem::Unknown).within(below).within(name).within("member"))
            }
            Element::Numbered { member, key, node } => {
                let read = seed.deserialize(node).map_err(|error| error.about(node).within(key));
                if member { read.map_err(|error| error.within("member")) } else { read }
            }
        }
    }
}

struct Elements<'n, 'a>(std::vec::IntoIter<Element<'n, 'a>>);

impl<'de> SeqAccess<'de> for Elements<'_, '_> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        self.0.next().map(|element| element.read(seed)).transpose()
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.0.len())
    }
}

/// The fields of a structure that were given, by name.
struct Given<'n, 'a, I> {
    children: I,
    next: Option<(Key<'a>, &'n Node<'a>)>,
}

impl<'de, 'n, 'a: 'n, I: Iterator<Item = (Key<'a>, &'n Node<'a>)>> MapAccess<'de>
    for Given<'n, 'a, I>
{
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        self.next = self.children.next();
        let Some((key, _)) = &self.next else { return Ok(None) };
        let name = key.to_string();
        let name: StrDeserializer<'_, ReadError> = name.as_str().into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, ReadError> {
        let (key, node) = self
            .next
            .take()
            .ok_or_else(|| ReadError::custom("a value was asked for before its name"))?;
        seed.deserialize(node).map_err(|error| error.about(node).within(key))
    }
}

/// A list element whose fields stand beside the numbered elements: reads as a structure only.
struct Fields<'n, 'a>(&'n Node<'a>);

impl<'de> Deserializer<'de> for Fields<'_, '_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, ReadError> {
        let stray = self.0.children.keys().find(|key| matches!(key, Key::Name(_)));
        Err(match stray {
            Some(key) => self.0.refuse_child(key),
            None => ReadError::new(Problem::Missing),
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let is_field = |key: &Key<'_>| matches!(key, Key::Name(name) if *name != "member");
        visit_fields(self.0, fields, is_field, visitor)
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple tuple_struct map enum identifier
        ignored_any
    }
}

/// Reads a structure: refuses children that are none of its fields, then visits those given.
fn visit_fields<'de, V: Visitor<'de>>(
    node: &Node<'_>,
    fields: &'static [&'static str],
    concerns_us: impl Fn(&Key<'_>) -> bool,
    visitor: V,
) -> Result<V::Value, ReadError> {
    // Stops at the first stranger, so never looks at more children than there are fields.
    let stranger = node.children.keys().filter(|key| concerns_us(key)).find(|key| match key {
        Key::Name(name) => !fields.contains(name),
        Key::Position(_) => true,
    });
    if let Some(key) = stranger {
        return Err(node.refuse_child(key));
    }
    let children = fields
        .iter()
        .filter_map(|field| node.children.get_key_value(&Key::Name(field)))
        .map(|(key, child)| (*key, child));
    visitor.visit_map(Given { children, next: None })
}

macro_rules! integers {
    ($($method:ident $visit:ident $type:ty),+) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            let text = self.scalar()?;
            let number: $type =
                text.parse().map_err(|_| ReadError::invalid(text, integer_range::<$type>()))?;
            visitor.$visit(number)
        }
    )+};
}

/// What to tell someone whose number is none, or too large, or too small.
fn integer_range<T: TryFrom<i8>>() -> &'static str {
    if T::try_from(-1).is_ok() {
        "It must be an integer within the range allowed."
    } else {
        "It must be a non-negative integer within the range allowed."
    }
}

impl<'de> Deserializer<'de> for &Node<'_> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_str(self.scalar()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let text = self.scalar()?;
        if text.eq_ignore_ascii_case("true") {
            visitor.visit_bool(true)
        } else if text.eq_ignore_ascii_case("false") {
            visitor.visit_bool(false)
        } else {
            Err(ReadError::invalid(text, "It must be true or false."))
        }
    }

    integers! {
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let text = self.scalar()?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => visitor.visit_f64(number),
            _ => Err(ReadError::invalid(text, "It must be a number.")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        visitor.visit_seq(Elements(self.elements().into_iter()))
    }

    /// A map's keys are whatever names stand below, in alphabetical order.
    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let children = self.children.iter().map(|(key, child)| (*key, child));
        visitor.visit_map(Given { children, next: None })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.values.first() {
            Some(value) => Err(ReadError::invalid(value, "It is a structure, not a value.")),
            None => visit_fields(self, fields, |_| true, visitor),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let text: StrDeserializer<'_, ReadError> = self.scalar()?.into_deserializer();
        text.deserialize_enum(name, variants, visitor)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 char str string bytes byte_buf unit unit_struct tuple tuple_struct identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests;
