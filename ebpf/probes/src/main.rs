//! The kernel programs of the tracepoint tier. What each hook is and what it was tried on stands at
//! the head of its module; how records look, in `outis-abi`.
//!
//! They filter, copy, submit and count, and decide nothing. There are no field offsets in here:
//! user space resolves them in the kernel's BTF (`outis_abi::Field`) and sets them before loading.

#![no_std]
#![no_main]
#![feature(core_intrinsics)]
#![expect(internal_features, reason = "the atomic addition of `out::next`")]

mod cgroup;
mod exec;
mod exit;
mod filter;
mod fork;
mod kernel;
mod open;
mod out;
mod seen;
mod socket;
mod task;
mod walk;

/// Kernel helpers that follow kernel pointers are for GPL-compatible programs.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    // The verifier refuses a program that could get here.
    loop {}
}
