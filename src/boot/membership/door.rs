//! Where children on other hosts come in, and what they may ask there.

use super::super::topology::{Parent, Seat};
use crate::{
    actors::switchboard::Switchboard,
    messages::envelope::{Envelope, LinkFault},
    transport::{
        NotAdmitted, ReceiveFrom,
        identity::{Expected, Identity, Peer},
    },
};
use futures_util::future::LocalBoxFuture;
use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

/// A parent lets in those who look for it.
pub fn is_child(own: &Identity, peer: &Peer) -> Result<(), NotAdmitted> {
    let child = &peer.identity;
    let sought = Expected::parent_of(child.cloud(), child.role(), child.group());
    let found = Expected {
        cloud: own.cloud().to_owned(),
        role: own.role(),
        group: own.group().map(str::to_owned),
    };
    if sought == found && child != own {
        Ok(())
    } else {
        Err(format!("`{child}` is no child of `{own}`").into())
    }
}

/// Each child has a board of its own, with what it may ask of the parent and what is added to that.
pub fn receive_from_children<P: Parent>(
    parent: Seat<P>,
    furnish: impl Fn(&Identity, &mut Switchboard) + 'static,
) -> ReceiveFrom {
    let boards: RefCell<BTreeMap<Identity, Rc<Switchboard>>> = RefCell::default();
    Rc::new(move |peer, envelope| {
        let Some(addr) = parent.addr.get() else {
            return Box::pin(async {
                Err(LinkFault::NotDelivered("the role has not begun yet".into()))
            });
        };
        let mut boards = boards.borrow_mut();
        let board = boards.entry(peer.identity.clone()).or_insert_with(|| {
            let mailbox = parent.mailbox.clone();
            let mut board = P::for_child(addr, &peer.identity).counting(mailbox);
            furnish(&peer.identity, &mut board);
            Rc::new(board)
        });
        put_through(board.clone(), envelope)
    })
}

pub fn put_through(
    board: Rc<Switchboard>,
    envelope: Envelope,
) -> LocalBoxFuture<'static, Result<Vec<u8>, LinkFault>> {
    Box::pin(async move { board.put_through(envelope).await })
}
