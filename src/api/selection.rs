//! Which of the things there are a describe asks for: by id, and in which accounts.
//!
//! Everybody sees their own. An administrator who passes `verbose` among the ids sees those of
//! every account in the region, a convention of Eucalyptus; to anybody else the word is an id like
//! any other, and a malformed one.

use super::{
    action::Exchange,
    describe::Asked,
    error::{ApiError, Code},
};
use crate::domain::{cloud_state::ScopeState, id::PrefixedId};
use rpds::RedBlackTreeMapSync as Map;
use std::sync::Arc;

/// What a request names.
#[derive(Debug)]
pub struct Selection<'e, I> {
    /// Whose resources may be shown.
    pub scopes: Vec<&'e ScopeState>,
    /// Sorted, each once. None at all: everything.
    pub ids: Vec<I>,
}

impl<'e, I: PrefixedId + 'e> Selection<'e, I> {
    pub fn read(ids: &[String], exchange: &'e Exchange) -> Result<Self, ApiError> {
        let Asked { ids, everybodys } = Asked::read(ids, &exchange.caller)?;
        let scopes = if everybodys {
            let everywhere = exchange.state.scopes.iter();
            let here = everywhere.filter(|(scope, _)| scope.region == exchange.scope.region);
            here.map(|(_, state)| state).collect()
        } else {
            exchange.state.scope(&exchange.scope).into_iter().collect()
        };
        Ok(Self { scopes, ids })
    }

    /// The things selected, in the order of their ids, or the ids that nothing has.
    pub fn find<T>(
        &self,
        within: impl Fn(&'e ScopeState) -> &'e Map<I, Arc<T>>,
    ) -> Result<Vec<(I, &'e Arc<T>)>, Vec<I>> {
        if self.ids.is_empty() {
            let all = self.scopes.iter().flat_map(|scope| within(scope).iter());
            let mut all: Vec<_> = all.map(|(id, thing)| (id.clone(), thing)).collect();
            // One scope's are in order already, and then this takes one look at each.
            all.sort_by(|(one, _), (other, _)| one.cmp(other));
            return Ok(all);
        }
        let mut found = Vec::new();
        let mut unknown = Vec::new();
        for id in &self.ids {
            match self.scopes.iter().find_map(|scope| within(scope).get(id)) {
                Some(thing) => found.push((id.clone(), thing)),
                None => unknown.push(id.clone()),
            }
        }
        if unknown.is_empty() { Ok(found) } else { Err(unknown) }
    }
}

/// The refusal of ids that nothing has, in the words that EC2 has for most kinds of things.
pub fn none_has<I: PrefixedId>(ids: &[I], kind: &str, code: Code) -> ApiError {
    let text = ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let message = match ids.len() {
        1 => format!("The {kind} ID '{text}' does not exist"),
        _ => format!("The {kind} IDs '{text}' do not exist"),
    };
    ApiError::new(code, message)
}
