//! The level and format of the log.

use log::LevelFilter;

use super::flags::LogFlags;
use super::pflag::CommandLine;
use super::values::{listed, one_of};
use crate::logic::operator::log_line::LogFormat;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub level: LevelFilter,
    pub format: LogFormat,
}

impl LogConfig {
    pub(super) fn read(flags: &LogFlags, line: &CommandLine<'_>, warnings: &mut Vec<String>) -> Self {
        let format = match flags.log_format {
            FormatWord::Known(format) => format,
            FormatWord::Unknown => {
                let flag = line.shown("log-format");
                warnings.push(format!("{flag} is neither text nor json: lines are written as text"));
                LogFormat::Text
            }
        };
        Self { level: if flags.verbose { LevelFilter::Debug } else { flags.log_level }, format }
    }
}

/// The value of `--log-format`. kube2iam treats an unknown one as `text`.
#[derive(Clone, Copy)]
pub(super) enum FormatWord {
    Known(LogFormat),
    Unknown,
}

pub(super) fn format(text: &str) -> Result<FormatWord, String> {
    Ok(one_of(text, &FORMATS).map_or(FormatWord::Unknown, FormatWord::Known))
}

pub(super) fn level(text: &str) -> Result<LevelFilter, String> {
    one_of(text, &LEVELS)
}

/// The level with this name.
pub fn log_level(word: &str) -> Option<LevelFilter> {
    level(word).ok()
}

/// The names of levels, for a message.
pub fn log_levels() -> String {
    listed(&LEVELS.map(|(word, _)| word))
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
/// The names that logrus uses. Its two levels above `error` end the process; here they mean `error`.
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
