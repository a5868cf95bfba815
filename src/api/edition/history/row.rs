//! A row of the table of what there was, and the operation that it describes.
//!
//! Each line of a request says where a value stands and, after `=`, which parameter it is given
//! to: none if it says nothing that is not known, `Attribute:` if the element's name is the value.
//! Each line of a reply says where something stands, with all that is in it, and after `=` where
//! it is found today if that is elsewhere: with a `/`, in the first item of a list. Types, and
//! what must be there, are as today.

use crate::api::{
    edition::{
        Edition, Operation,
        form::{Form, Particle, of_answer, put},
    },
    service::Service,
    shape::{self, ActionShape, Member, Shape},
};

pub struct Row {
    pub since: Edition,
    pub name: &'static str,
    pub request: &'static [&'static str],
    pub reply: &'static [&'static str],
}

impl Row {
    pub fn operation(&self, edition: Edition) -> Operation {
        let action = shape::find(Service::Ec2, self.name);
        let action = action.expect("every row is of an action that there is, as tests see");
        let mut reply = edition.head();
        reply.extend(reply_of(action, self.reply));
        Operation { name: self.name, request: request_of(action, self.request), reply }
    }
}

fn request_of(action: &ActionShape, rows: &[&str]) -> Vec<Particle> {
    let mut particles = Vec::new();
    for row in rows {
        let (place, parameter) = row.split_once('=').expect("rows of requests name a parameter");
        if parameter.is_empty() {
            particles.push(Particle::optional(place, "", Form::PassedOver));
        } else if let Some(parameter) = parameter.strip_suffix(':') {
            particles.push(Particle::optional(place, parameter, Form::Sign));
        } else {
            let found = find(&action.request, parameter);
            let form = match found.shape {
                Shape::Value(kind) => Form::Value(*kind),
                _ => Form::NotHonoured,
            };
            let (required, origin) = (found.required, found.numbered);
            put(&mut particles, place, Particle { name: String::new(), required, origin, form });
        }
    }
    particles
}

fn reply_of(action: &ActionShape, rows: &[&str]) -> Vec<Particle> {
    let mut particles = Vec::new();
    for row in rows {
        let (place, today) = match row.split_once('=') {
            Some((place, today)) => (place, today.to_owned()),
            None => (*row, row.replace("/item/", ".").replace('/', ".")),
        };
        put_reply(&mut particles, place, &action.answer, &today);
    }
    particles
}

/// As [`put`], but with each element's name of today, and required where it is today.
fn put_reply(particles: &mut Vec<Particle>, place: &str, members: &[Member], today: &str) {
    let (origin, rest_of_today) = today.split_once('.').unwrap_or((today, ""));
    let member = find_today(members, origin);
    let member = member.expect("every row is of something there is today, as tests see");
    let (name, rest) = place.split_once('/').unwrap_or((place, ""));
    let in_list = matches!(member.shape, Shape::List(_));
    let rest = if in_list { rest.strip_prefix("item/").unwrap_or(rest) } else { rest };
    if rest.is_empty() {
        particles.push(Particle {
            name: name.to_owned(),
            required: member.required,
            origin: origin.to_owned(),
            form: of_answer(&member.shape),
        });
        return;
    }
    let at = particles.iter().position(|other| other.name == name).unwrap_or_else(|| {
        let fields = Form::Fields(Vec::new());
        particles.push(Particle {
            name: name.to_owned(),
            required: member.required,
            origin: origin.to_owned(),
            form: if in_list { Form::Items(Box::new(fields)) } else { fields },
        });
        particles.len() - 1
    });
    let mut form = &mut particles[at].form;
    if let Form::Items(of) = form {
        form = of;
    }
    let inner = match &member.shape {
        Shape::List(of) => &**of,
        shape => shape,
    };
    match (form, inner) {
        (Form::Fields(fields), Shape::Structure(members)) => {
            put_reply(fields, rest, members, rest_of_today);
        }
        _ => unreachable!("`{place}` is in something that is no structure today"),
    }
}

fn find_today<'a>(members: &'a [Member], origin: &str) -> Option<&'a Member> {
    let (name, rest) = origin.split_once("/item/").unwrap_or((origin, ""));
    let member = members.iter().find(|member| member.name == name)?;
    match &member.shape {
        _ if rest.is_empty() => Some(member),
        Shape::List(of) => match &**of {
            Shape::Structure(members) => find_today(members, rest),
            _ => None,
        },
        _ => None,
    }
}

struct Found<'a> {
    shape: &'a Shape,
    required: bool,
    /// The parameter with a `#` for every number in it.
    numbered: String,
}

fn find<'a>(members: &'a [Member], parameter: &str) -> Found<'a> {
    let (name, rest) = parameter.split_once('.').unwrap_or((parameter, ""));
    let member = members.iter().find(|member| member.name == name);
    let member = member.expect("every row is of a parameter that there is, as tests see");
    let (shape, numbered) = match &member.shape {
        Shape::List(of) => (&**of, format!("{name}.#")),
        shape => (shape, name.to_owned()),
    };
    match shape {
        Shape::Structure(members) if !rest.is_empty() => {
            let found = find(members, rest);
            Found { numbered: format!("{numbered}.{}", found.numbered), ..found }
        }
        shape => Found { shape, required: member.required, numbered },
    }
}
