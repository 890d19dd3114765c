//! nf_tables expressions as bytes: the few that the gate's rules are made of.
//!
//! A rule is a row of expressions; each loads something into register 1, compares it or acts. The first comparison
//! that does not hold ends the rule. Numbers are those of linux/netfilter/nf_tables.h.

use std::net::IpAddr;

use bryo_sys::netlink::Payload;

/// Register 1 (16 bytes) and register 2.
const REG_1: u32 = 1;
const REG_2: u32 = 2;
const REG_VERDICT: u32 = 0;

const NFTA_LIST_ELEM: u16 = 1;
const NFTA_EXPR_NAME: u16 = 1;
const NFTA_EXPR_DATA: u16 = 2;
const NFTA_DATA_VALUE: u16 = 1;
const NFTA_DATA_VERDICT: u16 = 2;

const META_MARK: u32 = 3;
const META_IIFNAME: u32 = 6;
const META_OIFNAME: u32 = 7;
const META_NFPROTO: u32 = 15;
const META_L4PROTO: u32 = 16;

const BASE_NETWORK: u32 = 1;
const BASE_TRANSPORT: u32 = 2;

/// Transport protocol numbers.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;

const NFPROTO_IPV4: u8 = 2;
const NFPROTO_IPV6: u8 = 10;

/// Where an address stands in the packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The source.
    Source,
    /// The destination.
    Destination,
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy)]
pub enum Verdict {
    /// It goes on.
    Accept,
    /// It vanishes.
    Drop,
    /// Another chain decides, then this one goes on.
    Jump(&'static str),
}

/// The expressions of one rule, under construction.
#[derive(Debug)]
pub struct Expressions<'a, 'b> {
    list: &'a mut Payload<'b>,
}

impl<'a, 'b> Expressions<'a, 'b> {
    /// Writes into the rule's list.
    pub fn new(list: &'a mut Payload<'b>) -> Self {
        Expressions { list }
    }

    fn add(&mut self, name: &str, fill: impl FnOnce(&mut Payload<'_>)) -> &mut Self {
        self.list.nest(NFTA_LIST_ELEM, |element| {
            element.str(NFTA_EXPR_NAME, name).nest(NFTA_EXPR_DATA, fill);
        });
        self
    }

    fn meta(&mut self, key: u32) -> &mut Self {
        self.add("meta", |e| {
            e.be32(1, REG_1).be32(2, key);
        })
    }

    fn compare(&mut self, equal: bool, value: &[u8]) -> &mut Self {
        self.add("cmp", |e| {
            e.be32(1, REG_1).be32(2, u32::from(!equal)).nest(3, |data| {
                data.attr(NFTA_DATA_VALUE, value);
            });
        })
    }

    fn payload(&mut self, base: u32, offset: u32, length: u32) -> &mut Self {
        self.add("payload", |e| {
            e.be32(1, REG_1).be32(2, base).be32(3, offset).be32(4, length);
        })
    }

    fn mask(&mut self, mask: &[u8]) -> &mut Self {
        let length = u32::try_from(mask.len()).unwrap_or(0);
        self.add("bitwise", |e| {
            e.be32(1, REG_1).be32(2, REG_1).be32(3, length);
            e.nest(4, |data| {
                data.attr(NFTA_DATA_VALUE, mask);
            });
            e.nest(5, |data| {
                data.attr(NFTA_DATA_VALUE, &vec![0; mask.len()]);
            });
        })
    }

    fn interface(&mut self, key: u32, name: &str, equal: bool) -> &mut Self {
        let mut padded = [0u8; 16];
        for (to, from) in padded.iter_mut().zip(name.bytes().take(15)) {
            *to = from;
        }
        self.meta(key).compare(equal, &padded)
    }

    /// The packet came in by this interface.
    pub fn entering(&mut self, name: &str) -> &mut Self {
        self.interface(META_IIFNAME, name, true)
    }

    /// The packet goes out by this interface.
    pub fn leaving(&mut self, name: &str) -> &mut Self {
        self.interface(META_OIFNAME, name, true)
    }

    /// It is of IPv6 (or of IPv4).
    pub fn family(&mut self, v6: bool) -> &mut Self {
        let family = if v6 { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
        self.meta(META_NFPROTO).compare(true, &[family])
    }

    /// Its transport protocol.
    pub fn transport(&mut self, protocol: u8) -> &mut Self {
        self.meta(META_L4PROTO).compare(true, &[protocol])
    }

    /// An address of the packet is inside (or outside) a subnet; also checks the family.
    pub fn subnet(&mut self, side: Side, network: IpAddr, prefix: u8, inside: bool) -> &mut Self {
        let bytes = crate::rtnl::octets(network);
        let mask = prefix_mask(prefix, bytes.len());
        let masked: Vec<u8> = bytes.iter().zip(&mask).map(|(a, m)| a & m).collect();
        let (offset, length) = match (network.is_ipv6(), side) {
            (false, Side::Source) => (12, 4),
            (false, Side::Destination) => (16, 4),
            (true, Side::Source) => (8, 16),
            (true, Side::Destination) => (24, 16),
        };
        self.family(network.is_ipv6())
            .payload(BASE_NETWORK, offset, length)
            .mask(&mask)
            .compare(inside, &masked)
    }

    /// A first SYN: of SYN, ACK, RST and FIN only SYN is set.
    pub fn first_syn(&mut self) -> &mut Self {
        self.transport(TCP).payload(BASE_TRANSPORT, 13, 1).mask(&[0x17]).compare(true, &[0x02])
    }

    /// A transparent socket of this namespace is the packet's receiver.
    pub fn transparent_socket(&mut self) -> &mut Self {
        self.add("socket", |e| {
            e.be32(1, 0).be32(2, REG_1);
        })
        .compare(true, &[1])
    }

    /// Hands the packet to the transparent socket at `address`:`port` (or to a connected one that fits better).
    pub fn tproxy(&mut self, address: IpAddr, port: u16) -> &mut Self {
        let family = if address.is_ipv6() { NFPROTO_IPV6 } else { NFPROTO_IPV4 };
        self.load(REG_1, &crate::rtnl::octets(address)).load(REG_2, &port.to_be_bytes()).add(
            "tproxy",
            |e| {
                e.be32(1, u32::from(family)).be32(2, REG_1).be32(3, REG_2);
            },
        )
    }

    fn load(&mut self, register: u32, value: &[u8]) -> &mut Self {
        self.add("immediate", |e| {
            e.be32(1, register).nest(2, |data| {
                data.attr(NFTA_DATA_VALUE, value);
            });
        })
    }

    /// Sets the packet's mark (for the routing rules).
    pub fn set_mark(&mut self, mark: u32) -> &mut Self {
        self.load(REG_1, &mark.to_ne_bytes()).add("meta", |e| {
            e.be32(2, META_MARK).be32(3, REG_1);
        })
    }

    /// Decides.
    pub fn verdict(&mut self, verdict: Verdict) -> &mut Self {
        let (code, chain) = match verdict {
            Verdict::Drop => (0, None),
            Verdict::Accept => (1, None),
            // NFT_JUMP is -3.
            Verdict::Jump(chain) => (u32::MAX - 2, Some(chain)),
        };
        self.add("immediate", |e| {
            e.be32(1, REG_VERDICT).nest(2, |data| {
                data.nest(NFTA_DATA_VERDICT, |v| {
                    v.be32(1, code);
                    if let Some(chain) = chain {
                        v.str(2, chain);
                    }
                });
            });
        })
    }
}

fn prefix_mask(prefix: u8, length: usize) -> Vec<u8> {
    let mut left = u32::from(prefix);
    (0..length)
        .map(|_| {
            let bits = left.min(8);
            left -= bits;
            u8::MAX.checked_shl(8 - bits).unwrap_or(0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::prefix_mask;

    #[test]
    fn masks_of_odd_lengths() {
        assert_eq!(prefix_mask(12, 4), [0xff, 0xf0, 0, 0]);
        assert_eq!(prefix_mask(0, 4), [0; 4]);
        assert_eq!(prefix_mask(32, 4), [0xff; 4]);
        assert_eq!(prefix_mask(65, 16)[7..10], [0xff, 0x80, 0]);
    }
}
