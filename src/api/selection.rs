//! Which of the things there are a describe asks for: by id, and in which accounts.
//!
//! Everybody sees their own. An administrator who passes `verbose` among the ids sees those of
//! every account in the region, a convention of Eucalyptus; to anybody else the word is an id like
//! any other, and a malformed one.

use super::{action::Exchange, error::ApiError};
use crate::domain::{cloud_state::ScopeState, id::PrefixedId};
use rpds::RedBlackTreeMapSync as Map;
use std::{collections::BTreeSet, sync::Arc};

const EVERY_ACCOUNT: &str = "verbose";

/// What a request names.
#[derive(Debug)]
pub struct Selection<'e, I> {
    /// Whose resources may be shown.
    pub scopes: Vec<&'e ScopeState>,
    /// None at all: everything.
    pub ids: BTreeSet<I>,
}

impl<'e, I: PrefixedId + 'e> Selection<'e, I> {
    pub fn read(ids: &[String], exchange: &'e Exchange) -> Result<Self, ApiError> {
        let verbose =
            exchange.caller.is_administrator() && ids.iter().any(|id| id == EVERY_ACCOUNT);
        let ids = ids
            .iter()
            .filter(|id| !(verbose && *id == EVERY_ACCOUNT))
            .map(|id| id.parse::<I>())
            .collect::<Result<_, _>>()?;
        let scopes = if verbose {
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
