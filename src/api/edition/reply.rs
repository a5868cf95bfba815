//! An answer cut down to what an edition knows of it.

use super::{
    Edition, Operation,
    form::{Form, Particle},
};
use crate::api::error::ApiError;
use quick_xml::{Reader, events::Event};
use std::borrow::Cow;

impl Edition {
    /// The answer as this edition has it: only what it knows, by its names, in its order. Today's
    /// is the answer itself. `document` is what [`response::render`](crate::api::response::render)
    /// made.
    pub fn reply<'d>(self, action: &str, document: &'d str) -> Result<Cow<'d, str>, ApiError> {
        if self == Edition::Today {
            return Ok(Cow::Borrowed(document));
        }
        let Some(operation) = self.operation(action) else {
            return Err(ApiError::invalid_action(action));
        };
        cut(operation, document).map(Cow::Owned).ok_or_else(|| {
            log::error!("the answer of `{action}` cannot be read back");
            ApiError::internal()
        })
    }
}

fn cut(operation: &Operation, document: &str) -> Option<String> {
    let root = Node::parse(document)?;
    let mut out = String::with_capacity(document.len());
    out.push_str(root.start);
    fields(&mut out, &operation.reply, &root);
    out.push_str("</");
    out.push_str(root.name);
    out.push('>');
    Some(out)
}

fn fields(out: &mut String, particles: &[Particle], node: &Node<'_>) {
    for particle in particles {
        if let Some(child) = node.at(&particle.origin) {
            element(out, &particle.name, &particle.form, child);
        }
    }
}

fn element(out: &mut String, name: &str, form: &Form, node: &Node<'_>) {
    let begin = out.len();
    out.push('<');
    out.push_str(name);
    out.push('>');
    let content = out.len();
    match form {
        // As it was written, so that nothing is escaped twice.
        Form::Value(_) => out.push_str(node.inner),
        Form::Fields(particles) => fields(out, particles, node),
        Form::Items(of) => node.children.iter().for_each(|item| element(out, "item", of, item)),
        Form::Sign | Form::NotHonoured | Form::PassedOver | Form::Nothing => {}
    }
    if out.len() == content {
        out.truncate(begin);
        out.push('<');
        out.push_str(name);
        out.push_str("/>");
    } else {
        out.push_str("</");
        out.push_str(name);
        out.push('>');
    }
}

/// An element of our own writing: no attributes but the root's, no comments, no mixed content.
#[derive(Default)]
pub(super) struct Node<'d> {
    /// The opening tag.
    start: &'d str,
    pub(super) name: &'d str,
    pub(super) inner: &'d str,
    pub(super) children: Vec<Node<'d>>,
}

impl<'d> Node<'d> {
    /// The first element that the path leads to.
    fn at(&self, path: &str) -> Option<&Node<'d>> {
        path.split('/')
            .try_fold(self, |node, name| node.children.iter().find(|child| child.name == name))
    }

    pub(super) fn parse(document: &'d str) -> Option<Node<'d>> {
        let mut reader = Reader::from_str(document);
        let mut open: Vec<(usize, Node<'d>)> = vec![(0, Node::default())];
        loop {
            let before = usize::try_from(reader.buffer_position()).ok()?;
            let event = reader.read_event().ok()?;
            let after = usize::try_from(reader.buffer_position()).ok()?;
            match event {
                Event::Start(_) | Event::Empty(_) => {
                    let start = document.get(before..after)?;
                    let name = start.trim_start_matches('<').split(['>', ' ', '/']).next()?;
                    let node = Node { start, name, ..Node::default() };
                    match event {
                        Event::Empty(_) => open.last_mut()?.1.children.push(node),
                        _ => open.push((after, node)),
                    }
                }
                Event::End(_) => {
                    let (begin, mut node) = open.pop()?;
                    node.inner = document.get(begin..before)?;
                    open.last_mut()?.1.children.push(node);
                }
                Event::Eof => {
                    let (_, mut outside) = open.pop()?;
                    return (open.is_empty() && outside.children.len() == 1)
                        .then(|| outside.children.remove(0));
                }
                _ => {}
            }
        }
    }
}
