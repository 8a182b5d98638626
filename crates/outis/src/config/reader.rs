//! Settings by key, with every fault kept until the end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::Setting;
use crate::exit::Usage;

/// Reads settings and collects faults.
pub(crate) struct Reader {
    values: BTreeMap<&'static str, (String, String)>,
    faults: Vec<String>,
}

impl Reader {
    /// Joins flags, environment and file, in this order of weight.
    pub(crate) fn new(
        table: &'static [Setting],
        flags: BTreeMap<&'static str, String>,
        environment: impl Fn(&str) -> Option<String>,
        file: Option<&Path>,
    ) -> Result<Self, Usage> {
        let from_file = file.map(load).transpose()?.unwrap_or_default();
        let mut faults = Vec::new();
        for key in from_file.keys().filter(|key| !table.iter().any(|setting| setting.key == key.as_str())) {
            let known: Vec<&str> = table.iter().map(|setting| setting.key).collect();
            faults.push(format!("unknown key {key:?} in the file; known are {}", known.join(", ")));
        }
        let mut values = BTreeMap::new();
        for setting in table {
            let variable = setting.variable();
            let found = flags
                .get(setting.key)
                .map(|text| (text.clone(), format!("--{}", setting.key)))
                .or_else(|| Some((environment(&variable)?, variable.clone())))
                .or_else(|| {
                    Some((from_file.get(setting.key)?.clone(), format!("{:?} in the file", setting.key)))
                })
                .unwrap_or_else(|| (setting.default.to_owned(), "the default".into()));
            values.insert(setting.key, found);
        }
        Ok(Self { values, faults })
    }

    /// A value by its parser. `None` when it is missing or wrong; `finish` tells.
    pub(crate) fn read<T: FromStr<Err: std::fmt::Display>>(&mut self, key: &'static str) -> Option<T> {
        let (text, from) = self.values.get(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(error) => {
                self.faults.push(format!("{key}: {text:?} (from {from}): {error}"));
                None
            }
        }
    }

    /// A path.
    pub(crate) fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.read(key)
    }

    /// The configuration, or everything that is wrong with it.
    pub(crate) fn finish<T>(self, make: impl FnOnce() -> Option<T>) -> Result<T, Usage> {
        match make() {
            Some(value) if self.faults.is_empty() => {
                let shown = self.values.iter().map(|(key, (text, from))| format!("{key}={text} ({from})"));
                tracing::info!(settings = shown.collect::<Vec<_>>().join(", "), "Configuration read");
                Ok(value)
            }
            _ => Err(Usage(format!("the configuration cannot be used:\n  {}", self.faults.join("\n  ")))),
        }
    }
}

fn load(file: &Path) -> Result<BTreeMap<String, String>, Usage> {
    let name = file.display();
    let text =
        std::fs::read_to_string(file).map_err(|error| Usage(format!("cannot read {name}: {error}")))?;
    let values: BTreeMap<String, serde_json::Value> = serde_saphyr::from_str(&text)
        .map_err(|error| Usage(format!("{name} is not a YAML map of settings: {error}")))?;
    let plain = |value: serde_json::Value| match value {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    };
    Ok(values.into_iter().map(|(key, value)| (key, plain(value))).collect())
}
