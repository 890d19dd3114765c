//! Container names: what is allowed, and made-up ones.

use rand::Rng;

use crate::{Error, Result};

/// What Docker allows, as its texts say it.
pub(crate) const ALLOWED: &str = "[a-zA-Z0-9][a-zA-Z0-9_.-]";

const FIRST: &[&str] = &[
    "able", "agile", "amber", "apt", "azure", "bold", "brave", "breezy", "bright", "brisk", "calm",
    "candid", "clear", "clever", "cosy", "crisp", "deft", "eager", "early", "easy", "fair", "fern",
    "fine", "fleet", "fond", "frank", "fresh", "gentle", "glad", "golden", "grand", "happy",
    "hardy", "humble", "jolly", "keen", "kind", "lively", "loyal", "lucid", "mellow", "merry",
    "mild", "misty", "mossy", "neat", "nimble", "noble", "patient", "plain", "polite", "proud",
    "quick", "quiet", "rapid", "ready", "robust", "rosy", "rustic", "shady", "sharp", "shy",
    "silent", "sleek", "smart", "snug", "sober", "soft", "solid", "spry", "steady", "still",
    "stout", "sunny", "sure", "swift", "tender", "tidy", "trusty", "upbeat", "vivid", "warm",
    "wise", "witty", "young", "zesty",
];

const SECOND: &[&str] = &[
    "acorn",
    "alder",
    "anthoceros",
    "aspen",
    "aster",
    "bazzania",
    "birch",
    "bracken",
    "briar",
    "brook",
    "bryum",
    "cedar",
    "cicuta",
    "clover",
    "conifer",
    "cypress",
    "dicranum",
    "elder",
    "elm",
    "fescue",
    "fir",
    "fissidens",
    "fontinalis",
    "frond",
    "funaria",
    "gorse",
    "grimmia",
    "grove",
    "hazel",
    "heath",
    "heather",
    "hornwort",
    "hypnum",
    "iris",
    "ivy",
    "juniper",
    "larch",
    "laurel",
    "leaf",
    "lichen",
    "linden",
    "liverwort",
    "lupin",
    "maple",
    "marchantia",
    "meadow",
    "mnium",
    "moss",
    "myrtle",
    "neckera",
    "nettle",
    "oak",
    "orchid",
    "peat",
    "pine",
    "plagiochila",
    "poplar",
    "pottia",
    "reed",
    "riccia",
    "rowan",
    "rush",
    "sedge",
    "sorrel",
    "sphagnum",
    "spruce",
    "thicket",
    "thistle",
    "thuidium",
    "thyme",
    "tortula",
    "ulota",
    "vetch",
    "willow",
    "yarrow",
    "yew",
];

/// A made-up name; `attempt` beyond the second adds digits, so that a free one is found soon.
pub(crate) fn random(attempt: u32) -> String {
    let mut rng = rand::rng();
    let first = FIRST.get(rng.random_range(0..FIRST.len())).copied().unwrap_or("plain");
    let second = SECOND.get(rng.random_range(0..SECOND.len())).copied().unwrap_or("moss");
    match attempt {
        0..=2 => format!("{first}_{second}"),
        _ => format!("{first}_{second}{}", rng.random_range(2..10_000)),
    }
}

/// Whether all characters are allowed and there are at least two.
pub(crate) fn is_valid(name: &str) -> bool {
    let mut chars = name.bytes();
    chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && name.len() >= 2
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'.' | b'-'))
}

/// A container name as the user wrote it, without its slash.
pub(crate) fn container(name: &str) -> Result<String> {
    let bare = name.strip_prefix('/').unwrap_or(name);
    if is_valid(bare) {
        return Ok(bare.to_string());
    }
    Err(Error::invalid(format!("Invalid container name ({name}), only {ALLOWED} are allowed")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_dockers_rule() {
        assert_eq!(container("/web-1.x_y").unwrap(), "web-1.x_y");
        for bad in ["w", "", "/", "-a", "a b", "a/b", "ä1"] {
            assert!(container(bad).is_err(), "{bad}");
        }
        assert_eq!(
            container("w").unwrap_err().message(),
            "Invalid container name (w), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed"
        );
    }

    #[test]
    fn made_up_names_are_valid() {
        for attempt in 0..50 {
            assert!(is_valid(&random(attempt)));
        }
    }
}
