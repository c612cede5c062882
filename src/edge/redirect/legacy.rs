//! The older iptables' `nat` table, through the socket options it is kept by (linux/netfilter_ipv4/ip_tables.h).
//!
//! Read only where the kernel says that the table is there: asking for it would load it. Changed only under iptables'
//! own lock, for it has no transactions: the whole table is handed over, and a rule somebody added meanwhile is lost.
#![allow(unsafe_code)] // getsockopt and setsockopt with options that no crate knows

use std::fs::File;
use std::io::{self, ErrorKind};
use std::mem::size_of;
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::logic::redirect::leftover::TABLE;
use crate::logic::redirect::legacy::{HOOKS, LegacyRule, LegacyTable, old_rules, without};

use super::message::native_u32;

/// The calling thread's network, not the process's.
const NAMES: &str = "/proc/thread-self/net/ip_tables_names";
/// Held by every iptables while it changes something (`-w`); on the node, not in a container.
const LOCK: &str = "/run/xtables.lock";
/// As long as `iptables -w 5` would wait, in steps.
const LOCK_STEP: Duration = Duration::from_millis(50);
const LOCK_STEPS: u32 = 100;
/// kube2iam adds one rule per interface; a repeated `--append` may have left a few more.
const REMOVALS_MAX: usize = 16;

/// `IPT_SO_GET_INFO`, `IPT_SO_GET_ENTRIES`, `IPT_SO_SET_REPLACE`, `IPT_SO_SET_ADD_COUNTERS`.
const GET_INFO: i32 = 64;
const GET_ENTRIES: i32 = 65;
const SET_REPLACE: i32 = 64;
const SET_ADD_COUNTERS: i32 = 65;
/// `struct ipt_getinfo`: name, hooks, entry points, policies, number of entries, bytes.
const NAME_BYTES: usize = 32;
const INFO_BYTES: usize = NAME_BYTES + 4 + 4 * HOOKS + 4 * HOOKS + 4 + 4;
/// `struct ipt_get_entries` and `struct xt_counters_info` up to what they hold.
const LIST_HEADER_BYTES: usize = 40;
/// `struct xt_counters`: packets, bytes.
type Counters = [u64; 2];

/// The table; `None` if the kernel has none.
pub(super) fn read() -> io::Result<Option<LegacyTable>> {
    match std::fs::read_to_string(NAMES) {
        Ok(names) if names.lines().any(|name| name == TABLE) => read_table(&socket()?).map(Some),
        Ok(_) => Ok(None),
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Takes kube2iam's rules out and says how many there were.
pub(super) fn remove_old_rules(metadata: &[Ipv4Addr]) -> io::Result<usize> {
    let _lock = lock()?;
    let socket = socket()?;
    for removed in 0..REMOVALS_MAX {
        let Some(table) = read()? else { return Ok(removed) };
        let rules = old_rules(&table, metadata).ok_or_else(unreadable)?;
        let Some(rule) = rules.first() else { return Ok(removed) };
        let rest = without(&table, rule).ok_or_else(unreadable)?;
        replace(&socket, &table, &rest, rule)?;
    }
    Ok(REMOVALS_MAX)
}

fn unreadable() -> io::Error {
    io::Error::from(ErrorKind::InvalidData)
}

/// Any IPv4 socket carries these options.
fn socket() -> io::Result<UdpSocket> {
    UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))
}

fn lock() -> io::Result<File> {
    let file = File::open(LOCK)?;
    for _ in 0..LOCK_STEPS {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(Errno::WOULDBLOCK) => std::thread::park_timeout(LOCK_STEP),
            Err(cause) => return Err(cause.into()),
        }
    }
    Err(io::Error::from(ErrorKind::TimedOut))
}

fn read_table(socket: &UdpSocket) -> io::Result<LegacyTable> {
    let mut info = named(INFO_BYTES);
    get(socket, GET_INFO, &mut info)?;
    let field = |index: usize| native_u32(&info, NAME_BYTES + 4 * index).ok_or_else(unreadable);
    let hooks = |first: usize| -> io::Result<[u32; HOOKS]> {
        let mut offsets = [0; HOOKS];
        for (index, offset) in offsets.iter_mut().enumerate() {
            *offset = field(first + index)?;
        }
        Ok(offsets)
    };
    let bytes = field(2 + 2 * HOOKS)?;
    let mut list = named(LIST_HEADER_BYTES + usize::try_from(bytes).unwrap_or_default());
    list[NAME_BYTES..NAME_BYTES + 4].copy_from_slice(&bytes.to_ne_bytes());
    // Refused if the table has grown or shrunk in between.
    get(socket, GET_ENTRIES, &mut list)?;
    Ok(LegacyTable {
        valid_hooks: field(0)?,
        hook_entry: hooks(1)?,
        underflow: hooks(1 + HOOKS)?,
        count: field(1 + 2 * HOOKS)?,
        entries: list.split_off(LIST_HEADER_BYTES),
    })
}

/// Puts `rest` in the place of `table`, then gives the rules that stay their counters back.
fn replace(socket: &UdpSocket, table: &LegacyTable, rest: &LegacyTable, rule: &LegacyRule) -> io::Result<()> {
    let mut counters: Vec<Counters> = vec![[0; 2]; usize::try_from(table.count).unwrap_or_default()];
    let mut request = named(NAME_BYTES);
    let size = u32::try_from(rest.entries.len()).map_err(|_| unreadable())?;
    for number in [rest.valid_hooks, rest.count, size] {
        request.extend(number.to_ne_bytes());
    }
    for offset in rest.hook_entry.iter().chain(&rest.underflow) {
        request.extend(offset.to_ne_bytes());
    }
    request.extend(table.count.to_ne_bytes());
    request.extend((counters.as_mut_ptr() as usize).to_ne_bytes());
    // Entries are aligned to eight bytes whatever the size of a pointer.
    request.resize(request.len().next_multiple_of(8), 0);
    request.extend(&rest.entries);
    // SAFETY: the kernel reads `request` within its length. It writes as many counters as the request says, `table.count`,
    // to the address it names, which is `counters`, of that many elements and alive until after the call; it refuses the
    // request if the present table has another number of entries.
    unsafe { set(socket, SET_REPLACE, &request) }?;
    add_counters(socket, &counters, rule.index)
}

fn add_counters(socket: &UdpSocket, counters: &[Counters], removed: usize) -> io::Result<()> {
    let kept: Vec<&Counters> = counters.iter().enumerate().filter(|(at, _)| *at != removed).map(|(_, c)| c).collect();
    let mut request = named(LIST_HEADER_BYTES);
    let count = u32::try_from(kept.len()).map_err(|_| unreadable())?;
    request[NAME_BYTES..NAME_BYTES + 4].copy_from_slice(&count.to_ne_bytes());
    request.extend(kept.into_iter().flatten().flat_map(|number| number.to_ne_bytes()));
    // SAFETY: the kernel reads `request` within its length, and it holds no address.
    unsafe { set(socket, SET_ADD_COUNTERS, &request) }
}

/// `length` bytes that begin with the table's name.
fn named(length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    bytes[..TABLE.len()].copy_from_slice(TABLE.as_bytes());
    bytes
}

fn get(socket: &UdpSocket, option: i32, value: &mut [u8]) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(value.len()).map_err(|_| unreadable())?;
    // SAFETY: `value` is `length` bytes that may be written, and the kernel writes no more than that.
    let code = unsafe {
        libc::getsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, value.as_mut_ptr().cast(), &raw mut length)
    };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// # Safety
///
/// What `option` makes the kernel write to addresses within `value` must be memory of ours, of the size it expects.
unsafe fn set(socket: &UdpSocket, option: i32, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).map_err(|_| unreadable())?;
    // SAFETY: the kernel reads `length` bytes of `value`; for anything it writes the caller vouches.
    let code = unsafe { libc::setsockopt(socket.as_raw_fd(), libc::IPPROTO_IP, option, value.as_ptr().cast(), length) };
    if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

const _: () = assert!(size_of::<Counters>() == 16);
