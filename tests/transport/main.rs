//! Links between processes: real sockets, real certificates, and everything that can go wrong.

mod addresses;
mod bulk;
mod history;
mod joining;
mod lab;
mod links;
mod log_lines;
mod proxy;
mod strangers;
