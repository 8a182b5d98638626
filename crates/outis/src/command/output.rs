//! JSON and YAML for scripts.

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::NOTHING;
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

/// A table for people: aligned columns and nothing else.
pub(super) fn table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table
}
