//! The speed probe: a guest of nine instructions that counts to a million, with a tick on the way
//! every twenty thousand.
//!
//! At each tick the guest leaves `KVM_RUN`, so the thread running it can look at the clock and
//! give up by itself: no child process, no signals. Only a KVM that never comes back at all leaves
//! that thread behind, waiting in the kernel until the process ends; the verdict is in time even
//! then.

use super::KvmVerdict;
use kvm_bindings::{KVM_MAX_CPUID_ENTRIES, kvm_segment, kvm_userspace_memory_region};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::{
    io, ptr,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const MEMORY_BYTES: usize = 4 << 20;
const CODE: u64 = 0x1000;
const PML4: u64 = 0x2000;
const PDPT: u64 = 0x3000;
const PAGE_DIRECTORY: u64 = 0x4000;
const TICK_PORT: u16 = 0x10;
const TICKS: u32 = 50;
const TURNS_PER_TICK: u32 = 20_000;

pub fn run(limit: Duration) -> KvmVerdict {
    let (answer, verdict) = mpsc::sync_channel(1);
    let spawned = thread::Builder::new().name("kvm-probe".into()).spawn(move || {
        // Nobody waits any more when the limit is long over; then the verdict is of no use.
        let _ = answer.send(measure(limit));
    });
    if let Err(error) = spawned {
        return KvmVerdict::Broken(format!("the probe could not start: {error}"));
    }
    // Making the machine takes time too, and the last tick may come after the limit.
    match verdict.recv_timeout(limit * 5) {
        Ok(verdict) => verdict,
        Err(_) => KvmVerdict::Broken("guest code never returned".to_owned()),
    }
}

fn measure(limit: Duration) -> KvmVerdict {
    let kvm = match Kvm::new() {
        Ok(kvm) => kvm,
        Err(error) => return KvmVerdict::Unavailable(format!("`/dev/kvm`: {}", told(error))),
    };
    match Guest::new(&kvm) {
        Ok(mut guest) => guest.count(limit),
        Err(error) => {
            KvmVerdict::Broken(format!("a virtual machine could not be made: {}", told(error)))
        }
    }
}

fn told(error: kvm_ioctls::Error) -> io::Error {
    io::Error::from_raw_os_error(error.errno())
}

/// A virtual machine ready to count. Fields are dropped in order: memory last.
struct Guest {
    cpu: VcpuFd,
    _machine: VmFd,
    _memory: Memory,
}

impl Guest {
    fn new(kvm: &Kvm) -> Result<Guest, kvm_ioctls::Error> {
        let machine = kvm.create_vm()?;
        let mut memory = Memory::new()?;
        memory.write(CODE, &program());
        // One table that maps the first 4 MiB to themselves, in two large pages.
        memory.write(PML4, &(PDPT | 3).to_le_bytes());
        memory.write(PDPT, &(PAGE_DIRECTORY | 3).to_le_bytes());
        memory.write(PAGE_DIRECTORY, &0x83u64.to_le_bytes());
        memory.write(PAGE_DIRECTORY + 8, &0x20_0083u64.to_le_bytes());
        let region = kvm_userspace_memory_region {
            slot: 0,
            flags: 0,
            guest_phys_addr: 0,
            memory_size: MEMORY_BYTES as u64,
            userspace_addr: memory.0 as u64,
        };
        // SAFETY: the mapping is `MEMORY_BYTES` long, and `Guest` drops it after the machine.
        unsafe { machine.set_user_memory_region(region)? };
        let cpu = machine.create_vcpu(0)?;
        cpu.set_cpuid2(&kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?)?;
        enter_long_mode(&cpu)?;
        Ok(Guest { cpu, _machine: machine, _memory: memory })
    }

    fn count(&mut self, limit: Duration) -> KvmVerdict {
        let begun = Instant::now();
        let mut ticks = 0;
        loop {
            match self.cpu.run() {
                Ok(VcpuExit::IoOut(TICK_PORT, _)) => ticks += 1,
                Ok(VcpuExit::Hlt) if ticks == TICKS => return KvmVerdict::Works,
                Ok(exit) => return KvmVerdict::Broken(format!("unexpected exit: {exit:?}")),
                Err(error) if error.errno() == libc::EINTR => {}
                Err(error) => {
                    return KvmVerdict::Broken(format!("guest code failed: {}", told(error)));
                }
            }
            if begun.elapsed() > limit {
                return KvmVerdict::Emulated { limit };
            }
        }
    }
}

/// 64-bit code, since a Linux guest spends its life in that mode.
fn program() -> Vec<u8> {
    let mut code = vec![0xbe]; //                  mov esi, TICKS
    code.extend(TICKS.to_le_bytes());
    code.push(0xb9); //                    outer:  mov ecx, TURNS_PER_TICK
    code.extend(TURNS_PER_TICK.to_le_bytes());
    code.extend([0xff, 0xc9]); //          inner:  dec ecx
    code.extend([0x75, 0xfc]); //                  jnz inner
    code.extend([0xb0, b'.']); //                  mov al, '.'
    code.extend([0xe6, TICK_PORT as u8]); //       out TICK_PORT, al
    code.extend([0xff, 0xce]); //                  dec esi
    code.extend([0x75, 0xef]); //                  jnz outer
    code.push(0xf4); //                            hlt
    code
}

fn enter_long_mode(cpu: &VcpuFd) -> Result<(), kvm_ioctls::Error> {
    let mut system = cpu.get_sregs()?;
    system.cr3 = PML4;
    system.cr4 = 0x20; // Physical address extension.
    system.cr0 = 0x8005_0033; // Paging, write protection, protected mode, numeric errors.
    system.efer = 0x500; // Long mode enabled and active.
    let flat = |selector, type_, l| kvm_segment {
        limit: 0xffff_ffff,
        selector,
        type_,
        present: 1,
        s: 1,
        l,
        db: 1 - l,
        g: 1,
        ..kvm_segment::default()
    };
    system.cs = flat(8, 11, 1);
    let data = flat(16, 3, 0);
    (system.ds, system.es, system.fs, system.gs, system.ss) = (data, data, data, data, data);
    cpu.set_sregs(&system)?;
    let mut general = cpu.get_regs()?;
    (general.rip, general.rflags, general.rsp) = (CODE, 2, 0x8000);
    cpu.set_regs(&general)
}

/// Anonymous memory for the guest.
struct Memory(*mut libc::c_void);

impl Memory {
    fn new() -> Result<Memory, kvm_ioctls::Error> {
        // SAFETY: a fresh private mapping touches nothing that exists.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                MEMORY_BYTES,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(kvm_ioctls::Error::last());
        }
        Ok(Memory(address))
    }

    fn write(&mut self, address: u64, bytes: &[u8]) {
        let address = address as usize;
        assert!(address + bytes.len() <= MEMORY_BYTES, "the guest's memory is 4 MiB");
        // SAFETY: in bounds, as just checked, of a mapping nobody executes yet.
        unsafe {
            ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.cast::<u8>().add(address), bytes.len())
        };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: the mapping made in `new`, unmapped once; the machine using it is gone.
        unsafe { libc::munmap(self.0, MEMORY_BYTES) };
    }
}
