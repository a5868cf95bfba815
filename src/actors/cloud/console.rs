//! The end of an instance's console, which only its node has.

use super::Core;
use crate::{
    actors::address::AskError,
    domain::fault::CloudFault,
    messages::{
        CallContext, cloud,
        group::{GroupFault, ReadConsole},
        node::ConsoleText,
    },
};
use std::rc::Rc;

impl Core {
    pub(super) async fn read_console(
        self: &Rc<Self>,
        context: CallContext,
        asked: cloud::ReadConsole,
    ) -> Result<ConsoleText, CloudFault> {
        let instance = asked.instance.clone();
        let not_found = || CloudFault::InstancesNotFound(vec![instance.clone()]);
        let caller = &context.on_behalf_of;
        let group = {
            let book = self.book.borrow();
            let instance = book.durable.instance(&asked.instance).ok_or_else(not_found)?;
            let own =
                instance.scope.region == asked.region && instance.scope.account == caller.account;
            if !own && !caller.is_administrator() {
                return Err(not_found());
            }
            instance.group.clone()
        };
        let address = self.groups.get(&group).ok_or_else(not_found)?;
        let read = ReadConsole { instance: asked.instance.clone() };
        match address.ask(context.clone(), read).await {
            Ok(text) => Ok(text),
            // Nothing has been written yet, or no longer: EC2 answers with no output.
            Err(AskError::Refused(GroupFault::NotPlaced(_))) => {
                Ok(ConsoleText { bytes: Vec::new(), written_at: self.ambient.now() })
            }
            Err(AskError::Refused(GroupFault::UnknownNode(node))) => {
                Err(CloudFault::OutOfReach { instance: asked.instance, node })
            }
            Err(AskError::Refused(fault)) => Err(CloudFault::NotRecorded(fault.to_string())),
            Err(_) => Err(CloudFault::Unanswered),
        }
    }
}
