//! Verbs of the command line itself: contexts.

use super::super::super::flags::Order::{FlagsFirst, Mixed};
use super::super::{Verb, completion, context, explain, login};
use super::ANY;

/// Registries.
pub fn registries() -> Vec<Verb> {
    vec![
        verb!(
            ["login"],
            "[OPTIONS] [SERVER]",
            "Authenticate to a registry",
            [login::LOGIN],
            Mixed,
            (0, 1),
            login::login
        ),
        verb!(["logout"], "[SERVER]", "Log out from a registry", [], Mixed, (0, 1), login::logout),
        verb!(
            ["search"],
            "[OPTIONS] TERM",
            "Search Docker Hub for images",
            [login::SEARCH],
            Mixed,
            (1, 1),
            login::search
        ),
    ]
}

/// What docker does not have.
pub fn own() -> Vec<Verb> {
    vec![
        verb!(
            ["explain"],
            "[CONTAINER|last]",
            "Tell why a container is not running and what to change",
            [],
            Mixed,
            (0, 1),
            explain::explain
        ),
        verb!(
            ["completion"],
            "bash|zsh|fish",
            "Print a completion script for bash, zsh or fish",
            [],
            Mixed,
            (1, 1),
            completion::completion
        ),
        verb!(["__complete"], "", "", [], FlagsFirst, (0, ANY), completion::complete),
    ]
}

/// Named daemons.
pub fn contexts() -> Vec<Verb> {
    vec![
        verb!(
            ["context create"],
            "[OPTIONS] CONTEXT",
            "Create a context",
            [context::CREATE],
            Mixed,
            (1, 1),
            context::create
        ),
        verb!(
            ["context ls", "context list"],
            "[OPTIONS]",
            "List contexts",
            [context::LS],
            Mixed,
            (0, 0),
            context::ls
        ),
        verb!(
            ["context use"],
            "CONTEXT",
            "Set the current docker context",
            [],
            Mixed,
            (1, 1),
            context::use_it
        ),
        verb!(
            ["context show"],
            "",
            "Print the name of the current context",
            [],
            Mixed,
            (0, 0),
            context::show
        ),
        verb!(
            ["context inspect"],
            "[OPTIONS] [CONTEXT] [CONTEXT...]",
            "Display detailed information on one or more contexts",
            [context::INSPECT],
            Mixed,
            (0, ANY),
            context::inspect
        ),
        verb!(
            ["context update"],
            "[OPTIONS] CONTEXT",
            "Update a context",
            [context::UPDATE],
            Mixed,
            (1, 1),
            context::update
        ),
        verb!(
            ["context rm", "context remove"],
            "CONTEXT [CONTEXT...]",
            "Remove one or more contexts",
            [context::RM],
            Mixed,
            (1, ANY),
            context::rm
        ),
        verb!(
            ["context export"],
            "[OPTIONS] CONTEXT [FILE|-]",
            "Export a context to a tar archive FILE or a tar stream on STDOUT.",
            [],
            Mixed,
            (1, 2),
            context::export
        ),
        verb!(
            ["context import"],
            "CONTEXT FILE|-",
            "Import a context from a tar or zip file",
            [],
            Mixed,
            (2, 2),
            context::import
        ),
    ]
}
