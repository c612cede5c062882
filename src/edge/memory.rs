//! How much memory the process holds: bounded arenas at start, and what starting up took given back after it.

use std::fs;
use std::ops::Range;

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

/// Gives back free heap, and the pages of the program itself that only starting up, a TLS handshake or a storm needed.
/// Those that are needed again come back out of the page cache one by one. Without `/proc` nothing is given back.
#[allow(unsafe_code)]
pub fn give_back() {
    // SAFETY: malloc_trim takes a plain integer and may be called at any time from any thread.
    unsafe { libc::malloc_trim(0) };
    let (Ok(maps), Ok(program)) = (fs::read_to_string("/proc/self/maps"), std::env::current_exe()) else { return };
    for pages in code_of(&program.to_string_lossy(), &maps) {
        // SAFETY: `pages` is a mapping of the program's own file that nothing ever wrote to: code, or the constants at
        // the file's very start. Dropping its pages changes no byte: the next access reads the same ones from the file.
        unsafe { libc::madvise(pages.start as *mut libc::c_void, pages.len(), libc::MADV_DONTNEED) };
    }
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

/// The mappings of `program` that are never written: executable ones, and the read-only one at the file's start. Others
/// that are read-only now were written before, when addresses were put in, and must stay.
fn code_of(program: &str, maps: &str) -> Vec<Range<usize>> {
    maps.lines().filter_map(|line| mapping(program, line)).collect()
}

/// Reads `start-end rights offset device inode path` (proc_pid_maps(5)).
fn mapping(program: &str, line: &str) -> Option<Range<usize>> {
    let mut words = line.split_ascii_whitespace();
    let (range, rights, offset) = (words.next()?, words.next()?, words.next()?);
    let is_programs = line.splitn(6, ' ').nth(5)?.trim_start() == program;
    let unwritten = rights == "r-xp" || rights == "r--p" && usize::from_str_radix(offset, 16) == Ok(0);
    let (start, end) = range.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    (is_programs && unwritten).then_some(range)
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
    fn only_what_was_never_written_is_given_back() {
        let maps = "\
7f0000000000-7f0000100000 r--p 00000000 fe:00 17                         /kube2iam
7f0000100000-7f0000300000 r-xp 00100000 fe:00 17                         /kube2iam
7f0000300000-7f0000318000 r--p 00300000 fe:00 17                         /kube2iam
7f0000318000-7f000031a000 rw-p 00318000 fe:00 17                         /kube2iam
7f0000400000-7f0000500000 r-xp 00000000 fe:00 18                         /lib/libc.so.6
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0                          [stack]
7ffc00100000-7ffc00102000 r-xp 00000000 00:00 0                          [vdso]
nonsense
";
        assert_eq!(
            code_of("/kube2iam", maps),
            [0x7f00_0000_0000..0x7f00_0010_0000, 0x7f00_0010_0000..0x7f00_0030_0000]
        );
    }

    #[test]
    fn looking_for_headroom_takes_none() {
        assert!((0..10_000).all(|_| has_headroom()));
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let words = vec![String::from("still"); 1_000];
        give_back();
        assert_eq!(words.concat().len(), 5_000);
    }
}
