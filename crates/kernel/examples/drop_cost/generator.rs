//! Frames in the way of a driver (no socket buffer exists yet) or of a neighbour container (one does).

use super::ground::FAR_MAC;
use aya::maps::{Array, MapData};
use aya::programs::{SchedClassifier, TestRunAttrs, TestRunOptions, Xdp, XdpMode};
use aya::{Ebpf, TestRun};
use std::error::Error;

const OBJECT: &[u8] = aya::include_bytes_aligned!("../../bpf/bench_generator.o");
/// Frames of one batch, as a driver has them.
const BATCH: u32 = 64;
/// The first source, 10.64.0.0.
pub const BASE: u32 = 0x0a40_0000;

/// How frames are made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Path {
    Driver,
    Neighbour,
}

impl Path {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Driver => "driver",
            Self::Neighbour => "neighbour",
        }
    }
}

pub struct Generator {
    ebpf: Ebpf,
    plan: Array<MapData, [u32; 4]>,
    frame: Vec<u8>,
}

impl Generator {
    /// In the calling thread's namespace, whose loopback must be idle: a program that is attached somewhere is started
    /// without waiting for all cores, which would take longer than a slice of frames.
    pub fn load() -> Result<Self, Box<dyn Error>> {
        let mut ebpf = Ebpf::load(OBJECT)?;
        let driver: &mut Xdp = ebpf.program_mut("driver").ok_or("no program")?.try_into()?;
        driver.load()?;
        driver.attach("lo", XdpMode::Skb)?;
        let neighbour: &mut SchedClassifier = ebpf.program_mut("neighbour").ok_or("no program")?.try_into()?;
        neighbour.load()?;
        let plan = Array::try_from(ebpf.take_map("plan").ok_or("no map")?)?;
        let sender = [2, 0, 0, 0, 0, 2];
        // A datagram of 18 bytes to port 9 of 192.0.2.1; source and checksum are the program's.
        let head = [0x45, 0, 0, 46, 0, 1, 0, 0, 64, 17, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1];
        let datagram = [0x9c, 0x40, 0, 9, 0, 26, 0, 0];
        let mut frame = [&FAR_MAC[..], &sender, &[8, 0], &head, &datagram].concat();
        frame.resize(60, 0);
        Ok(Self { ebpf, plan, frame })
    }

    /// To a link of the caller's namespace (0: to nowhere), from so many sources.
    pub fn aim(&mut self, link: u32, sources: u32) -> Result<(), Box<dyn Error>> {
        Ok(self.plan.set(0, [link, BASE, sources, 1], 0)?)
    }

    /// Sends so many frames from the calling thread.
    pub fn send(&mut self, path: Path, frames: u32) -> Result<(), Box<dyn Error>> {
        let options = TestRunOptions { data_in: Some(&self.frame), repeat: frames, ..TestRunOptions::new() };
        match path {
            Path::Driver => {
                let attrs = TestRunAttrs::new().xdp_live_frames(BATCH);
                let program: &mut Xdp = self.ebpf.program_mut("driver").ok_or("no program")?.try_into()?;
                program.test_run(TestRunOptions { attrs, ..options })?;
            }
            Path::Neighbour => {
                let program: &mut SchedClassifier =
                    self.ebpf.program_mut("neighbour").ok_or("no program")?.try_into()?;
                program.test_run(options)?;
            }
        }
        Ok(())
    }
}
