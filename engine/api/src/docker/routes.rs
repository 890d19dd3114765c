//! The table of endpoints, in the order in which they are tried.

use http::Method;

use super::absent;
use super::handlers::{
    archive, attach, container, containers, events, exec, images, lifecycle, logs, networks, stats,
    system, transfer, volumes,
};
use super::router::Route;

macro_rules! route {
    ($method:ident $pattern:literal => $handler:path) => {
        Route::new(Method::$method, $pattern, |call| Box::pin($handler(call)))
    };
}

/// Every endpoint.
pub fn table() -> Vec<Route> {
    let mut routes = system_routes();
    routes.extend(container_routes());
    routes.extend(image_routes());
    routes.extend(network_and_volume_routes());
    routes.extend(plugin_and_build_routes());
    routes.extend(swarm_routes());
    routes
}

fn system_routes() -> Vec<Route> {
    vec![
        route!(GET "/_ping" => system::ping),
        route!(HEAD "/_ping" => system::ping_head),
        route!(GET "/version" => system::version),
        route!(GET "/info" => system::info),
        route!(GET "/events" => events::events),
        route!(GET "/system/df" => system::disk_usage).since(25),
        route!(POST "/auth" => absent::auth),
    ]
}

fn container_routes() -> Vec<Route> {
    vec![
        route!(GET "/containers/json" => containers::list),
        route!(GET "/containers/ps" => containers::list),
        route!(POST "/containers/create" => containers::create),
        route!(POST "/containers/prune" => containers::prune).since(25),
        route!(GET "/containers/{id}/json" => container::inspect),
        route!(GET "/containers/{id}/top" => container::top),
        route!(GET "/containers/{id}/changes" => container::changes),
        route!(POST "/containers/{id}/update" => container::update),
        route!(GET "/containers/{id}/logs" => logs::logs),
        route!(GET "/containers/{id}/stats" => stats::stats),
        route!(POST "/containers/{id}/start" => lifecycle::start),
        route!(POST "/containers/{id}/stop" => lifecycle::stop),
        route!(POST "/containers/{id}/restart" => lifecycle::restart),
        route!(POST "/containers/{id}/kill" => lifecycle::kill),
        route!(POST "/containers/{id}/pause" => lifecycle::pause),
        route!(POST "/containers/{id}/unpause" => lifecycle::unpause),
        route!(POST "/containers/{id}/rename" => lifecycle::rename),
        route!(POST "/containers/{id}/resize" => lifecycle::resize),
        route!(POST "/containers/{id}/wait" => lifecycle::wait),
        route!(DELETE "/containers/{id}" => lifecycle::remove),
        route!(POST "/containers/{id}/attach" => attach::attach),
        route!(GET "/containers/{id}/attach/ws" => absent::attach_websocket),
        route!(HEAD "/containers/{id}/archive" => archive::stat),
        route!(GET "/containers/{id}/archive" => archive::get),
        route!(PUT "/containers/{id}/archive" => archive::put),
        route!(GET "/containers/{id}/export" => archive::export),
        route!(POST "/commit" => archive::commit),
        route!(GET "/containers/{id}/checkpoints" => absent::checkpoints),
        route!(POST "/containers/{id}/checkpoints" => absent::checkpoints),
        route!(DELETE "/containers/{id}/checkpoints/{name}" => absent::checkpoints),
        route!(POST "/containers/{id}/exec" => exec::create),
        route!(POST "/exec/{id}/start" => exec::start),
        route!(POST "/exec/{id}/resize" => exec::resize),
        route!(GET "/exec/{id}/json" => exec::inspect),
    ]
}

fn image_routes() -> Vec<Route> {
    vec![
        route!(GET "/images/json" => images::list),
        route!(GET "/images/search" => absent::search),
        route!(GET "/images/get" => transfer::save_many),
        route!(POST "/images/create" => transfer::create),
        route!(POST "/images/load" => transfer::load),
        route!(POST "/images/prune" => images::prune).since(25),
        route!(GET "/images/{name*}/json" => images::inspect),
        route!(GET "/images/{name*}/history" => images::history),
        route!(GET "/images/{name*}/get" => transfer::save),
        route!(GET "/images/{name*}/attestations" => absent::attestations).since(55),
        route!(POST "/images/{name*}/push" => absent::push),
        route!(POST "/images/{name*}/tag" => images::tag),
        route!(DELETE "/images/{name*}" => images::remove),
        route!(GET "/distribution/{name*}/json" => absent::distribution).since(30),
    ]
}

fn network_and_volume_routes() -> Vec<Route> {
    vec![
        route!(GET "/networks" => networks::list),
        route!(GET "/networks/" => networks::list),
        route!(POST "/networks/create" => networks::create),
        route!(POST "/networks/prune" => networks::prune).since(25),
        route!(GET "/networks/{id}" => networks::inspect),
        route!(POST "/networks/{id}/connect" => networks::connect),
        route!(POST "/networks/{id}/disconnect" => networks::disconnect),
        route!(DELETE "/networks/{id}" => networks::remove),
        route!(GET "/volumes" => volumes::list),
        route!(POST "/volumes/create" => volumes::create),
        route!(POST "/volumes/prune" => volumes::prune).since(25),
        route!(GET "/volumes/{name}" => volumes::inspect),
        route!(PUT "/volumes/{name}" => absent::swarm).since(42),
        route!(DELETE "/volumes/{name}" => volumes::remove),
    ]
}

fn plugin_and_build_routes() -> Vec<Route> {
    vec![
        route!(GET "/plugins" => absent::plugins),
        route!(GET "/plugins/privileges" => absent::plugin_install),
        route!(POST "/plugins/pull" => absent::plugin_install),
        route!(POST "/plugins/create" => absent::plugin_install),
        route!(GET "/plugins/{name*}/json" => absent::plugin),
        route!(POST "/plugins/{name*}/enable" => absent::plugin),
        route!(POST "/plugins/{name*}/disable" => absent::plugin),
        route!(POST "/plugins/{name*}/upgrade" => absent::plugin).since(26),
        route!(POST "/plugins/{name*}/push" => absent::plugin),
        route!(POST "/plugins/{name*}/set" => absent::plugin),
        route!(DELETE "/plugins/{name*}" => absent::plugin),
        route!(POST "/build" => absent::build),
        route!(POST "/build/prune" => absent::build_prune).since(31),
        route!(POST "/build/cancel" => absent::build),
        route!(POST "/session" => absent::buildkit),
        route!(POST "/grpc" => absent::buildkit),
    ]
}

fn swarm_routes() -> Vec<Route> {
    let mut routes = vec![
        route!(GET "/swarm" => absent::swarm),
        route!(POST "/swarm/{verb}" => absent::swarm),
        route!(GET "/swarm/unlockkey" => absent::swarm),
        route!(GET "/services/{id}/logs" => absent::swarm),
        route!(GET "/tasks/{id}/logs" => absent::swarm),
        route!(GET "/tasks" => absent::swarm),
        route!(GET "/tasks/{id}" => absent::swarm),
    ];
    macro_rules! noun {
        ($list:literal, $create:literal, $one:literal, $update:literal) => {
            routes.extend([
                route!(GET $list => absent::swarm),
                route!(POST $create => absent::swarm),
                route!(GET $one => absent::swarm),
                route!(DELETE $one => absent::swarm),
                route!(POST $update => absent::swarm),
            ]);
        };
    }
    noun!("/nodes", "/nodes/create", "/nodes/{id}", "/nodes/{id}/update");
    noun!("/services", "/services/create", "/services/{id}", "/services/{id}/update");
    noun!("/secrets", "/secrets/create", "/secrets/{id}", "/secrets/{id}/update");
    noun!("/configs", "/configs/create", "/configs/{id}", "/configs/{id}/update");
    routes
}
