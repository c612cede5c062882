//! A TCP relay in front of a service, and the weather between its two sides: connections that are refused, cut, reset,
//! that fall silent, whose bytes come one by one or changed. Which befalls a connection, and when, dice decide.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::random::Random;
use super::standins::wire::spawn;

/// A listening relay, until dropped.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    upstream: SocketAddr,
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    weather: Weather,
    random: Random,
    open: HashMap<u64, Pair>,
    born: u64,
    harmed: usize,
}

struct Pair {
    client: TcpStream,
    server: TcpStream,
    harm: Harm,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weather {
    Calm,
    Storm,
    /// The relay is gone.
    Over,
}

/// What happens to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Harm {
    None,
    /// Closed as soon as it is there.
    Refused,
    /// Ended in good TCP order after so many bytes.
    Cut(Way, usize),
    /// Ended with RST.
    Reset(Way, usize),
    /// Nothing passes any more in this direction, and nobody is told.
    Silent(Way, usize),
    /// One bit after so many bytes is another, and again after as many.
    Flipped(Way, usize),
    /// Its first bytes come one by one.
    Dripping(Way),
}

/// Whose bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    FromClient,
    FromServer,
}

impl Relay {
    pub fn start(upstream: SocketAddr, random: Random) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("bind a relay");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = State { weather: Weather::Calm, random, open: HashMap::new(), born: 0, harmed: 0 };
        let shared = Arc::new(Shared { upstream, state: Mutex::new(state), changed: Condvar::new() });
        let relaying = shared.clone();
        spawn("bad-relay", move || {
            for client in listener.incoming().flatten() {
                if relaying.state.lock().weather == Weather::Over {
                    break;
                }
                let _ = join(&relaying, client);
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on harm comes to most connections; those that are open are cut at once.
    pub fn storm(&self) {
        self.shared.state.lock().weather = Weather::Storm;
        self.cut();
    }

    /// No harm any more. What was harmed is cut, as by a network that works again and knows nothing of old connections.
    pub fn calm(&self) {
        let mut state = self.shared.state.lock();
        state.weather = Weather::Calm;
        let harmed = state.open.extract_if(|_, pair| pair.harm != Harm::None);
        harmed.for_each(|(_, pair)| pair.close());
        drop(state);
        self.shared.changed.notify_all();
    }

    /// Hangs up on everybody.
    pub fn cut(&self) {
        self.shared.state.lock().open.drain().for_each(|(_, pair)| pair.close());
        self.shared.changed.notify_all();
    }

    /// How many connections have come to harm.
    pub fn harmed(&self) -> usize {
        self.shared.state.lock().harmed
    }

    /// Waits until `count` more have, at most `limit`.
    pub fn wait_for_harm(&self, count: usize, limit: Duration) {
        let deadline = Instant::now() + limit;
        let mut state = self.shared.state.lock();
        let goal = state.harmed + count;
        while state.harmed < goal && !self.shared.changed.wait_until(&mut state, deadline).timed_out() {}
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.state.lock().weather = Weather::Over;
        let _ = TcpStream::connect(self.address);
        self.cut();
    }
}

impl Pair {
    fn close(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl State {
    /// What befalls the next connection. Now and then nothing does, so that things get on even in a storm.
    fn harm(&mut self) -> Harm {
        if self.weather != Weather::Storm {
            return Harm::None;
        }
        let way = if self.random.roll(3) == 0 { Way::FromClient } else { Way::FromServer };
        // Within the first head or handshake, within the first answer, or later.
        let reach = [120, 2_500, 20_000][self.random.roll(3) as usize];
        let after = self.random.roll(reach) as usize;
        match self.random.roll(8) {
            0 => Harm::None,
            1 => Harm::Refused,
            2 => Harm::Cut(way, after),
            3 => Harm::Reset(way, after),
            4 => Harm::Silent(way, after),
            5 | 6 => Harm::Flipped(way, after),
            _ => Harm::Dripping(way),
        }
    }
}

impl Shared {
    fn note_harm(&self) {
        self.state.lock().harmed += 1;
        self.changed.notify_all();
    }

    fn close(&self, id: u64) {
        if let Some(pair) = self.state.lock().open.remove(&id) {
            pair.close();
        }
        self.changed.notify_all();
    }

    /// Ends the client's side with RST (connect(2), `AF_UNSPEC`).
    fn reset(&self, id: u64) {
        let pair = self.state.lock().open.remove(&id);
        if let Some(pair) = pair {
            let _ = rustix::net::connect_unspec(&pair.client);
            pair.close();
        }
        self.changed.notify_all();
    }

    fn wait_closed(&self, id: u64) {
        let deadline = Instant::now() + LONGEST_SILENCE;
        let mut state = self.state.lock();
        while state.open.contains_key(&id) && !self.changed.wait_until(&mut state, deadline).timed_out() {}
    }
}

fn join(shared: &Arc<Shared>, client: TcpStream) -> std::io::Result<()> {
    let harm = shared.state.lock().harm();
    if harm == Harm::Refused {
        shared.note_harm();
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(shared.upstream)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let id = {
        let mut state = shared.state.lock();
        state.born += 1;
        let id = state.born;
        state.open.insert(id, Pair { client: client.try_clone()?, server: server.try_clone()?, harm });
        id
    };
    let ways = [(Way::FromClient, client.try_clone()?, server.try_clone()?), (Way::FromServer, server, client)];
    for (way, from, to) in ways {
        let shared = shared.clone();
        spawn("bad-relay", move || {
            pass_on(&shared, id, harm.on(way), &from, &to);
            let _ = to.shutdown(Shutdown::Write);
            // What the other side still has to say is of no use to who has gone.
            if way == Way::FromServer {
                shared.close(id);
            }
        });
    }
    Ok(())
}

impl Harm {
    /// What of it concerns the bytes that go this way.
    fn on(self, way: Way) -> Self {
        match self {
            Self::Cut(meant, _)
            | Self::Reset(meant, _)
            | Self::Silent(meant, _)
            | Self::Flipped(meant, _)
            | Self::Dripping(meant)
                if meant == way =>
            {
                self
            }
            _ => Self::None,
        }
    }
}

fn pass_on(shared: &Shared, id: u64, harm: Harm, mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = [0; 16 * 1024];
    let mut passed = 0;
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        let part = &mut buffer[..count];
        let sent = match harm {
            Harm::Cut(_, after) | Harm::Reset(_, after) | Harm::Silent(_, after) if passed + count > after => {
                let _ = to.write_all(&part[..after.saturating_sub(passed)]);
                shared.note_harm();
                match harm {
                    Harm::Cut(..) => shared.close(id),
                    Harm::Reset(..) => shared.reset(id),
                    _ => shared.wait_closed(id),
                }
                return;
            }
            Harm::Flipped(_, after) => {
                let step = after.max(CLOSEST_FLIPS);
                let first = step - 1 - passed % step;
                for place in (first..count).step_by(step) {
                    part[place] ^= 1 << ((passed + place) % 8);
                    shared.note_harm();
                }
                to.write_all(part)
            }
            Harm::Dripping(_) if passed < DRIPPING_BYTES => {
                shared.note_harm();
                part.iter().try_for_each(|byte| to.write_all(&[*byte]))
            }
            _ => to.write_all(part),
        };
        passed += count;
        if sent.is_err() {
            return;
        }
    }
}

/// Ends with the test in any case.
const LONGEST_SILENCE: Duration = Duration::from_secs(120);
const CLOSEST_FLIPS: usize = 100;
const DRIPPING_BYTES: usize = 8 * 1024;
