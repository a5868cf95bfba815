//! Images' bytes between hosts: the cloud gives them out, a group passes them on and keeps them for
//! its other nodes, a node fetches them into its own cache.

pub mod local;
pub mod relay;
pub mod remote;
