//! The binary: reads the command line and wires the rooms together.

fn main() {}
