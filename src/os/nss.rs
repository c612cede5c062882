//! Where glibc looks names up, said once for the process.

use std::sync::Once;

/// `/etc/hosts`, then DNS, whatever nsswitch.conf says: the modules it may name (`libnss_resolve.so.2`, `myhostname`)
/// are of the host's glibc, and loading them into a static file of another glibc is undefined. Files and DNS are part
/// of glibc itself from 2.34 on.
#[allow(unsafe_code)]
pub(crate) fn use_files_and_dns() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: Once = Once::new();
        // SAFETY: both are strings that end in NUL and live for ever, as glibc keeps pointers into them. `Once` keeps a
        // second call away, and every lookup of this program comes after it.
        ONCE.call_once(|| unsafe {
            __nss_configure_lookup(c"hosts".as_ptr(), c"files dns".as_ptr());
        });
    }
}

#[cfg(target_env = "gnu")]
#[allow(unsafe_code)]
unsafe extern "C" {
    /// In glibc's `nss.h`.
    fn __nss_configure_lookup(database: *const libc::c_char, service_line: *const libc::c_char) -> libc::c_int;
}
