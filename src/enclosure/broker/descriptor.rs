//! Messages between two processes, with an open descriptor in them or none.

use std::{
    io, mem,
    os::fd::{AsRawFd, FromRawFd, OwnedFd},
    ptr,
};

/// Room for the one descriptor, aligned as the kernel's header of it must be.
#[repr(C, align(8))]
struct Control([u8; 32]);

/// The length of a header and one descriptor.
fn control_length() -> usize {
    // SAFETY: a computation on numbers.
    let length = unsafe { libc::CMSG_SPACE(size_of::<i32>() as u32) } as usize;
    debug_assert!(length <= size_of::<Control>());
    length
}

pub fn send(socket: &OwnedFd, bytes: &[u8], descriptor: Option<&OwnedFd>) -> io::Result<()> {
    let mut control = Control([0; 32]);
    let mut vector =
        libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    // SAFETY: an all-zero header is a valid value of that plain structure.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    if let Some(descriptor) = descriptor {
        header.msg_control = control.0.as_mut_ptr().cast();
        header.msg_controllen = control_length() as _;
        // SAFETY: the control buffer is aligned, zeroed and has room for one header and one
        // descriptor, so the first header exists and its data are four bytes of ours.
        unsafe {
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            (*first).cmsg_level = libc::SOL_SOCKET;
            (*first).cmsg_type = libc::SCM_RIGHTS;
            (*first).cmsg_len = libc::CMSG_LEN(size_of::<i32>() as u32) as _;
            ptr::write_unaligned(libc::CMSG_DATA(first).cast(), descriptor.as_raw_fd());
        }
    }
    // SAFETY: everything the header points to outlives the call.
    let sent = unsafe { libc::sendmsg(socket.as_raw_fd(), &raw const header, libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// The length of the next message, 0 when the other end is closed, and its descriptor.
pub fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> io::Result<(usize, Option<OwnedFd>)> {
    let mut control = Control([0; 32]);
    let mut vector = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // SAFETY: an all-zero header is a valid value of that plain structure.
    let mut header: libc::msghdr = unsafe { mem::zeroed() };
    header.msg_iov = &raw mut vector;
    header.msg_iovlen = 1;
    header.msg_control = control.0.as_mut_ptr().cast();
    header.msg_controllen = control_length() as _;
    let flags = libc::MSG_CMSG_CLOEXEC;
    let length = loop {
        // SAFETY: everything the header points to is writable and outlives the call.
        let length = unsafe { libc::recvmsg(socket.as_raw_fd(), &raw mut header, flags) };
        match usize::try_from(length) {
            Ok(length) => break length,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    };
    // SAFETY: the kernel filled the control buffer; a header it put there is within it, and one
    // that carries rights carries at least one descriptor, new and nobody else's. There is no room
    // for a second.
    let descriptor = unsafe {
        let first = libc::CMSG_FIRSTHDR(&raw const header);
        let carries = !first.is_null()
            && (*first).cmsg_level == libc::SOL_SOCKET
            && (*first).cmsg_type == libc::SCM_RIGHTS;
        carries.then(|| {
            let number: i32 = ptr::read_unaligned(libc::CMSG_DATA(first).cast());
            OwnedFd::from_raw_fd(number)
        })
    };
    Ok((length, descriptor))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        fs::File,
        io::{Read, Write},
        os::unix::net::UnixDatagram,
    };

    #[test]
    fn a_descriptor_arrives_with_its_message_and_only_there() {
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let (ours, theirs): (OwnedFd, OwnedFd) = (ours.into(), theirs.into());
        let (mut reader, writer) = io::pipe().unwrap();
        send(&ours, b"first", None).unwrap();
        send(&ours, b"second", Some(&writer.into())).unwrap();
        let mut buffer = [0; 64];
        let (length, nothing) = receive(&theirs, &mut buffer).unwrap();
        assert_eq!((&buffer[..length], nothing.is_none()), (&b"first"[..], true));
        let (length, passed) = receive(&theirs, &mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"second");
        File::from(passed.unwrap()).write_all(b"through").unwrap();
        let mut said = String::new();
        reader.read_to_string(&mut said).unwrap();
        assert_eq!(said, "through");
    }
}
