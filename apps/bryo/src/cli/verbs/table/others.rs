//! Verbs of images, volumes, networks and the whole.

use super::super::super::flags::Order::Mixed;
use super::super::super::pull;
use super::super::{
    Verb, df, events, history, images, info, inspect, network, system, transfer, version, volume,
};
use super::ANY;

/// Images.
pub fn image_verbs() -> Vec<Verb> {
    vec![
        verb!(
            ["images", "image ls", "image list"],
            "[OPTIONS] [REPOSITORY[:TAG]]",
            "List images",
            [images::FLAGS],
            Mixed,
            (0, 1),
            images::images
        ),
        verb!(
            ["pull", "image pull"],
            "[OPTIONS] NAME[:TAG|@DIGEST]",
            "Download an image from a registry",
            [pull::FLAGS],
            Mixed,
            (1, 1),
            pull::pull
        ),
        verb!(
            ["push", "image push"],
            "[OPTIONS] NAME[:TAG]",
            "Upload an image to a registry",
            [pull::PUSH],
            Mixed,
            (1, 1),
            pull::push
        ),
        verb!(
            ["rmi", "image rm", "image remove"],
            "[OPTIONS] IMAGE [IMAGE...]",
            "Remove one or more images",
            [images::RMI],
            Mixed,
            (1, ANY),
            images::rmi
        ),
        verb!(
            ["tag", "image tag"],
            "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
            "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
            [],
            Mixed,
            (2, 2),
            images::tag
        ),
        verb!(
            ["history", "image history"],
            "[OPTIONS] IMAGE",
            "Show the history of an image",
            [history::FLAGS],
            Mixed,
            (1, 1),
            history::history
        ),
        verb!(
            ["image inspect"],
            "[OPTIONS] IMAGE [IMAGE...]",
            "Display detailed information on one or more images",
            [inspect::IMAGE],
            Mixed,
            (1, ANY),
            inspect::image
        ),
        verb!(
            ["save", "image save"],
            "[OPTIONS] IMAGE [IMAGE...]",
            "Save one or more images to a tar archive (streamed to STDOUT by default)",
            [transfer::OUTPUT, transfer::SAVE],
            Mixed,
            (1, ANY),
            transfer::save
        ),
        verb!(
            ["load", "image load"],
            "[OPTIONS]",
            "Load an image from a tar archive or STDIN",
            [transfer::LOAD],
            Mixed,
            (0, 0),
            transfer::load
        ),
        verb!(
            ["import", "image import"],
            "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
            "Import the contents from a tarball to create a filesystem image",
            [transfer::IMPORT],
            Mixed,
            (1, 2),
            transfer::import
        ),
        verb!(
            ["image prune"],
            "[OPTIONS]",
            "Remove unused images",
            [system::IMAGE_PRUNE],
            Mixed,
            (0, 0),
            system::image_prune
        ),
    ]
}

/// Volumes and networks.
pub fn volume_and_network() -> Vec<Verb> {
    vec![
        verb!(
            ["volume create"],
            "[OPTIONS] [VOLUME]",
            "Create a volume",
            [volume::CREATE],
            Mixed,
            (0, 1),
            volume::create
        ),
        verb!(
            ["volume ls", "volume list"],
            "[OPTIONS]",
            "List volumes",
            [volume::LS],
            Mixed,
            (0, 0),
            volume::ls
        ),
        verb!(
            ["volume inspect"],
            "[OPTIONS] VOLUME [VOLUME...]",
            "Display detailed information on one or more volumes",
            [inspect::VOLUME],
            Mixed,
            (1, ANY),
            inspect::volume
        ),
        verb!(
            ["volume rm", "volume remove"],
            "[OPTIONS] VOLUME [VOLUME...]",
            "Remove one or more volumes",
            [volume::RM],
            Mixed,
            (1, ANY),
            volume::rm
        ),
        verb!(
            ["volume prune"],
            "[OPTIONS]",
            "Remove unused local volumes",
            [system::VOLUME_PRUNE],
            Mixed,
            (0, 0),
            system::volume_prune
        ),
        verb!(
            ["network create"],
            "[OPTIONS] NETWORK",
            "Create a network",
            [network::CREATE],
            Mixed,
            (1, 1),
            network::create
        ),
        verb!(
            ["network ls", "network list"],
            "[OPTIONS]",
            "List networks",
            [network::LS],
            Mixed,
            (0, 0),
            network::ls
        ),
        verb!(
            ["network inspect"],
            "[OPTIONS] NETWORK [NETWORK...]",
            "Display detailed information on one or more networks",
            [inspect::NETWORK],
            Mixed,
            (1, ANY),
            inspect::network
        ),
        verb!(
            ["network rm", "network remove"],
            "NETWORK [NETWORK...]",
            "Remove one or more networks",
            [network::RM],
            Mixed,
            (1, ANY),
            network::rm
        ),
        verb!(
            ["network connect"],
            "[OPTIONS] NETWORK CONTAINER",
            "Connect a container to a network",
            [network::CONNECT],
            Mixed,
            (2, 2),
            network::connect
        ),
        verb!(
            ["network disconnect"],
            "[OPTIONS] NETWORK CONTAINER",
            "Disconnect a container from a network",
            [network::DISCONNECT],
            Mixed,
            (2, 2),
            network::disconnect
        ),
        verb!(
            ["network prune"],
            "[OPTIONS]",
            "Remove all unused networks",
            [system::PRUNE],
            Mixed,
            (0, 0),
            system::network_prune
        ),
    ]
}

/// The whole.
pub fn whole_system() -> Vec<Verb> {
    vec![
        verb!(
            ["version"],
            "[OPTIONS]",
            "Show the Docker version information",
            [version::FLAGS],
            Mixed,
            (0, 0),
            version::version
        ),
        verb!(
            ["info", "system info"],
            "[OPTIONS]",
            "Display system-wide information",
            [info::FLAGS],
            Mixed,
            (0, 0),
            info::info
        ),
        verb!(
            ["events", "system events"],
            "[OPTIONS]",
            "Get real time events from the server",
            [events::FLAGS],
            Mixed,
            (0, 0),
            events::events
        ),
        verb!(
            ["system df"],
            "[OPTIONS]",
            "Show docker disk usage",
            [df::FLAGS],
            Mixed,
            (0, 0),
            df::df
        ),
        verb!(
            ["system prune"],
            "[OPTIONS]",
            "Remove unused data",
            [system::SYSTEM_PRUNE],
            Mixed,
            (0, 0),
            system::prune
        ),
        verb!(
            ["system dial-stdio"],
            "",
            "Proxy the stdio stream to the daemon connection",
            [],
            Mixed,
            (0, 0),
            system::dial_stdio
        ),
    ]
}
