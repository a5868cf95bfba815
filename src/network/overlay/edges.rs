//! The ports there are, by number, each with what it is opened on.
//!
//! A port that has become of no use, because its device went, is closed and opened again as soon as
//! that works; the switch need not know.

use super::{
    poll::{Poll, Token},
    status::EdgeStatus,
};
use crate::{
    domain::id::InterfaceId,
    network::{
        frame::Frame,
        port::{Attachment, Batch, Losses, Port},
        switch::{PortId, PortSpec},
    },
};
use std::io;

#[derive(Debug, Default)]
pub(super) struct Edges {
    slots: Vec<Option<Edge>>,
    /// Those that were written to since they were last flushed, or are slow.
    written: Vec<PortId>,
}

#[derive(Debug)]
pub(super) struct Edge {
    pub spec: PortSpec,
    attachment: Attachment,
    port: Result<Box<dyn Port>, String>,
    is_written: bool,
    /// Of ports that were closed before.
    losses: Losses,
}

impl Edges {
    pub fn find(&self, interface: &InterfaceId) -> Option<PortId> {
        self.all().find(|(_, edge)| edge.spec.interface == *interface).map(|(id, _)| id)
    }

    pub fn all(&self) -> impl Iterator<Item = (PortId, &Edge)> {
        let numbered = self.slots.iter().enumerate();
        numbered.filter_map(|(index, slot)| Some((PortId(index as u32), slot.as_ref()?)))
    }

    pub fn spec_mut(&mut self, id: PortId) -> Option<&mut PortSpec> {
        self.get(id).map(|edge| &mut edge.spec)
    }

    /// Opens a port in the place of the interface's, or in a free one.
    pub fn open(
        &mut self,
        poll: &Poll,
        spec: PortSpec,
        attachment: Attachment,
    ) -> io::Result<PortId> {
        let known = self.find(&spec.interface);
        if let Some(edge) = known.and_then(|id| self.get(id))
            && edge.attachment == attachment
            && edge.port.is_ok()
        {
            edge.spec = spec;
            return Ok(known.expect("it was just found"));
        }
        // Closed first: two sockets cannot be at one path.
        let losses = known.map(|id| self.close(poll, id)).unwrap_or_default();
        let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        let port = opened(poll, PortId(free as u32), &attachment)?;
        if free == self.slots.len() {
            self.slots.push(None);
        }
        let edge = Edge { spec, attachment, port: Ok(port), is_written: false, losses };
        self.slots[free] = Some(edge);
        Ok(PortId(free as u32))
    }

    pub fn close(&mut self, poll: &Poll, id: PortId) -> Losses {
        let Some(edge) = self.slots.get_mut(id.0 as usize).and_then(Option::take) else {
            return Losses::default();
        };
        if let Ok(port) = &edge.port {
            // A device that is gone has left the poll by itself.
            let _ = poll.remove(port.descriptor());
        }
        edge.all_losses()
    }

    /// A port's turn. A port that is of no use any more is closed.
    pub fn read(&mut self, poll: &Poll, id: PortId, into: &mut Batch) {
        let Some(edge) = self.get(id) else { return };
        let Ok(port) = &mut edge.port else { return };
        if let Err(error) = port.read(into) {
            edge.fail(poll, &error);
        }
    }

    pub fn write(&mut self, id: PortId, frame: Frame<'_>) {
        let Some(edge) = self.slots.get_mut(id.0 as usize).and_then(Option::as_mut) else { return };
        match &mut edge.port {
            Ok(port) => port.write(frame),
            Err(_) => edge.losses.undelivered += 1,
        }
        if !edge.is_written {
            edge.is_written = true;
            self.written.push(id);
        }
    }

    /// Hands over what ports kept back. True while one is slow.
    pub fn flush(&mut self) -> bool {
        let slots = &mut self.slots;
        self.written.retain(|id| {
            let Some(edge) = slots.get_mut(id.0 as usize).and_then(Option::as_mut) else {
                return false;
            };
            edge.is_written = edge.port.as_mut().is_ok_and(|port| port.flush());
            edge.is_written
        });
        !self.written.is_empty()
    }

    /// Closes what is of no use any more, and tries again what had to be closed.
    pub fn reopen(&mut self, poll: &Poll) {
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(edge) = slot else { continue };
            if let Ok(port) = &edge.port {
                match port.check() {
                    Ok(()) => continue,
                    Err(error) => edge.fail(poll, &error),
                }
            }
            edge.port = opened(poll, PortId(index as u32), &edge.attachment)
                .map_err(|error| error.to_string());
            if edge.port.is_ok() {
                log::info!("the port of `{}` is open again", edge.spec.interface);
            }
        }
    }

    fn get(&mut self, id: PortId) -> Option<&mut Edge> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }
}

fn opened(poll: &Poll, id: PortId, attachment: &Attachment) -> io::Result<Box<dyn Port>> {
    let port = attachment.open()?;
    poll.add(port.descriptor(), Token::Edge(id.0))?;
    Ok(port)
}

impl Edge {
    pub fn status(&self, id: PortId) -> EdgeStatus {
        EdgeStatus {
            port: id,
            interface: self.spec.interface.clone(),
            attachment: self.attachment.to_string(),
            why_closed: self.port.as_ref().err().cloned(),
            losses: self.all_losses(),
        }
    }

    fn fail(&mut self, poll: &Poll, error: &io::Error) {
        log::warn!("closing the port of `{}` for now: {error}", self.spec.interface);
        self.losses = self.all_losses();
        // It says what it has to say by being readable, so it must leave the poll.
        if let Ok(port) = std::mem::replace(&mut self.port, Err(error.to_string())) {
            let _ = poll.remove(port.descriptor());
        }
    }

    fn all_losses(&self) -> Losses {
        let now = self.port.as_ref().map(|port| port.losses()).unwrap_or_default();
        Losses {
            malformed: self.losses.malformed + now.malformed,
            undelivered: self.losses.undelivered + now.undelivered,
        }
    }
}
