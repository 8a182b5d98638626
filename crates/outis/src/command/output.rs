//! JSON and YAML for scripts.

use anyhow::Result;
use serde::Serialize;

use crate::arguments::Output;

/// A value for scripts; `None` when people are meant.
pub(super) fn machine(output: Output, value: &impl Serialize) -> Result<Option<String>> {
    Ok(match output {
        Output::Text => None,
        Output::Json => Some(serde_json::to_string_pretty(value)?),
        Output::Yaml => Some(serde_saphyr::to_string(value)?),
    })
}
