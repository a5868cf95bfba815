//! What is forgotten after a while: terminated instances, with everything that ended with them, and
//! spent client tokens.

use super::{Core, elastic_address};
use crate::domain::{
    cloud_state::{ClientToken, Entry},
    instance::Instance,
};
use std::{rc::Rc, sync::Arc, time::Duration};

/// EC2 keeps a client token at least a day.
const TOKENS_KEPT: Duration = Duration::from_secs(24 * 60 * 60);

impl Core {
    /// Terminated instances are described for a while and then forgotten, as are spent tokens.
    pub(super) async fn bury(self: &Rc<Self>) {
        let now = self.ambient.now();
        let shown = self.settings.terminated_shown;
        let buried = self.decide(|draft| {
            for instance in draft.state.ended_for(shown, now) {
                for resource in resources_of(&instance) {
                    let tags = draft
                        .state
                        .scope(&instance.scope)
                        .and_then(|own| own.tags.get(&resource))
                        .cloned();
                    if let Some(tags) = tags {
                        draft.remove(Entry::Tags(tags));
                    }
                }
                elastic_address::forget(&instance, draft);
                draft.remove(Entry::Instance(instance));
            }
            let spent: Vec<Arc<ClientToken>> = draft
                .state
                .scopes
                .values()
                .flat_map(|own| own.client_tokens.values())
                .filter(|token| now.since(token.used_at) >= TOKENS_KEPT)
                .cloned()
                .collect();
            for token in spent {
                draft.remove(Entry::ClientToken(token));
            }
        });
        if !buried.changes.is_empty() {
            self.keep_own(buried, "burial").await;
        }
    }
}

/// Everything that ends with an instance and may carry tags.
fn resources_of(instance: &Instance) -> Vec<String> {
    let mut ids = vec![instance.id.to_string(), instance.root_volume.to_string()];
    ids.extend(instance.interfaces.iter().map(|interface| interface.id.to_string()));
    ids
}
