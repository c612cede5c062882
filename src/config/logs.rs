//! What is logged, and how.

use log::LevelFilter;

use super::duration::ignored_duration;
use super::flags::LogFlags;
use super::usage::UsageError;
use super::values::{listed, one_of};
use crate::logic::operator::log_line::LogFormat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LevelFilter,
    pub format: LogFormat,
}

impl LogConfig {
    pub(super) fn read(flags: &LogFlags, warnings: &mut Vec<String>) -> Result<Self, UsageError> {
        ignored_duration(&flags.log_flush_frequency)?;
        let level = one_of(&flags.log_level, &LEVELS)?;
        let format = flags.log_format.as_str();
        let json = format.eq_ignore_ascii_case("json");
        if !json && !format.eq_ignore_ascii_case("text") {
            warnings.push(format!("{} is neither text nor json: lines are written as text", flags.log_format.shown()));
        }
        Ok(Self {
            level: if flags.verbose { LevelFilter::Debug } else { level },
            format: if json { LogFormat::Json } else { LogFormat::Text },
        })
    }
}

/// The level that a word stands for.
pub fn log_level(word: &str) -> Option<LevelFilter> {
    LEVELS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, level)| *level)
}

/// The words for levels.
pub fn log_levels() -> String {
    listed(&LEVELS.map(|(word, _)| word))
}

/// logrus's names. Its two levels above `error` are for lines that end the process; ours are errors.
const LEVELS: [(&str, LevelFilter); 8] = [
    ("panic", LevelFilter::Error),
    ("fatal", LevelFilter::Error),
    ("error", LevelFilter::Error),
    ("warn", LevelFilter::Warn),
    ("warning", LevelFilter::Warn),
    ("info", LevelFilter::Info),
    ("debug", LevelFilter::Debug),
    ("trace", LevelFilter::Trace),
];
