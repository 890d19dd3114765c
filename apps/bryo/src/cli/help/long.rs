//! Descriptions of commands that need more than a line; `{}` is the command as called.

use super::super::verbs::Verb;

/// The long description, if the command has one.
pub fn text(verb: &Verb) -> Option<String> {
    let text = match verb.names.first().copied().unwrap_or_default() {
        "cp" => format!("{}\n\n{CP}", verb.about),
        "login" => {
            format!("{}.\n{}", verb.about, "Defaults to Docker Hub if no server is specified.")
        }
        "logout" => format!(
            "{}.\n{}",
            verb.about, "If no server is specified, the default is defined by the daemon."
        ),
        "context create" | "context update" => {
            format!("{}\n\n{ENDPOINT}\n\nExample:\n\n{EXAMPLE}", verb.about)
        }
        "volume rm" => {
            format!("{}. You cannot remove a volume that is in use by a container.", verb.about)
        }
        "stats" => return None,
        _ => return None,
    };
    Some(text)
}

const CP: &str = "Use '-' as the source to read a tar archive from stdin\n\
    and extract it to a directory destination in a container.\n\
    Use '-' as the destination to stream a tar archive of a\n\
    container source to stdout.";

const ENDPOINT: &str = "Docker endpoint config:\n\n\
    NAME                DESCRIPTION\n\
    from                Copy named context's Docker endpoint configuration\n\
    host                Docker endpoint on which to connect\n\
    ca                  Trust certs signed only by this CA\n\
    cert                Path to TLS certificate file\n\
    key                 Path to TLS key file\n\
    skip-tls-verify     Skip TLS certificate validation";

const EXAMPLE: &str = "$ {} my-context --description \"some description\" --docker \
    \"host=tcp://myserver:2376,ca=~/ca-file,cert=~/cert-file,key=~/key-file\"";
