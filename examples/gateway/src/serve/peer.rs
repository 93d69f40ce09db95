//! Who is at the other end.

use std::{fmt, net::IpAddr, str::FromStr};

use http::HeaderMap;

/// The client's address: the connection's, or what a trusted proxy says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer(pub IpAddr);

impl Peer {
    /// Returns whose request this is: going back through `X-Forwarded-For` from the connection's
    /// own address for as long as a trusted proxy says who stood before it.
    pub(super) fn of(socket: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Self {
        let trusts = |address: IpAddr| trusted.iter().any(|network| network.contains(address));
        let mut peer = socket.to_canonical();
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let said = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        for said in said {
            let Some(before) = address(said).filter(|_| trusts(peer)) else { break };
            peer = before;
        }
        Self(peer)
    }
}

/// Reads an address, with or without a port.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let with_port = || text.parse().map(|address: std::net::SocketAddr| address.ip());
    text.parse().or_else(|_| with_port()).ok().map(|address: IpAddr| address.to_canonical())
}

/// A range of addresses, written `10.0.0.0/8`; an address alone is a range of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// Whether `address` is one of it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                same(u128::from(own.to_bits()) << 96, u128::from(other.to_bits()) << 96, self.bits)
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), self.bits),
            _ => false,
        }
    }
}

/// Whether the first `bits` bits agree.
fn same(a: u128, b: u128, bits: u8) -> bool {
    (a ^ b).leading_zeros() >= u32::from(bits)
}

impl FromStr for Network {
    type Err = UnknownNetwork;

    fn from_str(text: &str) -> Result<Self, UnknownNetwork> {
        let unknown = || UnknownNetwork(text.to_owned());
        let (address, bits) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
        let address: IpAddr = address.parse().map_err(|_| unknown())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.parse().map_err(|_| unknown())?,
            None => width,
        };
        if bits > width { Err(unknown()) } else { Ok(Self { address, bits }) }
    }
}

/// The text is no range of addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownNetwork(String);

impl fmt::Display for UnknownNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is no address or network like `10.0.0.0/8`", self.0)
    }
}

impl std::error::Error for UnknownNetwork {}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(socket: &str, forwarded: &[&'static str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", http::HeaderValue::from_static(line));
        }
        Peer::of(socket.parse().unwrap(), &headers, &trusted).0.to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed() {
        for (socket, forwarded, expected) in [
            ("9.9.9.9", &["1.2.3.4"][..], "9.9.9.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.2.3.4"], "1.2.3.4"),
            ("::ffff:10.0.0.1", &["1.2.3.4:5678"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6, 1.2.3.4, 10.0.0.2"], "1.2.3.4"),
            ("10.0.0.1", &["6.6.6.6", "1.2.3.4"], "1.2.3.4"),
            ("10.0.0.1", &["1.2.3.4, junk"], "10.0.0.1"),
            ("::1", &["[2001:db8::1]:80"], "2001:db8::1"),
        ] {
            assert_eq!(peer(socket, forwarded), expected, "{socket} {forwarded:?}");
        }
    }

    #[test]
    fn networks_are_read_and_checked() {
        let network: Network = "10.1.0.0/15".parse().unwrap();
        assert!(network.contains([10, 0, 9, 9].into()) && !network.contains([10, 2, 0, 0].into()));
        assert!("0.0.0.0/0".parse::<Network>().unwrap().contains([1, 2, 3, 4].into()));
        assert!(!"0.0.0.0/0".parse::<Network>().unwrap().contains("::2".parse().unwrap()));
        for wrong in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "10.0.0.0/"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }
}
