//! Elements that several actions read or write: each once, by its noun.

pub mod image;
pub mod instance;
pub mod instance_facts;
pub mod instance_interface;
pub mod reservation;
pub mod state_change;

pub mod metadata_options;
pub mod root_volume;
pub mod tag;
pub mod user_data;

pub mod not_honoured;
