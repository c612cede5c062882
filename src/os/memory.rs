//! How much memory the process holds: bounded arenas at start, and what starting up took given back after it.

/// Keeps the memory of a thousand short-lived threads from spreading: glibc would give each its own arena, and would
/// keep what a large list took.
#[allow(unsafe_code)]
pub fn bound() {
    for (option, value) in
        [(libc::M_ARENA_MAX, ARENAS), (libc::M_MMAP_THRESHOLD, LARGE_BYTES), (libc::M_TRIM_THRESHOLD, LARGE_BYTES)]
    {
        // SAFETY: mallopt takes two plain integers and is called before any other thread exists.
        unsafe { libc::mallopt(option, value) };
    }
}

/// Gives free heap back to the system. Clean pages of the program's file are the kernel's to take.
#[allow(unsafe_code)]
pub fn give_back() {
    // SAFETY: malloc_trim takes a plain integer and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
}

/// Whether there is address space for the heap to grow by [`HEADROOM`]. Whoever is refused a stack does without; a heap
/// that can't grow ends the process. So stacks must leave something, wherever an rlimit or the kernel's accounting is tight.
#[allow(unsafe_code)]
pub fn has_headroom() -> bool {
    let (rights, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: the kernel chooses where the new pages lie, nobody knows of them, and exactly they are unmapped again.
    unsafe {
        let pages = libc::mmap(std::ptr::null_mut(), HEADROOM, rights, kind, -1, 0);
        pages != libc::MAP_FAILED && libc::munmap(pages, HEADROOM) == 0
    }
}

/// What a thousand requests at once take beside their stacks.
const HEADROOM: usize = 8 << 20;
const ARENAS: i32 = 2;
/// Blocks from this size on go back to the system as soon as they are free.
const LARGE_BYTES: i32 = 64 * 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_for_headroom_takes_none() {
        assert!((0..10_000).all(|_| has_headroom()));
    }
}
