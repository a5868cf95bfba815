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

use super::error::ApiError;
use super::parameters::{Parameters, given_twice};
use serde::de::value::StrDeserializer;
use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, Visitor,
};
use std::collections::BTreeMap;
use std::fmt;

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

/// One part of a dotted name. List positions sort before names, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    Position(u64),
    Name(&'a str),
}

impl<'a> Key<'a> {
    fn new(part: &'a str) -> Self {
        // `u64::from_str` would accept `+1`, which is a name here.
        match part.parse() {
            Ok(position) if part.bytes().all(|b| b.is_ascii_digit()) => Key::Position(position),
            _ => Key::Name(part),
        }
    }
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::Position(position) => position.fmt(f),
            Key::Name(name) => f.write_str(name),
        }
    }
}

/// What the parameters say of one dotted name: the values given for the name itself, and what
/// stands below it.
#[derive(Debug, Default)]
struct Node<'a> {
    values: Vec<&'a str>,
    children: BTreeMap<Key<'a>, Node<'a>>,
}

impl<'a> Node<'a> {
    fn insert(&mut self, name: &'a str, value: &'a str) {
        let mut node = self;
        for part in name.split('.') {
            node = node.children.entry(Key::new(part)).or_default();
        }
        node.values.push(value);
    }

    /// The name, seen from here, of some parameter at or below this node.
    fn any_name(&self) -> String {
        let mut name = String::new();
        let mut node = self;
        while node.values.is_empty()
            && let Some((key, child)) = node.children.first_key_value()
        {
            if !name.is_empty() {
                name.push('.');
            }
            name.push_str(&key.to_string());
            node = child;
        }
        name
    }

    /// Refuses parameters below this node that nothing reads.
    fn refuse_child(&self, key: &Key<'_>) -> ReadError {
        let below = self.children.get(key).map(Node::any_name).unwrap_or_default();
        ReadError::new(Problem::Unknown).within(below).within(key)
    }

    /// The single value of a plain parameter.
    fn scalar(&self) -> Result<&'a str, ReadError> {
        if let Some(key) = self.children.keys().next() {
            return Err(self.refuse_child(key));
        }
        match self.values[..] {
            [value] => Ok(value),
            [] => Err(ReadError::new(Problem::Missing)),
            [_, _, ..] => Err(ReadError::new(Problem::GivenTwice)),
        }
    }

    /// The elements of a list, each with the key that leads to it (none for unnumbered ones).
    fn elements(&self) -> Vec<Element<'_, 'a>> {
        let mut elements: Vec<_> =
            self.values.iter().map(|value| Element::Unnumbered(value)).collect();
        let member = self.children.get(&Key::Name("member"));
        // `Filter.Name` without a number: one structure, whose fields stand here directly. A
        // stray name in a list of plain values comes this way too, and is refused as unknown.
        let is_field = |key: &Key<'_>| matches!(key, Key::Name(name) if *name != "member");
        if self.children.keys().any(is_field) {
            elements.push(Element::Fields(self));
        }
        let numbered = |node: &'_ Node<'a>| node.children.keys().copied().collect::<Vec<_>>();
        for key in numbered(self).into_iter().filter(|key| matches!(key, Key::Position(_))) {
            elements.push(Element::Numbered { member: false, key, node: &self.children[&key] });
        }
        if let Some(member) = member {
            elements.extend(member.values.iter().map(|value| Element::Unnumbered(value)));
            for key in numbered(member) {
                let node = &member.children[&key];
                elements.push(Element::Numbered { member: true, key, node });
            }
        }
        elements
    }
}

/// An element of a list, as found.
enum Element<'n, 'a> {
    Unnumbered(&'a str),
    Fields(&'n Node<'a>),
    Numbered { member: bool, key: Key<'a>, node: &'n Node<'a> },
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

/// Why a request could not be read, and where. The place grows on the way out: each enclosing
/// structure or list puts its own part in front.
#[derive(Debug)]
struct ReadError {
    problem: Problem,
    /// The parts of the name, innermost first.
    place: Vec<String>,
}

#[derive(Debug)]
enum Problem {
    Missing,
    Unknown,
    GivenTwice,
    Invalid {
        value: String,
        reason: String,
    },
    /// What a type's own conversion had to say, about a value not known yet.
    Conversion(String),
    MalformedId(ApiError),
}

impl ReadError {
    fn new(problem: Problem) -> Self {
        Self { problem, place: Vec::new() }
    }

    fn invalid(value: &str, reason: &str) -> Self {
        Self::new(Problem::Invalid { value: value.to_owned(), reason: reason.to_owned() })
    }

    fn within(mut self, part: impl ToString) -> Self {
        let part = part.to_string();
        if !part.is_empty() {
            self.place.push(part);
        }
        self
    }

    /// Adds the value that a conversion refused: serde's errors do not know it.
    fn about(mut self, node: &Node<'_>) -> Self {
        if let Problem::Conversion(reason) = &self.problem
            && let [value] = node.values[..]
        {
            self.problem = match ApiError::malformed_id_behind(reason, value) {
                Some(error) => Problem::MalformedId(error),
                None => Problem::Invalid { value: value.to_owned(), reason: sentence(reason) },
            };
        }
        self
    }

    fn into_api_error(self) -> ApiError {
        let mut place = self.place;
        place.reverse();
        let name = place.join(".");
        match self.problem {
            Problem::Missing => ApiError::missing_parameter(&name),
            Problem::Unknown => ApiError::unknown_parameter(&name),
            Problem::GivenTwice => given_twice(&name),
            Problem::Invalid { value, reason } => ApiError::invalid_value(&name, &value, &reason),
            Problem::Conversion(reason) => ApiError::invalid_value(&name, "", &sentence(&reason)),
            Problem::MalformedId(error) => error,
        }
    }
}

/// An error's text (lower case, no full stop, values in backticks) as EC2 would put it.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), characters.as_str()),
        None => String::new(),
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:?}", self.problem, self.place)
    }
}

impl std::error::Error for ReadError {}

impl serde::de::Error for ReadError {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::new(Problem::Conversion(text.to_string()))
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Problem::Missing).within(field)
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Self::new(Problem::Unknown).within(field)
    }

    /// Two spellings of one field (`#[serde(alias)]`), both given.
    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Problem::GivenTwice).within(field)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let reason = format!("Valid values are: {}.", expected.join(", "));
        Self::invalid(variant, &reason)
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn serde::de::Expected) -> Self {
        Self::custom(format_args!("{unexpected} is not {expected}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::error::Code;
    use crate::domain::id::{ImageId, InstanceId, ZoneName};
    use proptest::prelude::{any, prop, proptest};
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Run {
        image_id: ImageId,
        min_count: u32,
        #[serde(default, rename = "InstanceId")]
        instance_ids: Vec<InstanceId>,
        #[serde(default)]
        ip_permissions: Vec<Permission>,
        placement: Option<Placement>,
        ebs_optimized: Option<bool>,
        #[serde(alias = "AddressType")]
        addressing_type: Option<Addressing>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Permission {
        ip_protocol: String,
        from_port: Option<i32>,
        #[serde(default)]
        ip_ranges: Vec<Range>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Range {
        cidr_ip: String,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Placement {
        availability_zone: Option<ZoneName>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Addressing {
        Public,
        Private,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Names {
        #[serde(default)]
        name: Vec<String>,
    }

    const REQUIRED: &str = "ImageId=ami-12345678&MinCount=1";

    fn try_read<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
        read(&Parameters::parse(query, b"").unwrap())
    }

    fn run(more: &str) -> Run {
        try_read(&format!("{REQUIRED}&{more}")).unwrap()
    }

    fn check_refused(query: &str, code: Code, message: &str) {
        let error = try_read::<Run>(query).unwrap_err();
        assert_eq!((error.code, error.message.as_str()), (code, message), "{query}");
    }

    fn check_names(query: &str, expected: &[&str]) {
        assert_eq!(try_read::<Names>(query).unwrap().name, expected, "{query}");
    }

    #[test]
    fn nested_names_become_nested_structures() {
        let read = run("IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=-1\
             &IpPermissions.1.IpRanges.2.CidrIp=b&IpPermissions.1.IpRanges.1.CidrIp=a\
             &Placement.AvailabilityZone=one");
        let ranges = ["a", "b"].map(|cidr| Range { cidr_ip: cidr.into() });
        assert_eq!(
            read.ip_permissions,
            [Permission {
                ip_protocol: "tcp".into(),
                from_port: Some(-1),
                ip_ranges: ranges.into()
            }]
        );
        assert_eq!(
            read.placement,
            Some(Placement { availability_zone: Some("one".parse().unwrap()) })
        );
    }

    #[test]
    fn what_is_not_given_is_none_or_empty() {
        let read = run("");
        assert_eq!((read.placement, read.ebs_optimized, read.addressing_type), (None, None, None));
        assert!(read.instance_ids.is_empty() && read.ip_permissions.is_empty());
    }

    #[test]
    fn list_elements_come_in_numeric_order_from_0_or_1_and_with_gaps() {
        check_names("Name.10=c&Name.2=b&Name.0=a", &["a", "b", "c"]);
        check_names("Name.2=b&Name=a&Name.100000000000=c", &["a", "b", "c"]);
    }

    #[test]
    fn a_list_may_be_written_without_numbers_or_with_member() {
        check_names("Name=a", &["a"]);
        check_names("Name=b&Name=a", &["b", "a"]);
        check_names("Name.member.2=b&Name.member.1=a", &["a", "b"]);
        check_names("Name.member=a", &["a"]);
        let read = run("IpPermissions.IpProtocol=udp");
        assert_eq!(read.ip_permissions[0].ip_protocol, "udp");
    }

    #[test]
    fn a_list_has_no_place_for_names() {
        for (query, name) in [
            ("Name.first=a", "Name.first"),
            ("Name.member.first=a", "Name.member.first"),
            ("Name.1.x=a", "Name.1.x"),
            ("Name.+1=a", "Name.%2B1"),
        ] {
            let error = try_read::<Names>(&query.replace('+', "%2B")).unwrap_err();
            let name = name.replace("%2B", "+");
            assert_eq!(error, ApiError::unknown_parameter(&name));
        }
    }

    #[test]
    fn truth_is_written_in_any_case() {
        assert_eq!(run("EbsOptimized=true").ebs_optimized, Some(true));
        assert_eq!(run("EbsOptimized=False").ebs_optimized, Some(false));
    }

    #[test]
    fn enumerations_are_read_by_name() {
        assert_eq!(run("AddressingType=private").addressing_type, Some(Addressing::Private));
        assert_eq!(run("AddressType=public").addressing_type, Some(Addressing::Public));
    }

    #[test]
    fn a_missing_parameter_is_named_in_full() {
        check_refused(
            "MinCount=1",
            Code::MissingParameter,
            "The request must contain the parameter ImageId",
        );
        check_refused(
            &format!("{REQUIRED}&IpPermissions.3.FromPort=1"),
            Code::MissingParameter,
            "The request must contain the parameter IpPermissions.3.IpProtocol",
        );
    }

    #[test]
    fn a_mistyped_value_is_named_in_full_and_repeated() {
        check_refused(
            "ImageId=ami-12345678&MinCount=many",
            Code::InvalidParameterValue,
            "Invalid value 'many' for MinCount. \
             It must be a non-negative integer within the range allowed.",
        );
        check_refused(
            &format!(
                "{REQUIRED}&IpPermissions.1.IpProtocol=tcp&IpPermissions.1.FromPort=3000000000"
            ),
            Code::InvalidParameterValue,
            "Invalid value '3000000000' for IpPermissions.1.FromPort. \
             It must be an integer within the range allowed.",
        );
        check_refused(
            &format!("{REQUIRED}&EbsOptimized=1"),
            Code::InvalidParameterValue,
            "Invalid value '1' for EbsOptimized. It must be true or false.",
        );
        check_refused(
            &format!("{REQUIRED}&AddressingType=Public"),
            Code::InvalidParameterValue,
            "Invalid value 'Public' for AddressingType. Valid values are: public, private.",
        );
        check_refused(
            &format!("{REQUIRED}&Placement.AvailabilityZone=No+Zone"),
            Code::InvalidParameterValue,
            "Invalid value 'No Zone' for Placement.AvailabilityZone. \
             `No Zone` is not a valid availability zone id.",
        );
    }

    #[test]
    fn a_malformed_id_has_ec2_s_own_code() {
        check_refused(
            "ImageId=ami-1&MinCount=1",
            Code::InvalidAmiIdMalformed,
            "Invalid id: \"ami-1\"",
        );
        check_refused(
            &format!("{REQUIRED}&InstanceId.1=i-12345678&InstanceId.2=vol-12345678"),
            Code::InvalidInstanceIdMalformed,
            "Invalid id: \"vol-12345678\"",
        );
        check_refused(
            &format!("{REQUIRED}&InstanceId="),
            Code::InvalidInstanceIdMalformed,
            "Invalid id: \"\"",
        );
    }

    #[test]
    fn a_parameter_nobody_reads_is_refused_by_its_full_name() {
        for name in [
            "Colour",
            "Colour.1.Shade",
            "MinCount.1",
            "IpPermissions.1.Colour",
            "IpPermissions.1.IpRanges.1.Colour",
            "Placement.1",
            "",
            ".",
        ] {
            check_refused(
                &format!(
                    "{REQUIRED}&Placement.AvailabilityZone=a&IpPermissions.1.IpProtocol=tcp\
                    &IpPermissions.1.IpRanges.1.CidrIp=x&{name}=1"
                ),
                Code::UnknownParameter,
                &format!("The parameter {} is not recognized", name.trim_matches('.')),
            );
        }
    }

    #[test]
    fn what_the_server_reads_itself_is_not_unknown() {
        run(
            "Action=RunInstances&Version=2016-11-15&AWSAccessKeyId=a&Signature=s&SignatureVersion=2\
             &SignatureMethod=HmacSHA256&Timestamp=t&Expires=e&SecurityToken=t&DryRun=true\
             &Operation=x&X-Amz-Algorithm=x&x-amz-date=y",
        );
    }

    #[test]
    fn a_plain_parameter_given_twice_is_refused() {
        check_refused(
            &format!("{REQUIRED}&MinCount=2"),
            Code::InvalidParameterCombination,
            "The parameter MinCount may be given only once",
        );
        check_refused(
            &format!("{REQUIRED}&AddressingType=public&AddressType=public"),
            Code::InvalidParameterCombination,
            "The parameter AddressingType may be given only once",
        );
    }

    #[test]
    fn a_structure_given_as_a_value_is_refused() {
        check_refused(
            &format!("{REQUIRED}&Placement=here"),
            Code::InvalidParameterValue,
            "Invalid value 'here' for Placement. It is a structure, not a value.",
        );
    }

    #[test]
    fn the_largest_request_is_read_in_time_proportional_to_its_size() {
        fn seconds(elements: usize) -> f64 {
            let query: String = (0..elements)
                .rev()
                .map(|n| format!("&IpPermissions.1.IpRanges.{n}.CidrIp=10.0.0.0/8"))
                .collect();
            let query = format!("{REQUIRED}&IpPermissions.1.IpProtocol=tcp{query}");
            let parameters = Parameters::parse(&query, b"").unwrap();
            let quickest = (0..5).map(|_| {
                let start = std::time::Instant::now();
                let run: Run = read(&parameters).unwrap();
                assert_eq!(run.ip_permissions[0].ip_ranges.len(), elements);
                start.elapsed().as_secs_f64()
            });
            quickest.fold(f64::INFINITY, f64::min)
        }
        // Sixteen times the elements; a quadratic reader would take 256 times as long.
        let (small, large) = (seconds(600), seconds(9_600));
        assert!(large < small * 80.0, "{small} s for 600 elements, {large} s for 9600");
    }

    proptest! {
        #[test]
        fn no_parameters_cause_a_panic(
            pairs in prop::collection::vec((any::<String>(), any::<String>()), 0..8)
        ) {
            let _ = read::<Run>(&pairs.into_iter().collect());
        }

        #[test]
        fn no_arrangement_of_known_names_causes_a_panic(
            pairs in prop::collection::vec((
                "(IpPermissions|InstanceId|Placement|member|IpRanges|CidrIp|[0-9]{1,20}|\\.){1,6}",
                "[a-z0-9]{0,3}"), 0..12)
        ) {
            let pairs = pairs.into_iter().chain([
                ("ImageId".to_owned(), "ami-12345678".to_owned()),
                ("MinCount".to_owned(), "1".to_owned()),
            ]);
            let _ = read::<Run>(&pairs.collect());
        }
    }
}
