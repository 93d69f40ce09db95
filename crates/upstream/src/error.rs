//! What a failed request says about its target.

use std::{error::Error, io};

use tollgate_core::{Cause, Class, Failure, Sent};

use crate::{
    connect::{TooLate, Unresolved},
    pool::Unanswered,
    proxy::ProxyFailed,
};

/// Classifies an error of the client. No message holds an address or a URL.
pub(crate) fn failure(error: &Unanswered) -> Failure {
    match error {
        Unanswered::Connect(_) => connect(error),
        Unanswered::Exchange(_) => exchange(error),
    }
}

fn connect(error: &Unanswered) -> Failure {
    let (class, code, message) = if find::<TooLate>(error).is_some() {
        let message = "no connection to the upstream within the connect deadline";
        (Class::Timeout, "upstream_connect_timeout", message)
    } else if find::<ProxyFailed>(error).is_some() {
        (Class::Connect, "upstream_proxy", "no connection to the upstream through the proxy")
    } else if find::<Unresolved>(error).is_some() {
        (Class::Connect, "upstream_dns", "the upstream's name could not be resolved")
    } else if find::<rustls::Error>(error).is_some() {
        (Class::Connect, "upstream_tls", "no trusted TLS connection to the upstream")
    } else {
        (Class::Connect, "upstream_connect", "the upstream could not be reached")
    };
    Failure::new(class, message).cause(Cause::Connect).sent(Sent::No).code(code)
}

fn exchange(error: &Unanswered) -> Failure {
    if find::<rustls::Error>(error).is_some_and(is_refusal_of_us) {
        let message =
            "the upstream refused the TLS connection, which asks for a client certificate";
        let failure = Failure::new(Class::Connect, message).cause(Cause::Connect);
        return failure.sent(Sent::No).code("upstream_tls");
    }
    let hyper = find::<hyper::Error>(error);
    let (code, message) = match hyper {
        Some(e) if e.is_parse() => ("upstream_protocol", "the upstream's answer is not HTTP"),
        _ => ("upstream_reset", "the connection to the upstream was lost before it answered"),
    };
    let sent = match hyper {
        Some(e) if e.is_canceled() => Sent::No,
        _ if is_unprocessed(error) => Sent::No,
        _ => Sent::Maybe,
    };
    Failure::new(Class::ServerError, message).sent(sent).code(code)
}

/// Whether the peer found our certificate, or its absence, wanting. With TLS 1.3 that is heard only
/// after the first bytes of the request went out; no server reads them.
fn is_refusal_of_us(error: &rustls::Error) -> bool {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = error else { return false };
    matches!(
        alert,
        Alert::CertificateRequired
            | Alert::NoCertificate
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied
    )
}

/// Whether it was the request's own body that broke off.
pub(crate) fn is_senders_fault(error: &Unanswered) -> bool {
    find::<hyper::Error>(error).is_some_and(hyper::Error::is_user)
}

/// Whether HTTP/2 says that the request was not processed: its stream was refused (RFC 9113,
/// section 8.7), or lies beyond the last one a GOAWAY names (section 6.8). The streams before that
/// one do not end with this error.
pub(crate) fn is_unprocessed(error: &Unanswered) -> bool {
    find::<h2::Error>(error).is_some_and(|error| {
        let refused = error.reason() == Some(h2::Reason::REFUSED_STREAM);
        error.is_remote() && (refused || error.is_go_away())
    })
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
