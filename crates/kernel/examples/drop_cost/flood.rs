//! Calls of one client while a flood comes in by the same link: how many succeed, and how long they take beside a quiet
//! time of the same round.

use super::generator::{Generator, Path};
use super::ground::{FAR, Ground, NEAR};
use super::way::{WAYS, Way};
use serde_json::{Value, json};
use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const ROUNDS: u32 = 3;
/// Of each half of a round.
const LASTS: Duration = Duration::from_millis(1500);
/// A call that takes longer failed.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);
/// Frames of one slice, and its length: 700,000 a second.
const SLICE: (u32, Duration) = (2800, Duration::from_millis(4));
const PORT: u16 = 8080;

pub fn calls(ground: &Ground, core: usize) -> Result<Vec<Value>, Box<dyn Error>> {
    let listener = ground.defender.run(|| TcpListener::bind(SocketAddr::new(FAR, PORT)))?;
    std::thread::spawn(move || others(core).map(|()| answer(&listener)));
    let mut samples = Vec::new();
    for _ in 0..ROUNDS {
        for (name, make) in
            WAYS.iter().filter(|(name, _)| ["ringwall nftables", "ringwall XDP, limits on"].contains(name))
        {
            let way = make(ground)?;
            for flooded in [false, true] {
                let sample = half(ground, core, flooded).map_err(|error| error.to_string())?;
                samples.push(json!({ "way": name, "flooded": flooded, "sample": sample }));
            }
            Way::end(way, ground)?;
        }
    }
    Ok(samples)
}

fn half(ground: &Ground, core: usize, flooded: bool) -> io::Result<Value> {
    let over = AtomicBool::new(false);
    let (ready, wait) = mpsc::channel();
    let (calls, rate) = std::thread::scope(|scope| {
        let flood = flooded.then(|| {
            let over = &over;
            scope.spawn(move || flood(ground, core, over, &ready).map_err(|error| error.to_string()))
        });
        if flooded && wait.recv().is_err() {
            over.store(true, Ordering::Relaxed);
        }
        let (before, begun) = (ground.arrived(), Instant::now());
        let calls = ground.sender.run(|| call_until(core));
        let (after, seconds) = (ground.arrived(), begun.elapsed().as_secs_f64());
        over.store(true, Ordering::Relaxed);
        match flood.map(|flood| flood.join()) {
            None | Some(Ok(Ok(()))) => {}
            Some(Ok(Err(error))) => return Err(io::Error::other(error)),
            Some(Err(_)) => return Err(io::Error::other("the flood did not end")),
        }
        Ok((calls?, (after?.frames - before?.frames) as f64 / seconds))
    })?;
    let (times, failed) = calls;
    Ok(json!({ "frames_a_second": rate as u64, "calls_us": times, "failed": failed }))
}

/// What comes in has a core and a queue of its own, and no program of the machine delays
/// it, as none delays a card.
fn flood(ground: &Ground, core: usize, over: &AtomicBool, ready: &mpsc::Sender<()>) -> Result<(), Box<dyn Error>> {
    super::Meter::on(core)?;
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    if !Command::new("chrt").args(["--fifo", "--pid", "1", &thread]).status()?.success() {
        return Err("chrt failed".into());
    }
    ground.sender.join()?;
    let mut generator = Generator::load()?;
    generator.aim(ground.link(), super::LISTED)?;
    ready.send(())?;
    let begun = Instant::now();
    let mut slices = 0;
    while !over.load(Ordering::Relaxed) {
        let due = SLICE.1 * slices;
        match due.checked_sub(begun.elapsed()) {
            Some(early) => std::thread::sleep(early),
            // What is late is caught up with, so that the rate is kept on a busy machine.
            None => {
                generator.send(Path::Driver, SLICE.0)?;
                slices += 1;
            }
        }
    }
    Ok(())
}

/// Microseconds of each call that came back, and how many did not.
fn call_until(flooded: usize) -> io::Result<(Vec<u64>, u32)> {
    others(flooded)?;
    let (mut times, mut failed) = (Vec::new(), 0);
    let begun = Instant::now();
    while begun.elapsed() < LASTS {
        let started = Instant::now();
        match call() {
            Ok(()) => times.push(started.elapsed().as_micros() as u64),
            Err(_) => failed += 1,
        }
        std::thread::sleep(PAUSE);
    }
    Ok((times, failed))
}

fn call() -> io::Result<()> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(NEAR, 0).into())?;
    socket.connect_timeout(&SocketAddr::new(FAR, PORT).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(b"call")?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer)
}

/// Binds the calling thread to the cores that the flood does not come in by, when there are others.
fn others(flooded: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    for core in 0..std::thread::available_parallelism()?.get() {
        if core != flooded || flooded == 0 {
            cores.set(core);
        }
    }
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

fn answer(listener: &TcpListener) {
    for mut stream in listener.incoming().flatten() {
        let mut call = [0; 4];
        let _ = stream.set_read_timeout(Some(PATIENCE));
        if stream.read_exact(&mut call).is_ok() {
            let _ = stream.write_all(&call);
        }
    }
}
