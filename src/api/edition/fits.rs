//! Whether an answer is what its form says: for tests, which ask it of every answer they see.

use super::{
    Edition,
    form::{Form, Particle},
    reply::Node,
};
use crate::api::shape::Kind;

/// Panics if the answer has an element that the edition's form does not, one too few, or one in
/// the wrong place or of the wrong kind.
pub fn check(edition: Edition, action: &str, document: &str) {
    let operation = edition.operation(action).unwrap_or_else(|| panic!("no operation `{action}`"));
    let root = Node::parse(document).unwrap_or_else(|| panic!("no answer: {document}"));
    assert_eq!(root.name, format!("{action}Response"));
    fields(root.name, &operation.reply, &root);
}

fn fields(path: &str, particles: &[Particle], node: &Node<'_>) {
    let mut children = node.children.iter().peekable();
    for particle in particles {
        match children.next_if(|child| child.name == particle.name) {
            Some(child) => element(&format!("{path}.{}", particle.name), &particle.form, child),
            None => assert!(!particle.required, "{path} has no {}: {}", particle.name, node.inner),
        }
    }
    if let Some(stray) = children.next() {
        panic!("{path} has {} where it may not have it: {}", stray.name, node.inner);
    }
}

fn element(path: &str, form: &Form, node: &Node<'_>) {
    let is_value = |kind: &Kind| match kind {
        Kind::Text => true,
        Kind::Integer => node.inner.parse::<i32>().is_ok(),
        Kind::Long => node.inner.parse::<i64>().is_ok(),
        Kind::Boolean => matches!(node.inner, "true" | "false"),
        Kind::DateTime => node.inner.parse::<jiff::Timestamp>().is_ok(),
    };
    match form {
        Form::Value(kind) => {
            assert!(node.children.is_empty(), "{path} is no value: {}", node.inner);
            assert!(is_value(kind), "{path} is no {kind:?}: {}", node.inner);
        }
        Form::Fields(particles) => fields(path, particles, node),
        Form::Items(of) => {
            for item in &node.children {
                assert_eq!(item.name, "item", "{path}");
                element(&format!("{path}.item"), of, item);
            }
        }
        Form::Sign | Form::NotHonoured | Form::PassedOver | Form::Nothing => {
            assert!(node.inner.is_empty(), "{path} is not empty: {}", node.inner);
        }
    }
}
