//! Which addresses the calling process's network namespace has routes to, so that no network of containers hides them.

use std::net::IpAddr;

use bryo_sys::netlink::{Batch, Family, Socket};

use crate::error::{Context, Error};
use crate::rtnl;

/// The destinations of the main table's routes, with their prefix lengths; default routes are left out.
///
/// # Errors
/// The kernel refuses a netlink socket or the listing.
pub fn routed() -> Result<Vec<(IpAddr, u8)>, Error> {
    let socket = Socket::open(Family::Route).context("open a netlink socket")?;
    let mut found = Vec::new();
    for v6 in [false, true] {
        let mut batch = Batch::new();
        rtnl::list_routes(&mut batch, v6);
        socket
            .dump(batch, |answer| found.extend(rtnl::destination(answer)))
            .context("list the host's routes")?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_a_namespace() -> Result<(), Error> {
        let socket = Socket::open(Family::Route).context("open")?;
        let mut batch = Batch::new();
        rtnl::add_bridge(&mut batch, "br-routes", [2, 0, 0, 0, 0, 1], 1500);
        socket.submit(batch).context("bridge")?;
        let index = socket.interface("br-routes").context("index")?;
        let mut batch = Batch::new();
        rtnl::link_up(&mut batch, index);
        rtnl::add_address(&mut batch, index, IpAddr::from([10, 77, 0, 1]), 16);
        rtnl::add_route(
            &mut batch,
            rtnl::Route::Default { gateway: IpAddr::from([10, 77, 0, 9]), index },
        );
        socket.submit(batch).context("address and route")
    }

    #[test]
    fn routes_of_the_main_table_are_found_and_no_default_one() {
        let ended = bryo_sys::fork::in_child(|| {
            if bryo_sys::ns::unshare_user_as_root().is_err()
                || bryo_sys::ns::unshare(&[bryo_sys::ns::Kind::Net]).is_err()
            {
                return 77;
            }
            match in_a_namespace().and_then(|()| routed()) {
                Ok(found) => i32::from(found != [(IpAddr::from([10, 77, 0, 0]), 16)]),
                Err(_) => 2,
            }
        });
        match ended.unwrap().code() {
            77 => println!("SKIPPED: user namespaces are forbidden here"),
            code => assert_eq!(code, 0),
        }
    }
}
