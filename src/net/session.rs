//! A connection over TLS: the client's transport around a finished handshake.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::{ClientConnection, StreamOwned};
use ureq::unversioned::transport::{Buffers, LazyBuffers, NextTimeout, Transport, TransportAdapter};

use super::head::Head;
use super::socket::Socket;
use super::tls::{Handshake, Identity, expiry};
use super::{HttpError, HttpErrorKind};

/// One connection, encrypted.
pub(super) struct Session {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter<Socket>>,
    identity: Arc<Identity>,
    head: Head,
    /// The server has said something since the handshake.
    is_answered: bool,
}

impl Session {
    /// Shakes hands over a connection that stands, whose timeout is set.
    pub(super) fn begin(
        mut handshake: Handshake,
        mut wire: TransportAdapter<Socket>,
        buffers: LazyBuffers,
        head: Head,
    ) -> Result<Self, ureq::Error> {
        if let Err(error) = handshake.complete(&mut wire) {
            let why = handshake.why(&error);
            return Err(HttpError::of_handshake(&error.into(), why).into());
        }
        let Handshake { connection, identity, .. } = handshake;
        Ok(Self { buffers, stream: StreamOwned::new(connection, wire), identity, head, is_answered: false })
    }

    /// When the server's certificate expires, in Unix seconds.
    pub(super) fn certificate_expiry(&self) -> Option<i64> {
        expiry(self.stream.conn.peer_certificates()?.first()?)
    }

    /// In TLS 1.3 the client is done before the server has looked at its certificate: the refusal comes as the first
    /// thing that is read.
    fn failed(&self, error: io::Error) -> ureq::Error {
        if self.is_answered || !self.identity.is_asked() {
            return error.into();
        }
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            // It said so instead of reading on.
            Some(rustls::Error::AlertReceived(alert)) => {
                HttpError::new(HttpErrorKind::Tls, self.identity.refused(Some(*alert))).into()
            }
            // It may have read on.
            None if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                HttpError::new(HttpErrorKind::Reset, self.identity.refused(None)).into()
            }
            _ => error.into(),
        }
    }
}

impl Transport for Session {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let output = self.buffers.output().get(..amount).unwrap_or_default();
        let (first, rest) = self.head.complete(output);
        let written = self.stream.write_all(&first).and_then(|()| self.stream.write_all(rest));
        written.map_err(|error| self.failed(error))
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        match self.stream.read(self.buffers.input_append_buf()) {
            Ok(read) => {
                self.buffers.input_appended(read);
                self.is_answered |= read > 0;
                Ok(read > 0)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    fn is_open(&mut self) -> bool {
        self.head.comes_next();
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("socket", self.stream.get_ref().get_ref()).finish_non_exhaustive()
    }
}
