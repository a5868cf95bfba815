//! A serde serializer that writes elements, and nothing else of XML, straight into one string.
//!
//! A structure's fields are its children in their order, a sequence repeats its element's name, an
//! empty element is closed at once. What EC2's answers have no use for is refused: attributes,
//! floats, bytes, tuples, variants that hold something. Why not quick-xml's serializer:
//! `docs/decisions/011-answers-as-xml.md`.
//!
//! Names of fields are the program's and are trusted; keys of maps are data and are checked.

use serde::ser::{
    Error as _, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct, Serializer,
};
use std::fmt::{self, Display, Write};

/// Why a value is no element.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NoElement(String);

impl serde::ser::Error for NoElement {
    fn custom<T: Display>(reason: T) -> NoElement {
        NoElement(reason.to_string())
    }
}

/// Appends `<name>…</name>`, or one such element for each item of a sequence.
pub fn element<T: Serialize + ?Sized>(
    out: &mut String,
    name: &str,
    value: &T,
) -> Result<(), NoElement> {
    value.serialize(Element { out, name })
}

/// Appends the fields of a structure as elements, without one around them.
pub fn fields<T: Serialize + ?Sized>(out: &mut String, value: &T) -> Result<(), NoElement> {
    value.serialize(Element { out, name: NAMELESS })
}

/// The name of an element whose tags are not written.
const NAMELESS: &str = "";

/// Appends text as it may stand in an element.
fn text(out: &mut String, text: &str) {
    // Nearly all there is. A fold that looks at every byte is many bytes in one instruction.
    let marked = |found, byte| found | matches!(byte, b'<' | b'>' | b'&' | b'\r');
    if !text.bytes().fold(false, marked) {
        out.push_str(text);
        return;
    }
    let mut begin = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'<' => "&lt;",
            b'>' => "&gt;",
            b'&' => "&amp;",
            // A parser reads a bare one as the end of a line (XML 1.0, 2.11).
            b'\r' => "&#13;",
            _ => continue,
        };
        out.push_str(&text[begin..at]);
        out.push_str(escaped);
        begin = at + 1;
    }
    out.push_str(&text[begin..]);
}

/// Whatever is displayed, escaped as it comes.
struct Escaping<'o>(&'o mut String);

impl Write for Escaping<'_> {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        text(self.0, part);
        Ok(())
    }
}

/// Where a value goes.
struct Element<'o, 'n> {
    out: &'o mut String,
    name: &'n str,
}

impl<'o, 'n> Element<'o, 'n> {
    fn open(self) -> Open<'o, 'n> {
        if self.name != NAMELESS {
            // Both tags at once, and what is likely to stand between them.
            self.out.reserve(2 * self.name.len() + 32);
            self.out.push('<');
            self.out.push_str(self.name);
            self.out.push('>');
        }
        let begin = self.out.len();
        Open { out: self.out, name: self.name, begin, key: String::new() }
    }
}

/// An element whose content is being written.
struct Open<'o, 'n> {
    out: &'o mut String,
    name: &'n str,
    begin: usize,
    /// Of a map: the key whose value comes next.
    key: String,
}

impl Open<'_, '_> {
    /// One without content becomes `<name/>`.
    fn close(self) {
        if self.name == NAMELESS {
            return;
        }
        if self.out.len() == self.begin {
            self.out.truncate(self.begin - 1);
            self.out.push_str("/>");
        } else {
            self.out.push_str("</");
            self.out.push_str(self.name);
            self.out.push('>');
        }
    }
}

macro_rules! numbers {
    ($($method:ident $type:ty),+ $(,)?) => {$(
        fn $method(self, value: $type) -> Result<(), NoElement> {
            let open = self.open();
            write!(open.out, "{value}").map_err(NoElement::custom)?;
            open.close();
            Ok(())
        }
    )+};
}

macro_rules! refused {
    ($($method:ident($($argument:ty),*) -> $answer:ty;)+) => {$(
        fn $method(self, $(_: $argument),*) -> Result<$answer, NoElement> {
            Err(NoElement::custom(concat!("no element: ", stringify!($method))))
        }
    )+};
}

impl<'o, 'n> Serializer for Element<'o, 'n> {
    type Ok = ();
    type Error = NoElement;
    type SerializeSeq = Element<'o, 'n>;
    type SerializeTuple = Impossible<(), NoElement>;
    type SerializeTupleStruct = Impossible<(), NoElement>;
    type SerializeTupleVariant = Impossible<(), NoElement>;
    type SerializeMap = Open<'o, 'n>;
    type SerializeStruct = Open<'o, 'n>;
    type SerializeStructVariant = Impossible<(), NoElement>;

    numbers! {
        serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64,
    }

    fn serialize_bool(self, value: bool) -> Result<(), NoElement> {
        self.serialize_str(if value { "true" } else { "false" })
    }

    fn serialize_str(self, value: &str) -> Result<(), NoElement> {
        let open = self.open();
        text(open.out, value);
        open.close();
        Ok(())
    }

    fn collect_str<T: Display + ?Sized>(self, value: &T) -> Result<(), NoElement> {
        let open = self.open();
        write!(Escaping(open.out), "{value}").map_err(NoElement::custom)?;
        open.close();
        Ok(())
    }

    fn serialize_none(self) -> Result<(), NoElement> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), NoElement> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), NoElement> {
        self.open().close();
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), NoElement> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), NoElement> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), NoElement> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &T,
    ) -> Result<(), NoElement> {
        Err(NoElement::custom(format_args!("no element: the variant `{variant}` holds something")))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, NoElement> {
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Open<'o, 'n>, NoElement> {
        Ok(self.open())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Open<'o, 'n>, NoElement> {
        Ok(self.open())
    }

    refused! {
        serialize_f32(f32) -> ();
        serialize_f64(f64) -> ();
        serialize_char(char) -> ();
        serialize_bytes(&[u8]) -> ();
        serialize_tuple(usize) -> Self::SerializeTuple;
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct;
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeTupleVariant;
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeStructVariant;
    }
}

impl SerializeSeq for Element<'_, '_> {
    type Ok = ();
    type Error = NoElement;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoElement> {
        element(self.out, self.name, value)
    }

    fn end(self) -> Result<(), NoElement> {
        Ok(())
    }
}

impl SerializeStruct for Open<'_, '_> {
    type Ok = ();
    type Error = NoElement;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), NoElement> {
        element(self.out, name, value)
    }

    fn end(self) -> Result<(), NoElement> {
        self.close();
        Ok(())
    }
}

impl SerializeMap for Open<'_, '_> {
    type Ok = ();
    type Error = NoElement;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), NoElement> {
        self.key.clear();
        fields(&mut self.key, key)?;
        let name = self.key.as_bytes();
        let is_name = name.first().is_some_and(u8::is_ascii_alphabetic)
            && name.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
        match is_name {
            true => Ok(()),
            false => Err(NoElement::custom(format_args!("`{}` names no element", self.key))),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), NoElement> {
        element(self.out, &self.key, value)
    }

    fn end(self) -> Result<(), NoElement> {
        self.close();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Serialize;
    use std::collections::BTreeMap;

    #[derive(Serialize)]
    struct Whole {
        text: &'static str,
        empty: &'static str,
        number: i64,
        truth: bool,
        absent: Option<u8>,
        present: Option<u8>,
        inner: Inner,
        items: Vec<Inner>,
        none: Vec<Inner>,
        kind: Kind,
        #[serde(flatten)]
        flat: Flat,
    }

    #[derive(Clone, Serialize)]
    struct Inner {
        item: Vec<&'static str>,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        VeryPlain,
    }

    #[derive(Serialize)]
    enum Flat {
        Named(u8),
    }

    fn whole() -> Whole {
        let inner = Inner { item: vec!["a", "b"] };
        Whole {
            text: "<&> \"'\r\n",
            empty: "",
            number: -1,
            truth: true,
            absent: None,
            present: Some(7),
            inner: Inner { item: Vec::new() },
            items: vec![inner.clone(), inner],
            none: Vec::new(),
            kind: Kind::VeryPlain,
            flat: Flat::Named(1),
        }
    }

    const CHILDREN: &str = "<text>&lt;&amp;&gt; \"'&#13;\n</text><empty/><number>-1</number>\
        <truth>true</truth><absent/><present>7</present><inner/>\
        <items><item>a</item><item>b</item></items><items><item>a</item><item>b</item></items>\
        <kind>very-plain</kind><Named>1</Named>";

    #[test]
    fn fields_are_children_sequences_repeat_their_name_and_the_empty_is_closed_at_once() {
        let mut out = "before".to_owned();
        element(&mut out, "Whole", &whole()).unwrap();
        assert_eq!(out, format!("before<Whole>{CHILDREN}</Whole>"));
    }

    #[test]
    fn a_body_has_its_fields_where_it_stands() {
        let mut out = "before".to_owned();
        fields(&mut out, &whole()).unwrap();
        assert_eq!(out, format!("before{CHILDREN}"));
        fields(&mut out, &()).unwrap();
        assert_eq!(out, format!("before{CHILDREN}"));
    }

    #[test]
    fn what_quick_xml_reads_back_is_what_was_written() {
        #[derive(Debug, PartialEq, Serialize, serde::Deserialize)]
        struct Texts {
            item: Vec<String>,
        }
        let texts = ["plain", "<&>", "a\r\nb\r", "]]>", "ü€𝄞", "&amp;"].map(str::to_owned);
        let texts = Texts { item: texts.to_vec() };
        let mut out = String::new();
        element(&mut out, "texts", &texts).unwrap();
        assert_eq!(quick_xml::de::from_str::<Texts>(&out).unwrap(), texts);
    }

    #[test]
    fn a_key_that_no_element_can_be_named_by_is_refused() {
        for key in ["", "two words", "1st", "<x>", "a/b", "ü"] {
            let map = BTreeMap::from([(key, 1)]);
            assert!(element(&mut String::new(), "m", &map).is_err(), "{key}");
        }
        let mut out = String::new();
        element(&mut out, "m", &BTreeMap::from([("a-b.C_1", 1)])).unwrap();
        assert_eq!(out, "<m><a-b.C_1>1</a-b.C_1></m>");
    }

    #[test]
    fn what_ec2_has_no_element_for_is_refused() {
        let refused = |value: Result<(), NoElement>| assert!(value.is_err());
        refused(element(&mut String::new(), "x", &1.5));
        refused(element(&mut String::new(), "x", &(1, 2)));
        refused(element(&mut String::new(), "x", &Flat::Named(1)));
    }
}
