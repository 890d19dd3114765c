//! The prunes, `system dial-stdio`.

use bryo_spec::docker::units::human_size;
use bryo_spec::docker::{
    ContainersPruned, ImageRemoved, ImagesPruned, NetworksPruned, VolumesPruned,
};

use super::super::client::{filters, query};
use super::super::context::Context;
use super::super::error::{CliError, Result};
use super::super::flags::{Flag, Parsed, many, switch};
use super::super::stdio;
use super::confirm;

const FORCE: Flag = switch("force", Some('f'), "Do not prompt for confirmation");
const UNTIL: Flag =
    many("filter", None, "filter", "Provide filter values (e.g. \"until=<timestamp>\")");

/// Flags of prunes.
pub const PRUNE: &[Flag] = &[UNTIL, FORCE];

/// Flags of `image prune`.
pub const IMAGE_PRUNE: &[Flag] =
    &[switch("all", Some('a'), "Remove all unused images, not just dangling ones"), UNTIL, FORCE];

/// Flags of `volume prune`.
pub const VOLUME_PRUNE: &[Flag] = &[
    switch("all", Some('a'), "Remove all unused volumes, not just anonymous ones"),
    many("filter", None, "filter", "Provide filter values (e.g. \"label=<label>\")"),
    FORCE,
];

/// Flags of `system prune`.
pub const SYSTEM_PRUNE: &[Flag] = &[
    switch("all", Some('a'), "Remove all unused images not just dangling ones"),
    many("filter", None, "filter", "Provide filter values (e.g. \"label=<key>=<value>\")"),
    switch("force", Some('f'), "Do not prompt for confirmation"),
    switch("volumes", None, "Prune anonymous volumes"),
];

/// `container prune`.
pub async fn container_prune(context: Context, p: Parsed) -> Result<u8> {
    if confirm(p.is("force"), "WARNING! This will remove all stopped containers.")? {
        let freed = prune_containers(&context, &p.all("filter")).await?;
        total(freed);
    }
    Ok(0)
}

/// `image prune`.
pub async fn image_prune(context: Context, p: Parsed) -> Result<u8> {
    let warning = match p.is("all") {
        true => {
            "WARNING! This will remove all images without at least one container associated to them."
        }
        false => "WARNING! This will remove all dangling images.",
    };
    if confirm(p.is("force"), warning)? {
        let freed = prune_images(&context, p.is("all"), &p.all("filter")).await?;
        total(freed);
    }
    Ok(0)
}

/// `volume prune`.
pub async fn volume_prune(context: Context, p: Parsed) -> Result<u8> {
    let warning = match p.is("all") {
        true => "WARNING! This will remove all local volumes not used by at least one container.",
        false => {
            "WARNING! This will remove anonymous local volumes not used by at least one container."
        }
    };
    if confirm(p.is("force"), warning)? {
        let mut filters = p.all("filter");
        if p.is("all") {
            filters.push("all=1".to_owned());
        }
        let freed = prune_volumes(&context, &filters).await?;
        total(freed);
    }
    Ok(0)
}

/// `network prune`.
pub async fn network_prune(context: Context, p: Parsed) -> Result<u8> {
    let warning =
        "WARNING! This will remove all custom networks not used by at least one container.";
    if confirm(p.is("force"), warning)? {
        prune_networks(&context, &p.all("filter")).await?;
    }
    Ok(0)
}

/// `system prune`.
pub async fn prune(context: Context, p: Parsed) -> Result<u8> {
    let mut warning = "WARNING! This will remove:\n  - all stopped containers\n  - all networks not used by at least one container\n".to_owned();
    if p.is("volumes") {
        warning += "  - all anonymous volumes not used by at least one container\n";
    }
    warning += match p.is("all") {
        true => "  - all images without at least one container associated to them\n",
        false => "  - all dangling images\n",
    };
    warning += if p.is("all") { "  - all build cache\n" } else { "  - unused build cache\n" };
    if p.has("filter") {
        warning += "\n  Items to be pruned will be filtered with:\n";
        warning += &p.all("filter").iter().map(|f| format!("  - {f}\n")).collect::<String>();
    }
    if !confirm(p.is("force"), &warning)? {
        return Ok(0);
    }
    let filters = p.all("filter");
    let mut freed = prune_containers(&context, &filters).await?;
    prune_networks(&context, &filters).await?;
    if p.is("volumes") {
        freed += prune_volumes(&context, &filters).await?;
    }
    freed += prune_images(&context, p.is("all"), &filters).await?;
    total(freed);
    Ok(0)
}

fn total(freed: u64) {
    println!("Total reclaimed space: {}", human_size(freed, 4));
}

fn path(kind: &str, list: &[String]) -> Result<String> {
    let pairs: Vec<_> = filters(list)?.map(|f| ("filters", f)).into_iter().collect();
    Ok(format!("/{kind}/prune{}", query(&pairs)))
}

fn say(title: &str, list: &[String]) {
    if !list.is_empty() {
        println!("{title}:\n{}\n", list.join("\n"));
    }
}

async fn prune_containers(context: &Context, filters: &[String]) -> Result<u64> {
    let done: ContainersPruned = context.client.post_for(&path("containers", filters)?).await?;
    say("Deleted Containers", &done.containers_deleted.unwrap_or_default());
    Ok(done.space_reclaimed)
}

async fn prune_networks(context: &Context, filters: &[String]) -> Result<()> {
    let done: NetworksPruned = context.client.post_for(&path("networks", filters)?).await?;
    say("Deleted Networks", &done.networks_deleted.unwrap_or_default());
    Ok(())
}

async fn prune_volumes(context: &Context, filters: &[String]) -> Result<u64> {
    let done: VolumesPruned = context.client.post_for(&path("volumes", filters)?).await?;
    say("Deleted Volumes", &done.volumes_deleted);
    Ok(done.space_reclaimed)
}

async fn prune_images(context: &Context, all: bool, filters: &[String]) -> Result<u64> {
    let mut filters = filters.to_vec();
    filters.push(format!("dangling={}", !all));
    let done: ImagesPruned = context.client.post_for(&path("images", &filters)?).await?;
    let line = |item: ImageRemoved| match (item.untagged, item.deleted) {
        (Some(name), _) => format!("untagged: {name}"),
        (None, id) => format!("deleted: {}", id.unwrap_or_default()),
    };
    let lines: Vec<String> =
        done.images_deleted.unwrap_or_default().into_iter().map(line).collect();
    say("Deleted Images", &lines);
    Ok(done.space_reclaimed)
}

/// Standard input and output become a connection to the daemon (`ssh://` hosts use this).
pub async fn dial_stdio(context: Context, _: Parsed) -> Result<u8> {
    let stream = context.client.host().connect().await?;
    let (mut from, mut to) = tokio::io::split(stream);
    let sending = tokio::spawn(async move {
        let mut stdin = stdio::stdin()?;
        let copied = tokio::io::copy(&mut stdin, &mut to).await;
        // The end of the input is passed on; answers may still come.
        let _ = tokio::io::AsyncWriteExt::shutdown(&mut to).await;
        copied.map(|_| ())
    });
    let mut stdout = stdio::stdout()?;
    tokio::io::copy(&mut from, &mut stdout).await.map_err(|e| CliError::new(e.to_string()))?;
    sending.abort();
    Ok(0)
}
