//! The jobs of an engine: in which order they run, what may be done with them, and how they are seen.

mod drive;
mod ending;
mod entry;
mod events;
mod fair_queue;
mod going_on;
mod held;
mod host;
mod limit;
mod listing;
mod orchestrator;
mod prepare;
mod retaining;
mod retention;
mod saving;
mod settings;
mod submission;
mod table;
mod taken_up;
mod timer;
mod verbs;

pub use events::JobEvents;
pub(crate) use orchestrator::Orchestrator;
pub use settings::Retention;
pub(crate) use settings::Settings;
pub(crate) use submission::Submission;
