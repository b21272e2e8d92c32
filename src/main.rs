//! The `pillars` program.

fn main() {}
