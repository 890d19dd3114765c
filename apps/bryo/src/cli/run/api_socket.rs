//! `--use-api-socket`: the container gets the daemon's socket and the user's registry credentials.
//!
//! The socket comes as a bind mount, the credentials as a config.json copied in before the start, where `DOCKER_CONFIG` points.

use bryo_spec::docker::{CreateRequest, Mount};
use http::Method;

use super::super::client::{Host, full, request, segment};
use super::super::context::Context;
use super::super::error::{CliError, Result};

/// Where tools in the container look.
const TARGET: &str = "/var/run/docker.sock";

/// The folder of the credentials in the container.
const FOLDER: &str = "/run/secrets/docker";

/// Puts the socket into what is asked for.
pub fn mount(context: &Context, body: &mut CreateRequest) -> Result<()> {
    let Host::Unix(socket) = context.client.host() else {
        return Err(CliError::config(format!(
            "--use-api-socket needs a daemon on a unix socket, not {}",
            context.client.host()
        )));
    };
    let mount = Mount {
        r#type: "bind".to_owned(),
        source: socket.to_string_lossy().into_owned(),
        target: TARGET.to_owned(),
        ..Default::default()
    };
    body.host_config.mounts.get_or_insert_default().push(mount);
    if credentials(context).is_some() {
        let env = body.config.env.get_or_insert_default();
        env.push(format!("DOCKER_CONFIG={FOLDER}"));
    }
    Ok(())
}

/// Copies the credentials into the container that was made.
pub async fn copy(context: &Context, id: &str) -> Result<()> {
    let Some(text) = credentials(context) else { return Ok(()) };
    let path = format!("{}/config.json", FOLDER.trim_start_matches('/'));
    let mut archive = Vec::new();
    bryo_images::bundle::write(&[(path, text.into_bytes())], &mut archive)
        .map_err(|e| CliError::new(e.to_string()))?;
    let url = format!("/containers/{}/archive?path=%2F", segment(id));
    context.client.call(request(Method::PUT, &url, full(archive))?).await.map(drop)
}

/// A config.json of the credentials alone, if there are any.
fn credentials(context: &Context) -> Option<String> {
    let config = context.config.load_or_empty();
    let auths = config.get("auths").filter(|a| a.as_object().is_some_and(|map| !map.is_empty()))?;
    Some(serde_json::json!({ "auths": auths }).to_string())
}
