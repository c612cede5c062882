//! Configures glibc's name lookup, once per process.

use std::sync::Once;

/// Uses `/etc/hosts`, then DNS, and ignores nsswitch.conf: the modules it may name (`libnss_resolve.so.2`,
/// `myhostname`) belong to the host's glibc, and loading them into a binary linked statically with another glibc is
/// undefined. Files and DNS are part of glibc itself since 2.34.
#[allow(unsafe_code)]
pub(crate) fn use_files_and_dns() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: Once = Once::new();
        // SAFETY: both strings are NUL-terminated and static, as glibc keeps pointers into them. `Once` prevents a
        // second call, and every lookup of this program happens after it.
        ONCE.call_once(|| unsafe {
            __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
        });
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
unsafe extern "C" {
    /// Declared in glibc's `nss.h`.
    fn __nss_configure_lookup(database: *const libc::c_char, service_line: *const libc::c_char) -> libc::c_int;
}
