//! What is taken and what is refused, by whole messages.

mod flipped;
mod hostile;
mod reading;
mod recorded;
mod signed;
mod wrapped;
