//! Settings of the modes: flags over environment over file, read once into domain types before any
//! port is bound. Unknown keys of the file are refused and all faults are told together.
//!
//! Unknown `OUTIS_*` variables are not: Kubernetes itself sets such for every Service in sight.

mod modes;
mod overrides;
mod reader;

pub(crate) use modes::{
    AgentConfig, AgentSettings, ControllerConfig, ControllerSettings, CsiConfig, CsiSettings, LinkConfig,
    WebhookConfig, WebhookSettings,
};
pub(crate) use overrides::{Overrides, Setting, Settings};
pub(crate) use reader::Reader;

#[cfg(test)]
mod tests;
