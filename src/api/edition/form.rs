//! What stands in an element of a request or a reply, and where it comes from.

use super::names;
use crate::api::shape::{Kind, Member, Shape};

/// An element that may stand in another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Particle {
    pub name: String,
    pub required: bool,
    /// In a request: the parameter that the value is given to, with a `#` for each number that
    /// depends on where in a list the element stands. In a reply: the element's name today, or the
    /// path to it.
    pub origin: String,
    pub form: Form,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Form {
    Value(Kind),
    Fields(Vec<Particle>),
    /// Any number of `<item>` elements.
    Items(Box<Form>),
    /// An empty element, whose name is the value of the parameter.
    Sign,
    /// Refused by its name; in no WSDL.
    NotHonoured,
    /// Read past: what it says is known otherwise.
    PassedOver,
    /// Nothing is ever in it.
    Nothing,
}

impl Particle {
    pub fn value(name: &str, origin: &str, kind: Kind) -> Particle {
        Particle::optional(name, origin, Form::Value(kind))
    }

    pub fn optional(name: &str, origin: &str, form: Form) -> Particle {
        Particle { name: name.to_owned(), required: false, origin: origin.to_owned(), form }
    }

    pub(super) fn request_id() -> Particle {
        Particle { required: true, ..Particle::value("requestId", "requestId", Kind::Text) }
    }
}

/// Today's form of an action's request.
pub fn request(action: &str, members: &[Member]) -> Vec<Particle> {
    let mut particles = Vec::new();
    for member in members {
        take_in(&mut particles, action, "", member);
    }
    particles
}

/// `path` leads to the structure that the member is of, `before` is what its parameters begin with.
fn take_in(particles: &mut Vec<Particle>, path: &str, before: &str, member: &Member) {
    let path = format!("{path}.{}", member.name);
    let origin = format!("{before}{}", member.name);
    let fields = |members: &[Member], before: String| {
        let mut fields = Vec::new();
        for member in members {
            take_in(&mut fields, &path, &before, member);
        }
        Form::Fields(fields)
    };
    let (place, origin, form) = match &member.shape {
        Shape::Value(kind) => {
            let signs = names::signs(&path);
            if !signs.is_empty() {
                particles
                    .extend(signs.iter().map(|sign| Particle::optional(sign, &origin, Form::Sign)));
                return;
            }
            (names::of_value(&path), origin, Form::Value(*kind))
        }
        Shape::Structure(members) => {
            let form = fields(members, format!("{origin}."));
            (names::of_value(&path), origin, form)
        }
        Shape::List(of) => match &**of {
            Shape::Value(kind) => {
                (names::of_value_list(&path), format!("{origin}.#"), Form::Value(*kind))
            }
            Shape::Structure(members) => {
                let form = fields(members, format!("{origin}.#."));
                (names::of_structure_list(&path), origin, Form::Items(Box::new(form)))
            }
            Shape::List(_) | Shape::NotHonoured | Shape::Nothing => {
                (names::of_value(&path), origin, Form::NotHonoured)
            }
        },
        Shape::NotHonoured | Shape::Nothing => (names::of_value(&path), origin, Form::NotHonoured),
    };
    put(
        particles,
        &place,
        Particle { name: String::new(), required: member.required, origin, form },
    );
}

/// Puts a particle where `place` says: names of elements with `/` between them, `item` for the
/// elements of a list. Of several in one list's items none must be there.
pub(super) fn put(particles: &mut Vec<Particle>, place: &str, particle: Particle) {
    let Some((name, rest)) = place.split_once('/') else {
        particles.push(Particle { name: place.to_owned(), ..particle });
        return;
    };
    let in_list = rest.strip_prefix("item/");
    let at = particles.iter().position(|other| other.name == name).unwrap_or_else(|| {
        let form = match in_list {
            Some(_) => Form::Items(Box::new(Form::Fields(Vec::new()))),
            None => Form::Fields(Vec::new()),
        };
        particles.push(Particle::optional(name, "", form));
        particles.len() - 1
    });
    let parent = &mut particles[at];
    parent.required |= particle.required;
    match (&mut parent.form, in_list) {
        (Form::Fields(fields), None) => put(fields, rest, particle),
        (Form::Items(of), Some(rest)) => match &mut **of {
            Form::Fields(fields) => put(fields, rest, Particle { required: false, ..particle }),
            _ => unreachable!("`{place}` is in items that are values"),
        },
        _ => unreachable!("`{place}` is in a list in one row and not in another"),
    }
}

/// Today's form of an action's answer.
pub fn reply(members: &[Member]) -> Vec<Particle> {
    let particle = |member: &Member| Particle {
        name: member.name.clone(),
        required: member.required,
        origin: member.name.clone(),
        form: of_answer(&member.shape),
    };
    members.iter().map(particle).collect()
}

pub(super) fn of_answer(shape: &Shape) -> Form {
    match shape {
        Shape::Value(kind) => Form::Value(*kind),
        Shape::Structure(members) => Form::Fields(reply(members)),
        Shape::List(of) => Form::Items(Box::new(of_answer(of))),
        Shape::NotHonoured | Shape::Nothing => Form::Nothing,
    }
}
