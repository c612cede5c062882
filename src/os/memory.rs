//! Limits the process's memory: bounded malloc arenas, and a trim after start.

/// Limits glibc's arenas and thresholds: by default each of a thousand short-lived threads could get its own arena, and
/// the memory of a large list would be retained.
#[allow(unsafe_code)]
pub fn limit_arenas() {
    for (option, value) in
        [(libc::M_ARENA_MAX, ARENAS), (libc::M_MMAP_THRESHOLD, LARGE_BYTES), (libc::M_TRIM_THRESHOLD, LARGE_BYTES)]
    {
        // SAFETY: mallopt takes two plain integers and is called before any other thread exists.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Returns free heap memory to the system.
#[allow(unsafe_code)]
pub fn trim() {
    // SAFETY: malloc_trim takes a plain integer and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Whether there is address space for the heap to grow by [`HEADROOM`]. A failed thread start is handled, but a heap
/// that can't grow ends the process, so stacks must leave headroom under a tight rlimit or overcommit accounting.
#[allow(unsafe_code)]
pub fn has_headroom() -> bool {
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the kernel chooses the address of the new pages, nothing refers to them, and exactly they are unmapped.
    unsafe {
        let pages = libc::mmap(std::ptr::null_mut(), HEADROOM, rights, kind, -1, 0);
        pages != libc::MAP_FAILED && libc::munmap(pages, HEADROOM) == 0
    }
}

/// Bytes that a thousand concurrent requests take besides their stacks.
const HEADROOM: usize = 8 << 20;
const ARENAS: i32 = 2;
/// Blocks of at least this size are returned to the system as soon as they are freed.
const LARGE_BYTES: i32 = 64 * 1_024;

#[cfg(test)]
mod tests;
