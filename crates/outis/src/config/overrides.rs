//! The flags of a mode, made from its table of settings.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Command, value_parser};

/// One setting: flag `--<key>`, variable `OUTIS_<KEY>`, key in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) key: &'static str,
    pub(crate) default: &'static str,
    pub(crate) help: &'static str,
}

impl Setting {
    pub(crate) const fn new(key: &'static str, default: &'static str, help: &'static str) -> Self {
        Self { key, default, help }
    }

    /// The environment variable of this setting.
    pub(crate) fn variable(&self) -> String {
        format!("OUTIS_{}", self.key.replace('-', "_").to_uppercase())
    }
}

/// A mode's table of settings.
pub(crate) trait Settings {
    const TABLE: &'static [Setting];
}

/// What the flags said.
#[derive(Debug, Clone)]
pub(crate) struct Overrides<S> {
    pub(crate) file: Option<PathBuf>,
    pub(crate) flags: BTreeMap<&'static str, String>,
    table: PhantomData<S>,
}

impl<S: Settings> Overrides<S> {
    /// A reader over flags, the process's environment and the file.
    pub(crate) fn reader(&self) -> Result<super::Reader, crate::exit::Usage> {
        super::Reader::new(
            S::TABLE,
            self.flags.clone(),
            |name| std::env::var(name).ok(),
            self.file.as_deref(),
        )
    }
}

impl<S: Settings> clap::Args for Overrides<S> {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config")
            .long("config")
            .value_name("FILE")
            .value_parser(value_parser!(PathBuf))
            .help("settings as YAML; the environment and flags win over it");
        S::TABLE.iter().fold(command.arg(file), |command, setting| {
            let default = match setting.default {
                "" => String::new(),
                text => format!(" [default: {text}]"),
            };
            let help = format!("{} [env: {}]{default}", setting.help, setting.variable());
            command.arg(Arg::new(setting.key).long(setting.key).value_name("VALUE").help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<S: Settings> clap::FromArgMatches for Overrides<S> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| Some((setting.key, matches.get_one::<String>(setting.key)?.clone()));
        Ok(Self {
            file: matches.get_one::<PathBuf>("config").cloned(),
            flags: S::TABLE.iter().filter_map(given).collect(),
            table: PhantomData,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
