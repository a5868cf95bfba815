//! SOAP messages.

pub mod element;
