//! The version, commit and date of the build.

/// The build, for `--version` and for the metric `kube2iam_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Build {
    pub version: &'static str,
    pub commit: &'static str,
    pub date: &'static str,
}

/// This build. Commit and date come from the compiler's environment, so that builds are reproducible to the byte.
pub const BUILD: Build = Build {
    version: env!("CARGO_PKG_VERSION"),
    commit: match option_env!("KUBE2IAM_COMMIT") {
        Some(commit) => commit,
        None => "unknown",
    },
    date: match option_env!("KUBE2IAM_BUILD_DATE") {
        Some(date) => date,
        None => "unknown",
    },
};

impl Build {
    /// The line that `--version` prints, in kube2iam's format.
    pub fn line(&self) -> String {
        format!("Version: {} - Commit: {} - Date: {}", self.version, self.commit, self.date)
    }
}
