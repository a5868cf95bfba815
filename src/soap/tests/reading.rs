//! How documents become plain elements.

use crate::soap::Element;
use crate::soap::document::{Document, Limits, Malformed};

fn read(text: &str) -> Result<Element, Malformed> {
    read_bytes(text.as_bytes())
}

fn read_bytes(bytes: &[u8]) -> Result<Element, Malformed> {
    let document = Document::parse(bytes, &Limits::default())?;
    document.element(document.root())
}

fn text(text: &str) -> String {
    read(text).unwrap().text
}

#[test]
fn text_is_what_was_written_and_a_comment_does_not_split_it() {
    assert_eq!(text("<a> b </a>"), " b ");
    assert_eq!(text("<a>ad<!-- x -->min</a>"), "admin");
    assert_eq!(text("<a>1<![CDATA[<2>]]>3&#52;&lt;&amp;</a>"), "1<2>34<&");
    assert_eq!(text("<a>b\r\nc\rd&#13;</a>"), "b\nc\nd\r");
    assert_eq!(text("<a/>"), "");
}

#[test]
fn children_are_read_with_their_namespaces_and_without_the_white_space_between_them() {
    let read = read("<a xmlns=\"urn:a\">\n <b xmlns=\"\">1</b>\t<p:c xmlns:p=\"urn:p\"/>\r\n</a>")
        .unwrap();
    let named = |namespace: &str, name: &str, text: &str| Element {
        namespace: namespace.into(),
        name: name.into(),
        text: text.into(),
        ..Element::default()
    };
    let children = vec![named("", "b", "1"), named("urn:p", "c", "")];
    assert_eq!(read, Element { children, ..named("urn:a", "a", "") });
    assert_eq!(read.named("b").count(), 1);
}

#[test]
fn text_beside_children_is_refused() {
    assert_eq!(read("<a>x<b/></a>"), Err(Malformed::Mixed("a".into())));
    assert_eq!(read("<a><b/>\u{a0}</a>"), Err(Malformed::Mixed("a".into())));
}

#[test]
fn attributes_of_other_namespaces_are_left_out_and_others_refused() {
    let xsi = "xmlns:i=\"http://www.w3.org/2001/XMLSchema-instance\"";
    let found = read(&format!(
        "<a {xsi} i:type=\"x\" xml:lang=\"en\"><b i:nil=\"true\"/><c i:nil=\"0\">1</c></a>"
    ));
    let nil = |child: &Element| (child.name.clone(), child.nil);
    let children: Vec<_> = found.unwrap().children.iter().map(nil).collect();
    assert_eq!(children, [("b".to_owned(), true), ("c".to_owned(), false)]);
    assert_eq!(read("<a><b href=\"#c\"/></a>"), Err(Malformed::Attribute("href".into())));
    // White space beside what is nil is no text.
    assert_eq!(text(&format!("<a {xsi}> <b i:nil=\"1\"/> </a>")), "");
}

#[test]
fn documents_are_utf_8_and_xml_1_0() {
    assert_eq!(text("\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><a>\u{e9}</a>"), "\u{e9}");
    for (bytes, refused) in [
        (b"<a>\xe9</a>".as_slice(), Malformed::NotUtf8),
        (b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><a/>", Malformed::NotUtf8),
        (b"\xff\xfe<\0a\0/\0>\0", Malformed::NotUtf8),
        (b"<?xml version=\"1.1\"?><a/>", Malformed::NotVersion1),
        (b"<a><?php 1?></a>", Malformed::ProcessingInstruction),
        (b"<?xml-stylesheet href=\"x\"?><a/>", Malformed::ProcessingInstruction),
        (b"<a/><?x?>", Malformed::ProcessingInstruction),
        (b"<a xmlns:p=\"urn:p\"><p:b:c/></a>", Malformed::Name("b:c".into())),
        (b"<a :b=\"1\"/>", Malformed::Name(":b".into())),
    ] {
        assert_eq!(read_bytes(bytes), Err(refused), "{}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn what_is_not_well_formed_is_refused() {
    for text in [
        "",
        " ",
        "<a>",
        "<a></b>",
        "<a/><b/>",
        "a",
        "<a b=\"1\" b=\"2\"/>",
        "<a xmlns:p=\"urn:x\" xmlns:q=\"urn:x\" p:b=\"1\" q:b=\"2\"/>",
        "<p:a/>",
        "<a b=1/>",
        "<a b=\"<\"/>",
        "<a>&x;</a>",
        "<a>&#0;</a>",
        "<a>&#xD800;</a>",
        "<a>\u{1}</a>",
        "<a xml:b=\"\u{1}&amp;\"/>",
        "<a xml:b=\"\u{ffff}\"/>",
        "<a>]]></a>",
        "<a><!-- -- --></a>",
        "<!DOCTYPE a><a/>",
        "<a/>\0",
        "<?xml version=\"1.0\"?><?xml version=\"1.0\"?><a/>",
    ] {
        let refused = read(text);
        assert!(matches!(refused, Err(Malformed::NotWellFormed(_))), "{text:?}: {refused:?}");
    }
}

#[test]
fn limits_count_what_a_document_could_become() {
    let check = |text: &str, limits: Limits| Document::parse(text.as_bytes(), &limits).map(|_| ());
    let few = Limits {
        bytes_max: 40,
        depth_max: 3,
        tags_max: 4,
        attributes_max: 1,
        value_bytes_max: 9,
        prefixes_max: 2,
    };
    assert_eq!(check("<a b='1'><b><c/></b></a>", few), Err(Malformed::TooManyTags(4)));
    assert_eq!(check("<a b = '1'><b/></a>", few), Ok(()));
    assert_eq!(check("<a b= '1' c=\n\"\"/>", few), Err(Malformed::TooManyAttributes(1)));
    assert_eq!(check("<a b='123456789'/>", few), Ok(()));
    assert_eq!(check("<a b='1234567890'/>", few), Err(Malformed::ValueTooLong(9)));
    // Quotes are values in tags only, and tags are none in sections.
    assert_eq!(check("<a>x = 'y' z = \"y\"</a>", few), Ok(()));
    assert_eq!(check("<a><!--<b c='' d=''>--></a>", few), Ok(()));
    assert_eq!(check("<a><![CDATA[<b c='' d=''>]]></a>", few), Ok(()));
    assert_eq!(check("<a b='>' ><b/></a>", few), Ok(()));
    assert!(check("<a b='", few).is_err());
    assert!(check("<!--", few).is_err());
    assert_eq!(check(&format!("<a>{}</a>", "x".repeat(40)), few), Err(Malformed::TooLong(40)));
    let spaces = Limits { attributes_max: 9, bytes_max: 99, ..few };
    assert_eq!(check("<a xmlns='a' xmlns:b='b'><c xmlns='c'/></a>", spaces), Ok(()));
    assert_eq!(
        check("<a xmlns='a' xmlns:b='b'><c xmlns:c='c'/></a>", spaces),
        Err(Malformed::TooManyPrefixes(2))
    );
    let deep = Limits { tags_max: 100, ..few };
    assert_eq!(check("<a><b><c/></b></a>", deep), Ok(()));
    assert!(matches!(check("<a><b><c><d/></c></b></a>", deep), Err(Malformed::NotWellFormed(_))));
}
