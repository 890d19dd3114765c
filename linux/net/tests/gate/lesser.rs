//! The data path for kernels without tproxy: the same promises.

use crate::Case;
use crate::world::World;
use crate::{outbound, policy, published};

pub const CASES: &[Case] = &[
    ("lesser_outbound_half_close", |w| on(w, outbound::half_close)),
    ("lesser_outbound_errors", |w| on(w, outbound::errors)),
    ("lesser_outbound_udp", |w| on(w, outbound::udp)),
    ("lesser_outbound_udp_large_and_many", |w| on(w, outbound::udp_many)),
    ("lesser_outbound_ipv6", |w| on(w, outbound::ipv6)),
    ("lesser_outbound_same_port_again", |w| on(w, outbound::same_port)),
    ("lesser_outbound_thousand_connections", |w| on(w, outbound::thousand)),
    ("lesser_published_tcp", |w| on(w, published::tcp_addresses)),
    ("lesser_published_udp", |w| on(w, published::udp_addresses)),
    ("lesser_published_hairpin", |w| on(w, published::hairpin)),
    ("lesser_policy_loopback", |w| on(w, policy::loopback)),
    ("lesser_policy_resolvers", |w| on(w, policy::resolvers)),
    ("lesser_policy_forged", |w| on(w, policy::forged)),
];

fn on(world: &mut World, case: fn(&mut World)) {
    world.use_lesser_path();
    case(world);
}
