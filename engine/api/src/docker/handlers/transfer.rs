//! Images on their way: pull, import, load, save.

use base64::Engine as _;
use base64::alphabet::{STANDARD, URL_SAFE};
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bryo_core::{Auth, ImportOptions, ProgressStream};
use bryo_spec::docker;
use futures_util::StreamExt;

use super::super::call::Call;
use super::super::convert::image;
use super::super::error::{ApiError, Result};
use super::super::reply::{self, Reply};

/// `POST /images/create`: a pull (`fromImage`) or an import (`fromSrc`).
pub async fn create(call: Call) -> Result<Reply> {
    match (call.query.text("fromImage"), call.query.text("fromSrc")) {
        (Some(_), _) => pull(call).await,
        (None, Some("-")) => import(call).await,
        (None, Some(url)) => Err(ApiError::not_implemented(format!(
            "importing from a URL ({url}) is not supported; download it and pipe it to \
             \"docker import -\""
        ))),
        (None, None) => {
            Err(ApiError::bad_request("invalid request: neither fromImage nor fromSrc is given"))
        }
    }
}

async fn pull(call: Call) -> Result<Reply> {
    let auth = call.header("x-registry-auth").map(registry_auth).transpose()?.flatten();
    let lines = call
        .engine
        .pull(
            call.query.text("fromImage").unwrap_or_default(),
            call.query.text("tag"),
            call.query.text("platform"),
            auth,
        )
        .await?;
    Ok(progress(lines))
}

async fn import(call: Call) -> Result<Reply> {
    let text = |name: &str| call.query.text(name).unwrap_or_default().to_owned();
    let options = ImportOptions {
        repo: text("repo"),
        tag: text("tag"),
        message: text("message"),
        changes: call.query.all("changes"),
        platform: call.query.text("platform").map(str::to_owned),
    };
    let engine = call.engine.clone();
    Ok(progress(engine.import(options, call.into_stream()).await?))
}

/// `POST /images/load`.
pub async fn load(call: Call) -> Result<Reply> {
    let engine = call.engine.clone();
    Ok(progress(engine.load(call.into_stream()).await?))
}

/// `GET /images/{name}/get`.
pub async fn save(call: Call) -> Result<Reply> {
    let tar = call.engine.save(&[call.name().to_owned()]).await?;
    Ok(reply::stream("application/x-tar", tar))
}

/// `GET /images/get?names=…&names=…`.
pub async fn save_many(call: Call) -> Result<Reply> {
    let names = call.query.all("names");
    if names.is_empty() {
        return Err(ApiError::bad_request("no image is named: the parameter 'names' is missing"));
    }
    let tar = call.engine.save(&names).await?;
    Ok(reply::stream("application/x-tar", tar))
}

/// Progress as lines of JSON; an error becomes the last line.
fn progress(lines: ProgressStream) -> Reply {
    reply::json_lines(
        "application/json",
        lines.map(|line| match line {
            Ok(line) => image::progress(line),
            Err(error) => image::progress_error(&error),
        }),
    )
}

/// Reads `X-Registry-Auth`: base64 in either alphabet, padded or not; empty credentials are none.
fn registry_auth(header: &str) -> Result<Option<Auth>> {
    let header = header.trim();
    let config =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let decode = |alphabet| GeneralPurpose::new(alphabet, config).decode(header);
    let invalid =
        |why: String| ApiError::bad_request(format!("invalid X-Registry-Auth header: {why}"));
    let bytes =
        decode(&URL_SAFE).or_else(|_| decode(&STANDARD)).map_err(|e| invalid(e.to_string()))?;
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut auth: docker::AuthConfig =
        serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?;
    // The command line's own file keeps `user:password` in one field.
    let joined = decode_pair(&auth.auth);
    if let Some((user, password)) = joined.filter(|_| auth.username.is_empty()) {
        (auth.username, auth.password) = (user, password);
    }
    let auth = Auth {
        username: auth.username,
        password: auth.password,
        identity_token: auth.identitytoken,
        registry_token: auth.registrytoken,
    };
    Ok((auth != Auth::default()).then_some(auth))
}

fn decode_pair(text: &str) -> Option<(String, String)> {
    let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.trim_end_matches('\0').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_read_in_every_alphabet() {
        assert!(registry_auth("e30=").unwrap().is_none());
        assert!(registry_auth("e30").unwrap().is_none());
        assert!(registry_auth("").unwrap().is_none());
        let text = r#"{"username":"u??","password":"p>>"}"#;
        for alphabet in [&STANDARD, &URL_SAFE] {
            let header = GeneralPurpose::new(alphabet, GeneralPurposeConfig::new()).encode(text);
            let auth = registry_auth(&header).unwrap().unwrap();
            assert_eq!((auth.username.as_str(), auth.password.as_str()), ("u??", "p>>"));
        }
        assert!(registry_auth("!").is_err());
    }
}
