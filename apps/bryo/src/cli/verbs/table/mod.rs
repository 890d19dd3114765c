//! The table of verbs.

/// No bound.
const ANY: usize = usize::MAX;

/// A line of the table.
macro_rules! verb {
    ($names:expr, $usage:literal, $about:literal, $flags:expr, $order:expr, $args:expr, $run:path) => {
        Verb {
            names: &$names,
            usage: $usage,
            about: $about,
            flags: &$flags,
            order: $order,
            args: $args,
            run: |context, parsed| Box::pin($run(context, parsed)),
        }
    };
}

mod client;
mod containers;
mod others;

use super::Verb;

/// All verbs.
pub fn table() -> Vec<Verb> {
    let mut table = containers::containers();
    table.extend(containers::container_state());
    table.extend(others::image_verbs());
    table.extend(others::volume_and_network());
    table.extend(others::whole_system());
    table.extend(client::contexts());
    table.extend(client::registries());
    table.extend(client::own());
    table
}
