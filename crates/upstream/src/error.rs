//! What a failed request says about its target.

use std::{error::Error, io};

use hyper_util::client::legacy;
use tollgate_core::{Cause, Class, Failure, Sent};

use crate::connect::{TooLate, Unresolved};

/// Classifies an error of the client. No message holds an address or a URL.
pub(crate) fn failure(error: &legacy::Error) -> Failure {
    if error.is_connect() { connect(error) } else { exchange(error) }
}

fn connect(error: &legacy::Error) -> Failure {
    let (class, code, message) = if find::<TooLate>(error).is_some() {
        let message = "no connection to the upstream within the connect deadline";
        (Class::Timeout, "upstream_connect_timeout", message)
    } else if find::<Unresolved>(error).is_some() {
        (Class::Connect, "upstream_dns", "the upstream's name could not be resolved")
    } else if find::<rustls::Error>(error).is_some() {
        (Class::Connect, "upstream_tls", "no trusted TLS connection to the upstream")
    } else {
        (Class::Connect, "upstream_connect", "the upstream could not be reached")
    };
    Failure::new(class, message).cause(Cause::Connect).sent(Sent::No).code(code)
}

fn exchange(error: &legacy::Error) -> Failure {
    let hyper = find::<hyper::Error>(error);
    let (code, message) = match hyper {
        Some(e) if e.is_parse() => ("upstream_protocol", "the upstream's answer is not HTTP"),
        _ => ("upstream_reset", "the connection to the upstream was lost before it answered"),
    };
    let sent = match hyper {
        Some(e) if e.is_canceled() => Sent::No,
        _ if refused_stream(error) => Sent::No,
        _ => Sent::Maybe,
    };
    Failure::new(Class::ServerError, message).sent(sent).code(code)
}

/// Whether it was the request's own body that broke off.
pub(crate) fn is_senders_fault(error: &legacy::Error) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_user)
}

/// HTTP/2's word for "not processed".
fn refused_stream(error: &legacy::Error) -> bool {
    find::<h2::Error>(error).and_then(h2::Error::reason) == Some(h2::Reason::REFUSED_STREAM)
}

/// Finds an error of type `E` in the chain of causes, also inside `io::Error`s, whose own `source`
/// skips what they wrap.
fn find<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    if let Some(found) = error.downcast_ref() {
        return Some(found);
    }
    if let Some(wrapped) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        return find(wrapped);
    }
    find(error.source()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_io_errors_wrap() {
        let inner = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::DecryptError);
        let outer = io::Error::other(inner);
        assert_eq!(find::<rustls::Error>(&outer), Some(&rustls::Error::DecryptError));
        assert!(find::<rustls::Error>(&io::Error::other("x")).is_none());
    }
}
