//! Verbs of containers.

use super::super::super::flags::Order::{FlagsFirst, Mixed};
use super::super::super::run;
use super::super::{
    Verb, attach, container, cp, exec, inspect, lifecycle, logs, ps, stats, system, transfer,
};
use super::ANY;

/// What containers are made and looked at with.
pub fn containers() -> Vec<Verb> {
    vec![
        verb!(
            ["run", "container run"],
            "[OPTIONS] IMAGE [COMMAND] [ARG...]",
            "Create and run a new container from an image",
            [run::flags::COMMON, run::flags::WINDOWS, run::flags::RUN],
            FlagsFirst,
            (1, ANY),
            run::run
        ),
        verb!(
            ["create", "container create"],
            "[OPTIONS] IMAGE [COMMAND] [ARG...]",
            "Create a new container",
            [run::flags::COMMON, run::flags::WINDOWS, run::flags::CREATE],
            FlagsFirst,
            (1, ANY),
            run::create
        ),
        verb!(
            ["exec", "container exec"],
            "[OPTIONS] CONTAINER COMMAND [ARG...]",
            "Execute a command in a running container",
            [exec::FLAGS],
            FlagsFirst,
            (2, ANY),
            exec::exec
        ),
        verb!(
            ["attach", "container attach"],
            "[OPTIONS] CONTAINER",
            "Attach local standard input, output, and error streams to a running container",
            [attach::FLAGS],
            Mixed,
            (1, 1),
            attach::attach
        ),
        verb!(
            ["start", "container start"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Start one or more stopped containers",
            [attach::START_FLAGS],
            Mixed,
            (1, ANY),
            attach::start
        ),
        verb!(
            ["ps", "container ls", "container list", "container ps"],
            "[OPTIONS]",
            "List containers",
            [ps::FLAGS],
            Mixed,
            (0, 0),
            ps::ps
        ),
        verb!(
            ["logs", "container logs"],
            "[OPTIONS] CONTAINER",
            "Fetch the logs of a container",
            [logs::FLAGS],
            Mixed,
            (1, 1),
            logs::logs
        ),
        verb!(
            ["inspect"],
            "[OPTIONS] NAME|ID [NAME|ID...]",
            "Return low-level information on Docker objects",
            [inspect::FLAGS],
            Mixed,
            (1, ANY),
            inspect::any
        ),
        verb!(
            ["container inspect"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Display detailed information on one or more containers",
            [inspect::CONTAINER],
            Mixed,
            (1, ANY),
            inspect::container
        ),
        verb!(
            ["cp", "container cp"],
            "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\t{} [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
            "Copy files/folders between a container and the local filesystem",
            [cp::FLAGS],
            Mixed,
            (2, 2),
            cp::cp
        ),
        verb!(
            ["export", "container export"],
            "[OPTIONS] CONTAINER",
            "Export a container's filesystem as a tar archive",
            [transfer::OUTPUT],
            Mixed,
            (1, 1),
            transfer::export
        ),
        verb!(
            ["commit", "container commit"],
            "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
            "Create a new image from a container's changes",
            [transfer::COMMIT],
            Mixed,
            (1, 2),
            transfer::commit
        ),
        verb!(
            ["diff", "container diff"],
            "CONTAINER",
            "Inspect changes to files or directories on a container's filesystem",
            [],
            Mixed,
            (1, 1),
            container::diff
        ),
        verb!(
            ["top", "container top"],
            "CONTAINER [ps OPTIONS]",
            "Display the running processes of a container",
            [],
            FlagsFirst,
            (1, ANY),
            container::top
        ),
        verb!(
            ["stats", "container stats"],
            "[OPTIONS] [CONTAINER...]",
            "Display a live stream of container(s) resource usage statistics",
            [stats::FLAGS],
            Mixed,
            (0, ANY),
            stats::stats
        ),
        verb!(
            ["port", "container port"],
            "CONTAINER [PRIVATE_PORT[/PROTO]]",
            "List port mappings or a specific mapping for the container",
            [],
            Mixed,
            (1, 2),
            container::port
        ),
    ]
}

/// What tells them what to do.
pub fn container_state() -> Vec<Verb> {
    vec![
        verb!(
            ["stop", "container stop"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Stop one or more running containers",
            [lifecycle::STOP],
            Mixed,
            (1, ANY),
            lifecycle::stop
        ),
        verb!(
            ["restart", "container restart"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Restart one or more containers",
            [lifecycle::STOP],
            Mixed,
            (1, ANY),
            lifecycle::restart
        ),
        verb!(
            ["kill", "container kill"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Kill one or more running containers",
            [lifecycle::KILL],
            Mixed,
            (1, ANY),
            lifecycle::kill
        ),
        verb!(
            ["pause", "container pause"],
            "CONTAINER [CONTAINER...]",
            "Pause all processes within one or more containers",
            [],
            Mixed,
            (1, ANY),
            lifecycle::pause
        ),
        verb!(
            ["unpause", "container unpause"],
            "CONTAINER [CONTAINER...]",
            "Unpause all processes within one or more containers",
            [],
            Mixed,
            (1, ANY),
            lifecycle::unpause
        ),
        verb!(
            ["wait", "container wait"],
            "CONTAINER [CONTAINER...]",
            "Block until one or more containers stop, then print their exit codes",
            [],
            Mixed,
            (1, ANY),
            lifecycle::wait
        ),
        verb!(
            ["rename", "container rename"],
            "CONTAINER NEW_NAME",
            "Rename a container",
            [],
            Mixed,
            (2, 2),
            lifecycle::rename
        ),
        verb!(
            ["rm", "container rm", "container remove"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Remove one or more containers",
            [lifecycle::RM],
            Mixed,
            (1, ANY),
            lifecycle::rm
        ),
        verb!(
            ["update", "container update"],
            "[OPTIONS] CONTAINER [CONTAINER...]",
            "Update configuration of one or more containers",
            [container::UPDATE],
            Mixed,
            (1, ANY),
            container::update
        ),
        verb!(
            ["container prune"],
            "[OPTIONS]",
            "Remove all stopped containers",
            [system::PRUNE],
            Mixed,
            (0, 0),
            system::container_prune
        ),
    ]
}
