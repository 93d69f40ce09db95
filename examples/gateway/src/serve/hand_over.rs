//! A listener passed from a running gateway to the one that takes its place.
//!
//! Both accept from the same socket until the old one closes its half of it, so no connection is
//! lost: with two sockets on one port the kernel resets what waits at the one that is closed.

use std::{
    fs, io,
    io::{IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::Path,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest},
    net::{TcpListener, UnixListener, UnixStream},
};

/// What a successor says once it serves.
const SERVING: u8 = b'1';

/// A running gateway's offer of its listener, at a socket file.
#[derive(Debug)]
pub struct Offer {
    door: UnixListener,
    listener: OwnedFd,
}

impl Offer {
    /// Offers `listener` at `path`, in the place of whoever did before.
    ///
    /// Errors: the file cannot be made, or the process has no file descriptor left.
    pub fn new(path: &Path, listener: &TcpListener) -> io::Result<Self> {
        let listener = listener.as_fd().try_clone_to_owned()?;
        let fresh = path.with_extension(format!("{}.sock", std::process::id()));
        let _ = fs::remove_file(&fresh);
        let door = UnixListener::bind(&fresh)?;
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600))?;
        fs::rename(&fresh, path)?;
        Ok(Self { door, listener })
    }

    /// Completes when a successor serves on the listener. One that asks and fails changes nothing.
    pub async fn taken(self) {
        loop {
            let Ok((successor, _)) = self.door.accept().await else { continue };
            if hand(successor, self.listener.as_fd()).await.is_ok() {
                return;
            }
        }
    }
}

async fn hand(mut successor: UnixStream, listener: BorrowedFd<'_>) -> io::Result<()> {
    successor.writable().await?;
    successor.try_io(Interest::WRITABLE, || send(&successor, listener))?;
    match successor.read_u8().await? {
        SERVING => Ok(()),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

fn send(to: &UnixStream, listener: BorrowedFd<'_>) -> io::Result<()> {
    let listener = [listener];
    let message = SendAncillaryMessage::ScmRights(&listener);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = SendAncillaryBuffer::new(&mut space);
    with.push(message);
    sendmsg(to, &[IoSlice::new(b"L")], &mut with, SendFlags::empty())?;
    Ok(())
}

/// The gateway whose listener was taken over; it goes on until it is told.
#[derive(Debug)]
pub struct Predecessor(UnixStream);

impl Predecessor {
    /// Takes the listener that is offered at `path`.
    ///
    /// Errors: nobody offers one there, or what is there is no listener.
    pub async fn at(path: &Path) -> io::Result<(TcpListener, Self)> {
        let door = UnixStream::connect(path).await?;
        door.readable().await?;
        let listener = door.try_io(Interest::READABLE, || receive(&door))?;
        let listener = std::net::TcpListener::from(listener);
        listener.set_nonblocking(true)?;
        Ok((TcpListener::from_std(listener)?, Self(door)))
    }

    /// Tells it that its successor serves: it accepts no more and lets running answers end.
    pub async fn relieve(mut self) -> io::Result<()> {
        self.0.write_u8(SERVING).await
    }
}

fn receive(from: &UnixStream) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut with = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(from, &mut [IoSliceMut::new(&mut byte)], &mut with, RecvFlags::CMSG_CLOEXEC)?;
    let rights = with.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut listeners) => listeners.next(),
        _ => None,
    });
    rights.ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use tokio::net::TcpStream;

    use super::*;

    struct Door(PathBuf);

    impl Door {
        fn new(name: &str) -> Self {
            Self(std::env::temp_dir().join(format!("tg-{name}-{}.sock", std::process::id())))
        }
    }

    impl Drop for Door {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    #[tokio::test]
    async fn a_successor_accepts_what_its_predecessor_had_queued() {
        let door = Door::new("queued");
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = first.local_addr().unwrap();
        let offer = tokio::spawn(Offer::new(&door.0, &first).unwrap().taken());
        let _client = TcpStream::connect(address).await.unwrap();
        let (second, predecessor) = Predecessor::at(&door.0).await.unwrap();
        predecessor.relieve().await.unwrap();
        offer.await.unwrap();
        drop(first);
        second.accept().await.expect("what was queued");
        TcpStream::connect(address).await.expect("it still listens");
    }

    #[tokio::test]
    async fn a_successor_that_fails_changes_nothing() {
        let door = Door::new("fails");
        let first = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let offer = tokio::spawn(Offer::new(&door.0, &first).unwrap().taken());
        drop(Predecessor::at(&door.0).await.unwrap());
        let (_, predecessor) = Predecessor::at(&door.0).await.expect("it is still offered");
        assert!(!offer.is_finished());
        predecessor.relieve().await.unwrap();
        offer.await.unwrap();
    }

    #[tokio::test]
    async fn nobody_to_take_from_is_an_error() {
        assert!(Predecessor::at(&Door::new("nobody").0).await.is_err());
    }
}
